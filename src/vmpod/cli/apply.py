"""Apply manifests: all are checked before one is written, then each is created or changed.

What was applied is remembered in kubectl's own annotation, so that `kubectl apply` of the same files goes on
from there, and so that fields dropped from a manifest are dropped from the object.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vmpod.base.errors import Problem
from vmpod.cli import threeway
from vmpod.client.simple import SimpleClient
from vmpod.client.wire import JSON
from vmpod.intake.documents import Manifest
from vmpod.kinds import KINDS, for_object
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object, is_deleting, name, namespace, uid
from vmpod.model.patch import merge_diff
from vmpod.model.status import ApiError

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_FIRST = ("Namespace", "StorageClass", "PersistentVolume", "ServiceAccount", "ConfigMap", "Secret",
          "PersistentVolumeClaim", "DataVolume", "Service")  # fmt: skip
_GOING_S = 120.0
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Wanted:
    """An object to be there, with its kind and where it was written."""

    kind: Kind
    obj: Object
    source: str

    @property
    def title(self) -> str:
        """As kubectl names it: `deployment.apps/web`; with its namespace when that is not the default one."""
        return title(self.kind.group, self.obj)


def title(group: str, obj: Object) -> str:
    """`KIND.GROUP/NAME`, and ` -n NAMESPACE` when that is not the default one."""
    space = namespace(obj)
    where = f" -n {space}" if space not in ("", "default") else ""
    return f"{str(obj['kind']).lower()}{'.' + group if group else ''}/{name(obj)}{where}"


def resolve(manifests: Sequence[Manifest], default_namespace: str) -> list[Wanted]:
    """The kinds and namespaces of manifests, in an order in which they can be created. Raises Problem."""
    wanted = [_resolve(manifest, default_namespace) for manifest in manifests]
    seen: dict[tuple[str, str, str], Wanted] = {}
    for one in wanted:
        key = (one.kind.resource, namespace(one.obj), name(one.obj))
        if key[2] and (other := seen.setdefault(key, one)) is not one:
            why = f"{one.title} is there twice: {other.source} and {one.source}"
            raise Problem(f"apply {one.source}", why, "remove one of the two", "Twice")
    return sorted(wanted, key=lambda one: _rank(one.kind.kind))


def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _resolve(manifest: Manifest, default_namespace: str) -> Wanted:
    obj = manifest.obj
    what = f"apply {manifest.source}"
    if not isinstance(obj.get("kind"), str) or not isinstance(obj.get("apiVersion"), str):
        raise Problem(what, "kind and apiVersion must be set", f"look at {manifest.source}", "Invalid")
    kind = for_object(obj)
    if kind is None:
        raise _unserved(what, obj)
    if not isinstance(obj.get("metadata") or {}, dict):
        raise Problem(what, "metadata must be a map", f"look at {manifest.source}", "Invalid")
    head = {**(obj.get("metadata") or {})}
    if kind.namespaced:
        head["namespace"] = head.get("namespace") or default_namespace
    if not head.get("name") and not head.get("generateName"):
        raise Problem(what, "metadata.name is not set", f"look at {manifest.source}", "Invalid")
    return Wanted(kind, {**obj, "metadata": head}, manifest.source)


def _unserved(what: str, obj: Object) -> Problem:
    served = sorted({f"{one.kind} ({one.api_version})" for one in KINDS if one.kind == obj["kind"]})
    why = f"no kind {obj['kind']!r} in version {obj['apiVersion']!r} is served here"
    fix = f"there is {', '.join(served)}" if served else "kubectl api-resources tells what is served"
    return Problem(what, why, fix, "UnknownKind")


def check(client: SimpleClient, wanted: Sequence[Wanted]) -> list[str]:
    """Ask the engine about every object without writing any; its warnings. Raises Problem naming file and line."""
    made = {name(one.obj) for one in wanted if one.kind.kind == "Namespace"}
    warnings: list[str] = []
    for one in wanted:
        client.warnings.clear()
        _try(client, one, made)
        warnings += [f"{one.title}: {_bare(text)}" for text in client.warnings]
    return list(dict.fromkeys(warnings))


def _try(client: SimpleClient, one: Wanted, made: set[str]) -> None:
    found = _find(client, one)
    if found is not None and not is_deleting(found):
        _change(client, one, found, dry_run=True)
        return
    trial = one.obj
    if found is not None:  # on its way out: the trial needs another name
        trial = _with(trial, name="", generateName="check-")
    if namespace(trial) in made and _is_absent(client, namespace(trial)):
        trial = _with(trial, namespace="default", name="", generateName="check-")
    _create(client, Wanted(one.kind, trial, one.source), one.title, dry_run=True)


def _with(obj: Object, **marks: str) -> Object:
    head = {**obj["metadata"], **marks}
    return {**obj, "metadata": {key: value for key, value in head.items() if value}}


def _is_absent(client: SimpleClient, space: str) -> bool:
    from vmpod.kinds import NAMESPACE

    return client.find(NAMESPACE, "", space) is None


def _bare(warning: str) -> str:
    """The text of a Warning header: `299 - "TEXT"`."""
    _, quote, rest = warning.partition('"')
    return rest.rpartition('"')[0].replace('\\"', '"') if quote else warning


def apply(client: SimpleClient, one: Wanted) -> str:
    """Make one object as wanted: `created`, `configured` or `unchanged`. One that is being deleted is awaited.

    Raises Problem.
    """
    found = _find(client, one)
    if found is not None and is_deleting(found):
        _await_gone(client, one, found)
        found = None
    if found is not None:
        return _change(client, one, found, dry_run=False)
    _create(client, one, one.title, dry_run=False)
    return "created"


def _find(client: SimpleClient, one: Wanted) -> Object | None:
    return client.find(one.kind, namespace(one.obj), name(one.obj)) if name(one.obj) else None


def _await_gone(client: SimpleClient, one: Wanted, going: Object) -> None:
    deadline = time.monotonic() + _GOING_S
    while (found := _find(client, one)) is not None and uid(found) == uid(going):
        if time.monotonic() > deadline:
            why = f"the {one.kind.kind} of that name is still being deleted"
            raise Problem(f"apply {one.title}", why, f"kubectl describe {one.title}", "Deleting")
        time.sleep(_LOOK_EVERY_S)


def _create(client: SimpleClient, one: Wanted, called: str, *, dry_run: bool) -> None:
    path = one.kind.path(namespace(one.obj), version=_version(one))
    body = json.dumps(_annotated(one.obj)).encode()
    try:
        client.raw("POST", path, query=_query(dry_run), headers=JSON, body=body)
    except ApiError as error:
        raise _refused(called, one, error) from None


def _change(client: SimpleClient, one: Wanted, found: Object, *, dry_run: bool) -> str:
    patch = change(found, one.obj)
    if not patch:
        return "unchanged"
    path = one.kind.path(namespace(one.obj), name(one.obj), version=_version(one))
    headers = {"content-type": "application/merge-patch+json", "accept": "application/json"}
    try:
        client.raw("PATCH", path, query=_query(dry_run), headers=headers, body=json.dumps(patch).encode())
    except ApiError as error:
        raise _refused(one.title, one, error) from None
    return "configured"


def _query(dry_run: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def _refused(called: str, one: Wanted, error: ApiError) -> Problem:
    fix = f"correct {one.source}, then vmpod up again"
    return Problem(f"apply {called} ({one.source})", error.message, fix, error.reason)


def _version(one: Wanted) -> str:
    return str(one.obj["apiVersion"]).rpartition("/")[2]


def change(found: Object, wanted: Object) -> Object:
    """The merge patch that makes the live object as wanted; {} when it is so already."""
    text = meta.annotations(found).get(LAST_APPLIED)
    before: Object = json.loads(text) if text else {}
    plain = _plain(wanted)
    same = {"apiVersion": found["apiVersion"]}  # the manifest may be of another version of the kind
    goal = threeway.merged(found, before | same, plain | same)
    patch: Object = merge_diff(found, goal)
    if _plain(before) != plain or patch:
        patch.setdefault("metadata", {}).setdefault("annotations", {})[LAST_APPLIED] = _text(wanted)
    return patch


def _plain(obj: Object) -> Object:
    """The manifest as kubectl remembers it: without status, and with annotations even where it has none."""
    head = obj.get("metadata") or {}
    plain = {key: value for key, value in obj.items() if key != "status"}
    return {**plain, "metadata": {**head, "annotations": head.get("annotations") or {}}}


def _text(obj: Object) -> str:
    return json.dumps(_plain(obj), separators=(",", ":"), sort_keys=True) + "\n"


def _annotated(obj: Object) -> Object:
    head = obj.get("metadata") or {}
    marks = {**(head.get("annotations") or {}), LAST_APPLIED: _text(obj)}
    return {**obj, "metadata": {**head, "annotations": marks}}
