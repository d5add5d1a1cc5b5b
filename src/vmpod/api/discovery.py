"""What the server serves: versions, groups, resources; in the legacy form and in the aggregated one.

Aggregated discovery is apidiscovery.k8s.io v2 and v2beta1 (KEP-3352); kubectl asks for it first.
"""

from __future__ import annotations

import base64
import hashlib
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import orjson

from vmpod.api import representation
from vmpod.api.call import Call
from vmpod.client.inprocess import Response
from vmpod.kinds import KINDS, Kind
from vmpod.model import status
from vmpod.model.meta import Object

_AGGREGATED: Final = ("v2", "v2beta1")
_VERB_ORDER: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Sub:
    """A subresource as discovery tells of it; group and version only when they are not the parent's."""

    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


_STATUS_VERBS: Final = ("get", "patch", "update")
_CONNECT: Final = ("create", "get")
SUBS: Final[dict[tuple[str, str], Sub]] = {
    ("pods", "attach"): Sub("PodAttachOptions", _CONNECT),
    ("pods", "binding"): Sub("Binding", ("create",)),
    ("pods", "eviction"): Sub("Eviction", ("create",), "policy", "v1"),
    ("pods", "exec"): Sub("PodExecOptions", _CONNECT),
    ("pods", "log"): Sub("Pod", ("get",)),
    ("pods", "portforward"): Sub("PodPortForwardOptions", _CONNECT),
    ("namespaces", "finalize"): Sub("Namespace", ("update",)),
    ("serviceaccounts", "token"): Sub("TokenRequest", ("create",), "authentication.k8s.io", "v1"),
    ("deployments.apps", "scale"): Sub("Scale", _STATUS_VERBS, "autoscaling", "v1"),
    ("replicasets.apps", "scale"): Sub("Scale", _STATUS_VERBS, "autoscaling", "v1"),
    ("virtualmachineinstancereplicasets.kubevirt.io", "scale"): Sub("Scale", _STATUS_VERBS, "autoscaling", "v1"),
    ("virtualmachinepools.pool.kubevirt.io", "scale"): Sub("Scale", _STATUS_VERBS, "autoscaling", "v1"),
}
# Served besides `Kind.subresources`, which names what belongs to the kind itself.
_ALWAYS: Final[dict[str, tuple[str, ...]]] = {
    "pods": ("attach", "binding", "eviction", "exec", "log", "portforward"),
    "namespaces": ("finalize",),
    "serviceaccounts": ("token",),
    "deployments.apps": ("scale",),
    "replicasets.apps": ("scale",),
}
KUBEVIRT_SUBRESOURCES: Final = "subresources.kubevirt.io"
UPLOADS: Final = "upload.cdi.kubevirt.io"
UPLOADS_VERSION: Final = "v1beta1"
_TOKENS: Final = ("uploadtokenrequests", "uploadtokenrequest", "UploadTokenRequest")
MACHINE_VERBS: Final = {
    "virtualmachines": ("addvolume", "evacuate/cancel", "expand-spec", "memorydump", "migrate", "objectgraph",
                        "portforward", "removememorydump", "removevolume", "restart", "start", "stop"),
    "virtualmachineinstances": (
        "addvolume", "backup", "console", "evacuate/cancel", "filesystemlist", "freeze", "guestosinfo", "objectgraph",
        "pause", "portforward", "redefine-checkpoint", "removevolume", "reset", "sev/fetchcertchain",
        "sev/injectlaunchsecret", "sev/querylaunchmeasurement", "sev/setupsession", "softreboot", "unfreeze",
        "unpause", "usbredir", "userlist", "vnc", "vnc/screenshot", "vsock",
    ),
}  # fmt: skip
ROOT_VERBS: Final = ("dump-cluster-profiler", "guestfs", "healthz", "start-cluster-profiler", "stop-cluster-profiler",
                     "version")  # fmt: skip
_PRIORITY: Final = ("apps", "events.k8s.io", "autoscaling", "batch", "networking.k8s.io", "policy", "storage.k8s.io")


def _versions(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """All versions of a group, each once, the preferred first."""
    found = dict.fromkeys(kind.version for kind in kinds)
    return tuple(found | dict.fromkeys(version for kind in kinds for version in kind.other_versions))


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Every named group and its versions, in the order of kube-apiserver: its own first, then the others."""
    names = dict.fromkeys(kind.group for kind in KINDS if kind.group)
    ordered = sorted(names, key=lambda name: _PRIORITY.index(name) if name in _PRIORITY else len(_PRIORITY))
    found = {name: _versions([kind for kind in KINDS if kind.group == name]) for name in ordered}
    return found | {KUBEVIRT_SUBRESOURCES: ("v1", "v1alpha3"), UPLOADS: (UPLOADS_VERSION,)}


def kinds_of(group: str, version: str) -> list[Kind]:
    """The kinds served in a version of a group, by plural."""
    found = [kind for kind in KINDS if kind.group == group and version in kind.versions]
    return sorted(found, key=lambda kind: kind.plural)


def subresources(kind: Kind) -> list[tuple[str, Sub]]:
    """The subresources that a kind has, by name."""
    names = set(kind.subresources) | set(_ALWAYS.get(kind.resource, ()))
    found = [(name, SUBS.get((kind.resource, name), Sub(kind.kind, _STATUS_VERBS))) for name in names]
    return sorted(found, key=lambda item: item[0])


def resource_list(group: str, version: str) -> Object | None:
    """The APIResourceList of a group version, None when nothing is served there."""
    if group == KUBEVIRT_SUBRESOURCES:
        resources = list(_machine_resources())
    elif group == UPLOADS:
        plural, singular, kind_name = _TOKENS
        resources = [{"name": plural, "singularName": singular, "namespaced": True, "kind": kind_name,
                      "verbs": ["create"]}]
    else:
        resources = [entry for kind in kinds_of(group, version) for entry in _resource_entries(kind)]
    if not resources or (group and version not in groups().get(group, ())):
        return None
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _machine_resources() -> Iterable[Object]:
    for plural, verbs in MACHINE_VERBS.items():
        for verb in verbs:
            yield {"name": f"{plural}/{verb}", "singularName": "", "namespaced": True, "kind": "VirtualMachineInstance"
                   if plural == "virtualmachineinstances" else "VirtualMachine", "verbs": ["get", "update"]}
    yield {"name": "expand-vm-spec", "singularName": "", "namespaced": True, "kind": "VirtualMachine",
           "verbs": ["update"]}
    for name in ROOT_VERBS:
        yield {"name": name, "singularName": "", "namespaced": False, "kind": "", "verbs": ["get", "list"]}


def _resource_entries(kind: Kind) -> Iterable[Object]:
    entry: Object = {
        "name": kind.plural, "singularName": kind.singular or kind.kind.lower(), "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": _verbs(kind.verbs),
        "shortNames": list(kind.short_names), "categories": list(kind.categories),
        "storageVersionHash": _storage_hash(kind),
    }
    yield {key: value for key, value in entry.items() if value != []}
    for name, sub in subresources(kind):
        below: Object = {
            "name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced,
            "kind": sub.kind, "verbs": list(sub.verbs),
        }
        yield below | ({"group": sub.group, "version": sub.version} if sub.group else {})


def _verbs(verbs: Iterable[str]) -> list[str]:
    return [verb for verb in _VERB_ORDER if verb in verbs]


def _storage_hash(kind: Kind) -> str:
    named = f"{kind.group}/{kind.version}/{kind.kind}".encode()
    return base64.b64encode(hashlib.sha256(named).digest()[:8]).decode()


def group_entry(group: str) -> Object:
    """An APIGroup without kind and apiVersion, as it stands in an APIGroupList."""
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in groups()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def aggregated(names: Sequence[str], version: str) -> Object:
    """An APIGroupDiscoveryList; the core group is named by the empty string."""
    items = [_discovered_group(name) for name in names]
    api_version = f"apidiscovery.k8s.io/{version}"
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _discovered_group(group: str) -> Object:
    versions = [
        {"version": version, "freshness": "Current", "resources": _discovered_resources(group, version)}
        for version in groups().get(group, ("v1",))
    ]
    metadata: Object = {"creationTimestamp": None} | ({"name": group} if group else {})
    return {"metadata": metadata, "versions": versions}


def _discovered_resources(group: str, version: str) -> list[Object]:
    if group == KUBEVIRT_SUBRESOURCES:
        return []
    if group == UPLOADS:
        plural, singular, kind_name = _TOKENS
        return [{"resource": plural, "responseKind": {"group": group, "version": version, "kind": kind_name},
                 "scope": "Namespaced", "singularResource": singular, "verbs": ["create"]}]
    return [_discovered(kind, version) for kind in kinds_of(group, version)]


def _discovered(kind: Kind, version: str) -> Object:
    entry: Object = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": _verbs(kind.verbs),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
        "subresources": [_discovered_sub(kind, version, name, sub) for name, sub in subresources(kind)],
    }
    return {key: value for key, value in entry.items() if value != []}


def _discovered_sub(kind: Kind, version: str, name: str, sub: Sub) -> Object:
    group, version = (sub.group, sub.version) if sub.group else (kind.group, version)
    kind_of = {"group": group, "version": version, "kind": sub.kind}
    return {"subresource": name, "responseKind": kind_of, "verbs": list(sub.verbs)}


def _aggregated_version(call: Call) -> str:
    """The version of aggregated discovery that the client likes best, empty when it wants the legacy form."""
    for clause in representation.accepted(call.request.headers.get("accept", "")):
        if clause.params.get("g") == "apidiscovery.k8s.io":
            version = clause.params.get("v", "")
            if version in _AGGREGATED and clause.params.get("as") == "APIGroupDiscoveryList":
                return version
        elif clause.media in ("application/json", "*/*"):
            return ""
    return ""


@cache
def _aggregated_bytes(core: bool, version: str) -> tuple[bytes, str]:
    """The document and its ETag, made once: KINDS does not change while we run."""
    body = orjson.dumps(aggregated(("",) if core else tuple(groups()), version))
    return body, f'"{hashlib.sha256(body).hexdigest()[:40].upper()}"'


def _discovery(call: Call, core: bool, legacy: Object) -> Response:
    version = _aggregated_version(call)
    if not version:
        answer = representation.body_response(call, legacy)
        return replace(answer, headers={**answer.headers, "vary": "Accept"})
    body, etag = _aggregated_bytes(core, version)
    media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    headers = {"content-type": media, "etag": etag, "vary": "Accept", "cache-control": "public"}
    if call.request.headers.get("if-none-match") == etag:
        return Response(304, headers)
    return Response(200, headers, body)


async def core_versions(call: Call) -> Response:
    """GET /api."""
    address = call.request.headers.get("host", "")
    legacy = {
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }
    return _discovery(call, True, legacy)


async def all_groups(call: Call) -> Response:
    """GET /apis."""
    entries = [group_entry(name) for name in groups()]
    return _discovery(call, False, {"kind": "APIGroupList", "apiVersion": "v1", "groups": entries})


async def one_group(call: Call) -> Response:
    """GET /apis/GROUP."""
    group = call.rest[0]
    if group not in groups():
        raise status.no_route()
    return representation.body_response(call, {"kind": "APIGroup", "apiVersion": "v1", **group_entry(group)})


async def resources(call: Call) -> Response:
    """GET /api/VERSION and /apis/GROUP/VERSION."""
    group, version = call.rest
    found = resource_list(group, version)
    if found is None:
        raise status.no_route()
    return representation.body_response(call, found)


async def custom_resources(call: Call) -> Response:
    """GET of the CustomResourceDefinitions: there are none. kubectl asks before it refuses a kind that it does not find
    in the OpenAPI documents; without this answer it blames the connection instead of naming the kind."""
    listed = {"kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1", "items": []}
    return representation.body_response(call, listed | {"metadata": {"resourceVersion": str(call.store.revision)}})


async def version(call: Call) -> Response:
    """GET /version: the Kubernetes release whose behaviour we follow."""
    return representation.body_response(call, version_info(call.backend.config.version))


def version_info(git_version: str) -> dict[str, Any]:
    """version.Info of a gitVersion like `v1.35.0+vmpod`."""
    found = re.match(r"v(\d+)\.(\d+)", git_version)
    major, minor = found.groups() if found else ("", "")
    return {
        "major": major, "minor": minor, "gitVersion": git_version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(), "platform": f"linux/{platform.machine()}",
    }


async def health(call: Call) -> Response:
    """GET /healthz, /livez, /readyz."""
    return Response(200, {"content-type": "text/plain; charset=utf-8"}, b"ok")


async def root(call: Call) -> Response:
    """GET /: the paths there are."""
    group_paths = [path for name, versions in groups().items()
                   for path in (f"/apis/{name}", *(f"/apis/{name}/{version}" for version in versions))]
    fixed = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]
    return representation.body_response(call, {"paths": sorted([*fixed, *group_paths])})
