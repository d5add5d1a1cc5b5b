"""What to do next about a VolumeSnapshot and its VolumeSnapshotContent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vmpod.base.clock import rfc3339
from vmpod.kinds import VOLUMESNAPSHOT, VOLUMESNAPSHOTCONTENT
from vmpod.kinds import volumesnapshot as snapshots
from vmpod.kinds import volumesnapshotcontent as contents
from vmpod.kinds.kind import Kind
from vmpod.kinds.volumesnapshotclass import is_default
from vmpod.model import quantity
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.node.translate import claim as claims
from vmpod.node.translate import snapshot as machine_snapshot
from vmpod.node.translate.snapshot import Seen as Look
from vmpod.reconcile.actions import Delete, Note, Patch

KIND, CONTENT = VOLUMESNAPSHOT, VOLUMESNAPSHOTCONTENT
_LOOK_S = 2.0
_MARK = "disk"  # names the layer whatever the machine, if any, calls the disk


@dataclass(frozen=True)
class Seen:
    """A VolumeSnapshot, its content, the classes, and the disk of its claim with whoever uses it."""

    snapshot: Object
    content: Object | None
    classes: tuple[Object, ...]
    look: Look
    pending: str = ""  # why the claim holds nothing yet

    @property
    def claim(self) -> str:
        return str(get(self.snapshot, "spec", "source", "persistentVolumeClaimName", default=""))


@dataclass(frozen=True)
class TakeSnapshot:
    """Freeze the disk, then make the content that holds it."""

    seen: Seen
    policy: str


@dataclass(frozen=True)
class LetGo:
    """Give up the layer of a content that is being deleted."""

    content: Object


@dataclass(frozen=True)
class Forget:
    """Let a snapshot go that has no content, with the layer of an attempt that did not get so far."""

    snapshot: Object


Step = TakeSnapshot | LetGo | Forget | Patch | Delete


@dataclass(frozen=True)
class SnapshotPlan:
    """The next steps."""

    actions: tuple[Step, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = field(default=())


def content_name(snapshot: Object) -> str:
    return f"snapcontent-{uid(snapshot)}"


def layer_of(snapshot: Object) -> str:
    """The layer that a snapshot makes of the disk."""
    return machine_snapshot.layer_of(snapshot, _MARK)


def as_content(snapshot: Object, machine: str, volume: str) -> Object:
    """The snapshot in the form in which whole machines are backed up: one volume of a machine, or of none."""
    claim = get(snapshot, "spec", "source", "persistentVolumeClaimName", default="")
    backup = {"volumeName": volume, "persistentVolumeClaim": {"metadata": {"name": claim}}, "mark": _MARK}
    spec = {"source": {"virtualMachine": {"metadata": {"name": machine}}}, "volumeBackups": [backup]}
    return {"metadata": snapshot["metadata"], "spec": spec}


def plan(seen: Seen) -> SnapshotPlan:
    """Protect, take once, and let the content go with it where its policy says so."""
    found = seen.snapshot
    if is_deleting(found):
        return _end(seen)
    if snapshots.PROTECTION not in get(found, "metadata", "finalizers", default=()):
        return SnapshotPlan((_finalizers(KIND, found, snapshots.PROTECTION, True),))
    if get(found, "status", "readyToUse") is True:
        return SnapshotPlan()
    if get(seen.content, "status", "readyToUse") is True and seen.content is not None:
        return SnapshotPlan((success(found, seen.content),))
    chosen, relaxed = _class(seen)
    if why := _refusal(seen, chosen) or seen.pending or machine_snapshot.obstacle(seen.look):
        return SnapshotPlan(failure(seen, why), _LOOK_S)
    events = (Note("Warning", "VolumeSnapshotClassRelaxed", relaxed, found),) if relaxed else ()
    policy = str(get(chosen, "deletionPolicy", default="Delete"))
    return SnapshotPlan((TakeSnapshot(seen, policy),), _LOOK_S, events)


def _refusal(seen: Seen, chosen: Object | None) -> str:
    if not seen.claim:
        return "spec.source.volumeSnapshotContentName is not supported: name a claim"
    if chosen is None:
        return "no default VolumeSnapshotClass is set and the snapshot names none that exists"
    if chosen.get("driver") != claims.PROVISIONER:
        return f"the class {name(chosen)} is of the driver {chosen.get('driver')}, which is not here"
    return ""


def _class(seen: Seen) -> tuple[Object | None, str]:
    """The class to use, and what to warn of when it is not the one that the snapshot names."""
    wanted = get(seen.snapshot, "spec", "volumeSnapshotClassName") or ""
    named = next((one for one in seen.classes if name(one) == wanted), None)
    default = next((one for one in seen.classes if is_default(one)), None)
    if named is not None or default is None or not wanted:
        return named or default, ""
    return default, f'VolumeSnapshotClass "{wanted}" does not exist here: the default class "{name(default)}" is used'


def _end(seen: Seen) -> SnapshotPlan:
    found, content = seen.snapshot, seen.content
    if snapshots.PROTECTION not in get(found, "metadata", "finalizers", default=()):
        return SnapshotPlan()
    last = forget(found)
    if content is None:
        return SnapshotPlan((Forget(found),))
    if is_deleting(content) or get(content, "spec", "deletionPolicy") == "Retain":
        return SnapshotPlan((last,))
    return SnapshotPlan((Delete(CONTENT, "", name(content), uid(content)), last))


def plan_content(content: Object, held_by: Iterable[Object]) -> SnapshotPlan:
    """A content that is deleted goes when its snapshot is gone or going."""
    if not is_deleting(content) or contents.PROTECTION not in get(content, "metadata", "finalizers", default=()):
        return SnapshotPlan()
    wanted = get(content, "spec", "volumeSnapshotRef", "uid")
    if any(uid(one) == wanted and not is_deleting(one) for one in held_by):
        return SnapshotPlan(again_in=_LOOK_S)
    return SnapshotPlan((LetGo(content),))


def made(seen: Seen, policy: str, moment: datetime) -> tuple[Object, Object]:
    """The content that holds the frozen disk, and its status."""
    found, disk = seen.snapshot, seen.look.disks[0]
    reference = {"apiVersion": KIND.api_version, "kind": KIND.kind, "namespace": namespace(found), "name": name(found),
                 "uid": uid(found)}  # fmt: skip
    spec = {"deletionPolicy": policy, "driver": claims.PROVISIONER, "source": {"volumeHandle": name(disk.bound or {})},
            "volumeSnapshotRef": reference, "sourceVolumeMode": get(disk.bound, "spec", "volumeMode")}  # fmt: skip
    meta = {"name": content_name(found), "finalizers": [contents.PROTECTION]}
    status = {"readyToUse": True, "creationTime": int(moment.timestamp()) * 10**9, "restoreSize": disk.size_bytes,
              "snapshotHandle": layer_of(found)}  # fmt: skip
    return {"apiVersion": CONTENT.api_version, "kind": CONTENT.kind, "metadata": meta, "spec": spec}, status


def success(snapshot: Object, content: Object) -> Patch:
    """The patch that tells that it is taken."""
    taken = datetime.fromtimestamp(get(content, "status", "creationTime", default=0) / 10**9, UTC)
    size = quantity.format_bytes(int(get(content, "status", "restoreSize", default=0)))
    return _patch(snapshot, {"boundVolumeSnapshotContentName": name(content), "creationTime": rfc3339(taken),
                             "readyToUse": True, "restoreSize": size, "error": None})  # fmt: skip


def failure(seen: Seen, why: str) -> tuple[Patch, ...]:
    """The patch that tells why it is not taken; none when that is told already."""
    if get(seen.snapshot, "status", "error", "message") == why:
        return ()
    error = {"message": why, "time": rfc3339(seen.look.now)}
    return (_patch(seen.snapshot, {"readyToUse": False, "error": error}),)


def _patch(snapshot: Object, status: Object) -> Patch:
    return Patch(KIND, namespace(snapshot), name(snapshot), {"status": status}, "status")


def _finalizers(kind: Kind, obj: Object, mark: str, is_kept: bool) -> Patch:
    others = [one for one in get(obj, "metadata", "finalizers", default=()) if one != mark]
    wanted = [*others, mark] if is_kept else others
    meta = {"finalizers": wanted or None, "resourceVersion": obj["metadata"]["resourceVersion"]}
    return Patch(kind, namespace(obj), name(obj), {"metadata": meta})


def forget(snapshot: Object) -> Patch:
    """The last patch of a snapshot."""
    return _finalizers(KIND, snapshot, snapshots.PROTECTION, False)


def let_go(content: Object) -> Patch:
    """The last patch of a content."""
    return _finalizers(CONTENT, content, contents.PROTECTION, False)
