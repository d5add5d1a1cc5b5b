"""The whole API, shown as one table.

A path that starts with `/` is what it says; capitals stand for one segment, `PATH...` for all that follow. Any other
path stands below `/api/v1` or `/apis/GROUP/VERSION`, with `/namespaces/NAMESPACE` between where its kind is namespaced:
`KINDS` is any plural that vmpod.kinds lists, and `pods`, `deployments.apps` … are Kind.resource.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from vmpod.api import discovery, openapi
from vmpod.api.call import Backend, Call
from vmpod.api.sockets import Tunnel
from vmpod.api.subresources import (
    evictions,
    expansion,
    machines,
    memorydumps,
    namespaces,
    objectgraph,
    pods,
    refusals,
    reviews,
    scale,
    serviceaccounts,
    uploadtokens,
    virtualmachines,
    volumes,
)
from vmpod.api.verbs.create import create_object
from vmpod.api.verbs.delete import delete_collection, delete_object
from vmpod.api.verbs.get import get_object
from vmpod.api.verbs.list import list_objects
from vmpod.api.verbs.patch import patch_object, patch_status
from vmpod.api.verbs.update import update_object, update_status
from vmpod.client.inprocess import Request, Response
from vmpod.kinds import Kind, find
from vmpod.model import status

Endpoint = Callable[[Call], Awaitable[Response | Tunnel]]

_TOKENS: Final = "/apis/upload.cdi.kubevirt.io/v1beta1/namespaces/NAMESPACE/uploadtokenrequests"
_VM: Final = "virtualmachines.subresources.kubevirt.io/NAME"
_VMI: Final = "virtualmachineinstances.subresources.kubevirt.io/NAME"

# What anybody may ask, without a certificate.
OPEN: Final = frozenset({"/healthz", "/livez", "/readyz", "/version"})

TABLE: Final[tuple[tuple[str, str, Endpoint], ...]] = (
    ("GET", "/", discovery.root),
    ("GET", "/healthz", discovery.health),
    ("GET", "/livez", discovery.health),
    ("GET", "/readyz", discovery.health),
    ("GET", "/version", discovery.version),
    ("GET", "/api", discovery.core_versions),
    ("GET", "/apis", discovery.all_groups),
    ("GET", "/apis/GROUP", discovery.one_group),
    ("GET", "/api/VERSION", discovery.resources),
    ("GET", "/apis/GROUP/VERSION", discovery.resources),
    ("GET", "/openapi/v2", openapi.legacy),
    ("GET", "/openapi/v3", openapi.index),
    ("GET", "/openapi/v3/PATH...", openapi.document),
    ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", discovery.custom_resources),
    ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", reviews.whoami),
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", reviews.token),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", reviews.access),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", reviews.rules),
    ("POST", _TOKENS, uploadtokens.create),
    ("GET", f"{_TOKENS}/NAME", uploadtokens.absent),
    # every kind
    ("GET", "KINDS", list_objects),
    ("POST", "KINDS", create_object),
    ("DELETE", "KINDS", delete_collection),
    ("GET", "KINDS/NAME", get_object),
    ("PUT", "KINDS/NAME", update_object),
    ("PATCH", "KINDS/NAME", patch_object),
    ("DELETE", "KINDS/NAME", delete_object),
    ("GET", "KINDS/NAME/status", get_object),
    ("PUT", "KINDS/NAME/status", update_status),
    ("PATCH", "KINDS/NAME/status", patch_status),
    # some kinds
    ("PUT", "namespaces/NAME/finalize", namespaces.finalize),
    ("POST", "pods/NAME/binding", pods.bind),
    ("POST", "pods/NAME/eviction", evictions.evict),
    ("GET", "pods/NAME/log", pods.log),
    ("GET", "pods/NAME/exec", pods.execute),
    ("POST", "pods/NAME/exec", pods.execute),
    ("GET", "pods/NAME/attach", pods.attach),
    ("POST", "pods/NAME/attach", pods.attach),
    ("GET", "pods/NAME/portforward", pods.portforward),
    ("POST", "pods/NAME/portforward", pods.portforward),
    ("GET", "deployments.apps/NAME/scale", scale.get_scale),
    ("PUT", "deployments.apps/NAME/scale", scale.update_scale),
    ("PATCH", "deployments.apps/NAME/scale", scale.patch_scale),
    ("GET", "replicasets.apps/NAME/scale", scale.get_scale),
    ("PUT", "replicasets.apps/NAME/scale", scale.update_scale),
    ("PATCH", "replicasets.apps/NAME/scale", scale.patch_scale),
    ("GET", "virtualmachineinstancereplicasets.kubevirt.io/NAME/scale", scale.get_scale),
    ("PUT", "virtualmachineinstancereplicasets.kubevirt.io/NAME/scale", scale.update_scale),
    ("PATCH", "virtualmachineinstancereplicasets.kubevirt.io/NAME/scale", scale.patch_scale),
    ("GET", "virtualmachinepools.pool.kubevirt.io/NAME/scale", scale.get_scale),
    ("PUT", "virtualmachinepools.pool.kubevirt.io/NAME/scale", scale.update_scale),
    ("PATCH", "virtualmachinepools.pool.kubevirt.io/NAME/scale", scale.patch_scale),
    ("POST", "serviceaccounts/NAME/token", serviceaccounts.token),
    # machines, as virtctl speaks to them
    *((("GET", f"/apis/subresources.kubevirt.io/{version}/{name}", endpoint)
       for version in ("v1", "v1alpha3") for name, endpoint in (
           ("version", machines.version), ("healthz", machines.healthz), ("guestfs", machines.guestfs),
           ("start-cluster-profiler", refusals.profiler("start profiler")),
           ("stop-cluster-profiler", refusals.profiler("stop profiler")),
           ("dump-cluster-profiler", refusals.profiler("dump profiler results")),
       ))),
    ("PUT", f"{_VM}/start", virtualmachines.start),
    ("PUT", f"{_VM}/stop", virtualmachines.stop),
    ("PUT", f"{_VM}/restart", virtualmachines.restart),
    ("PUT", f"{_VM}/memorydump", memorydumps.request),
    ("PUT", f"{_VM}/removememorydump", memorydumps.remove),
    ("PUT", f"{_VM}/addvolume", volumes.add_to_vm),
    ("PUT", f"{_VM}/removevolume", volumes.remove_from_vm),
    ("GET", f"{_VM}/portforward", machines.portforward),
    ("GET", f"{_VM}/objectgraph", objectgraph.of_vm),
    ("GET", f"{_VM}/expand-spec", expansion.expand_stored),
    ("PUT", "expand-vm-spec.subresources.kubevirt.io", expansion.expand_sent),
    ("PUT", f"{_VMI}/addvolume", volumes.add_to_vmi),
    ("PUT", f"{_VMI}/removevolume", volumes.remove_from_vmi),
    ("PUT", f"{_VM}/migrate", evictions.migrate),
    ("PUT", f"{_VM}/evacuate/cancel", evictions.cancel),
    ("PUT", f"{_VMI}/evacuate/cancel", evictions.cancel),
    ("PUT", f"{_VMI}/pause", machines.pause),
    ("PUT", f"{_VMI}/unpause", machines.unpause),
    ("PUT", f"{_VMI}/softreboot", machines.softreboot),
    ("PUT", f"{_VMI}/reset", machines.reset),
    ("PUT", f"{_VMI}/freeze", machines.freeze),
    ("PUT", f"{_VMI}/unfreeze", machines.unfreeze),
    ("GET", f"{_VMI}/guestosinfo", machines.asked_of_agent("guestosinfo")),
    ("GET", f"{_VMI}/userlist", machines.asked_of_agent("userlist")),
    ("GET", f"{_VMI}/filesystemlist", machines.asked_of_agent("filesystemlist")),
    ("GET", f"{_VMI}/console", machines.console),
    ("GET", f"{_VMI}/vnc", machines.vnc),
    ("GET", f"{_VMI}/vnc/screenshot", machines.screenshot),
    ("GET", f"{_VMI}/portforward", machines.portforward),
    ("GET", f"{_VMI}/usbredir", machines.usbredir),
    ("GET", f"{_VMI}/vsock", machines.vsock),
    ("GET", f"{_VMI}/objectgraph", objectgraph.of_vmi),
    ("GET", f"{_VMI}/sev/fetchcertchain", refusals.sev),
    ("GET", f"{_VMI}/sev/querylaunchmeasurement", refusals.sev),
    ("PUT", f"{_VMI}/sev/setupsession", refusals.sev),
    ("PUT", f"{_VMI}/sev/injectlaunchsecret", refusals.sev),
    ("PUT", f"{_VMI}/backup", refusals.backup),
    ("PUT", f"{_VMI}/redefine-checkpoint", refusals.redefine_checkpoint),
)  # fmt: skip

_Methods = dict[str, Endpoint]
_MACHINES: Final = discovery.KUBEVIRT_SUBRESOURCES
_NAMESPACE_SUBS: Final = ("finalize", "status")
_VERBS: Final = {
    ("GET", False): "list", ("POST", False): "create", ("DELETE", False): "deletecollection",
    ("GET", True): "get", ("PUT", True): "update", ("PATCH", True): "patch", ("DELETE", True): "delete",
}  # fmt: skip


def _compile() -> dict[str, _Methods]:
    paths: dict[str, _Methods] = {}
    for method, path, endpoint in TABLE:
        paths.setdefault(path, {})[method] = endpoint
    return paths


_PATHS: Final = _compile()


@dataclass(frozen=True)
class Target:
    """What the part of a path after the group version names."""

    resource: str
    kind: Kind | None
    namespace: str
    name: str
    below: tuple[str, ...]


def route(request: Request, backend: Backend) -> tuple[Endpoint, Call]:
    """Who answers a request, and the request in its context. Raises ApiError 404 or 405."""
    path = request.path.rstrip("/") or "/"
    if path in _PATHS:
        return _endpoint(_PATHS[path], request.method), Call(request, backend)
    match path.split("/")[1:]:
        case ["openapi", "v3", *rest]:
            return _endpoint(_PATHS["/openapi/v3/PATH..."], request.method), Call(request, backend, rest=tuple(rest))
        case ["api", version]:
            return _endpoint(_PATHS["/api/VERSION"], request.method), Call(request, backend, rest=("", version))
        case ["apis", group]:
            return _endpoint(_PATHS["/apis/GROUP"], request.method), Call(request, backend, rest=(group,))
        case ["apis", group, version]:
            methods = _PATHS["/apis/GROUP/VERSION"]
            return _endpoint(methods, request.method), Call(request, backend, rest=(group, version))
        case ["api", version, *rest]:
            return _resource(request, backend, version, _target("", version, rest))
        case ["apis", discovery.UPLOADS, _, "namespaces", space, "uploadtokenrequests"]:
            return _endpoint(_PATHS[_TOKENS], request.method), Call(request, backend, namespace=space)
        case ["apis", discovery.UPLOADS, _, "namespaces", space, "uploadtokenrequests", name]:
            methods = _PATHS[f"{_TOKENS}/NAME"]
            return _endpoint(methods, request.method), Call(request, backend, namespace=space, name=name)
        case ["apis", group, version, *rest]:
            return _resource(request, backend, version, _target(group, version, rest))
    raise status.no_route()


def _endpoint(methods: _Methods, method: str) -> Endpoint:
    found = methods.get("GET" if method == "HEAD" else method)
    if found is None:
        raise _wrong_method()
    return found


def _wrong_method() -> status.ApiError:
    return status.ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def _target(group: str, version: str, rest: list[str]) -> Target:
    """Raises ApiError 404 when the path names no kind."""
    namespace = ""
    match rest:
        case ["namespaces", _, sub] if sub in _NAMESPACE_SUBS:
            pass
        case ["namespaces", namespace, _, *_]:
            rest = rest[2:]
    plural, name, below = rest[0], rest[1] if len(rest) > 1 else "", tuple(rest[2:])
    if group == _MACHINES:
        return Target(f"{plural}.{group}", find("kubevirt.io", "v1", plural), namespace, name, below)
    kind = find(group, version, plural)
    if kind is None or (namespace and not kind.namespaced) or (name and kind.namespaced and not namespace):
        raise status.no_route()
    return Target(kind.resource, kind, namespace, name, below)


def _resource(request: Request, backend: Backend, version: str, target: Target) -> tuple[Endpoint, Call]:
    methods, rest = _methods(target)
    endpoint = _endpoint(methods, request.method)
    kind = target.kind
    if kind is not None and not target.below:
        _check_verb(kind, request.method, target)
    if kind is not None and target.resource != kind.resource:
        version = kind.version
    return endpoint, Call(request, backend, kind, version, target.namespace, target.name, rest)


def _methods(target: Target) -> tuple[_Methods, tuple[str, ...]]:
    """The row of the table, and the segments that it leaves to its endpoint."""
    if not target.below:
        if target.resource.endswith(_MACHINES):
            if target.name or target.resource not in _PATHS:
                raise status.no_route()
            return _PATHS[target.resource], ()
        return _PATHS["KINDS/NAME" if target.name else "KINDS"], ()
    own = f"{target.resource}/NAME/"
    if found := _PATHS.get(own + "/".join(target.below)):
        return found, ()
    if target.below == ("status",) and target.kind is not None and target.kind.has_status:
        return _PATHS["KINDS/NAME/status"], ()
    found = _PATHS.get(own + target.below[0])
    if found is None or target.below[0] != "portforward":
        raise status.no_route()
    return found, target.below[1:]


def _check_verb(kind: Kind, method: str, target: Target) -> None:
    verb = _VERBS.get(("GET" if method == "HEAD" else method, bool(target.name)), "")
    lacks_namespace = kind.namespaced and not target.namespace and verb in ("create", "deletecollection")
    if verb not in kind.verbs or lacks_namespace:
        raise _wrong_method()
