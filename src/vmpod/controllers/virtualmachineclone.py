"""VirtualMachineClone → a snapshot of the source, a restore of it into a new machine, and both gone again."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from vmpod.base.clock import rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers import cloned
from vmpod.controllers.children import child_metadata, delete, is_controlled_by, suffix
from vmpod.kinds import (
    VIRTUALMACHINE,
    VIRTUALMACHINECLONE,
    VIRTUALMACHINERESTORE,
    VIRTUALMACHINESNAPSHOT,
    VIRTUALMACHINESNAPSHOTCONTENT,
)
from vmpod.kinds.kind import Kind
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.reconcile.actions import Action, Create, Note, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own, owned_by


def _of_source(obj: Object, cache: Cache) -> Iterable[Key]:
    """The clones of a machine or snapshot, and those that have become one."""
    return [key_of(one) for one in cache.list(VIRTUALMACHINECLONE, namespace(obj))
            if name(obj) in (get(one, "spec", "source", "name"), target_name(one))]  # fmt: skip


KIND = VIRTUALMACHINECLONE
WATCHES = (
    own(VIRTUALMACHINECLONE), owned_by(VIRTUALMACHINESNAPSHOT, VIRTUALMACHINECLONE),
    owned_by(VIRTUALMACHINERESTORE, VIRTUALMACHINECLONE), Watch(VIRTUALMACHINE, found=_of_source),
    Watch(VIRTUALMACHINESNAPSHOT, found=_of_source),
)


@dataclass(frozen=True)
class Seen:
    """A clone, its source, the machine as the snapshot holds it, and what is made on the way."""

    clone: Object
    source: Object | None
    snapshot: Object | None
    machine: Object | None
    restore: Object | None
    target: Object | None
    now: datetime


def target_name(clone: Object) -> str:
    """The machine that is made: the one that is named, else one named after the source."""
    return str(get(clone, "spec", "target", "name")
               or f"clone-{get(clone, 'spec', 'source', 'name')}-{suffix(uid(clone))}")  # fmt: skip


def snapshot_name(clone: Object) -> str:
    is_given = get(clone, "spec", "source", "kind") == VIRTUALMACHINESNAPSHOT.kind
    return str(clone["spec"]["source"]["name"]) if is_given else f"tmp-snapshot-{uid(clone)}"


def restore_name(clone: Object) -> str:
    return f"tmp-restore-{uid(clone)}"


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    clone = cache.get(VIRTUALMACHINECLONE, *key)
    if clone is None:
        return None
    source = clone["spec"]["source"]
    kind = VIRTUALMACHINESNAPSHOT if source.get("kind") == VIRTUALMACHINESNAPSHOT.kind else VIRTUALMACHINE
    snapshot = cache.get(VIRTUALMACHINESNAPSHOT, key[0], snapshot_name(clone))
    held = str(get(snapshot, "status", "virtualMachineSnapshotContentName") or "")
    content = cache.get(VIRTUALMACHINESNAPSHOTCONTENT, key[0], held)
    return Seen(
        clone, cache.get(kind, key[0], str(source.get("name"))), snapshot,
        get(content, "spec", "source", "virtualMachine"), cache.get(VIRTUALMACHINERESTORE, key[0], restore_name(clone)),
        cache.get(VIRTUALMACHINE, key[0], target_name(clone)), now,
    )  # fmt: skip


def _phase(seen: Seen) -> str:
    return str(get(seen.clone, "status", "phase", default=""))


def _is_ours(seen: Seen) -> bool:
    """Whether the target was made by our restore."""
    return get(seen.restore, "status", "complete") is True and seen.target is not None


def _failure(seen: Seen) -> tuple[str, str]:
    """Reason and message of what ends it; empty when nothing does."""
    if get(seen.snapshot, "status", "phase") == "Failed":
        return "SnapshotNotCreated", f"snapshot {snapshot_name(seen.clone)} failed"
    if _phase(seen) in ("RestoreInProgress", "CreatingTargetVM") and seen.snapshot is None and not _is_ours(seen):
        return "SnapshotDeleted", f"snapshot {snapshot_name(seen.clone)} does not exist anymore"
    if conditions.is_true(get(seen.restore, "status", "conditions"), "Failure"):
        known = conditions.find(get(seen.restore, "status", "conditions"), "Failure") or {}
        return "RestoreCreationFailed", str(known.get("reason") or "the restore failed")
    if seen.restore is None and seen.target is not None and _phase(seen) in ("", "SnapshotInProgress"):
        return "TargetVMExists", f"VirtualMachine {target_name(seen.clone)} exists already"
    return "", ""


def plan(seen: Seen) -> Plan:
    clone = seen.clone
    if is_deleting(clone) or _phase(seen) == "Failed":
        return Plan()
    if _phase(seen) == "Succeeded":
        return Plan(_cleaned(seen) if seen.target is not None else (delete(VIRTUALMACHINECLONE, clone),))
    if (failure := _failure(seen))[0]:
        return Plan(_cleaned(seen), None, (Note("Warning", *failure, clone),))
    if seen.source is None and seen.snapshot is None:
        return _told(seen, "SourceDoesNotExist", _missing(seen))
    if seen.snapshot is None:
        text = f"created snapshot {snapshot_name(clone)} for clone {name(clone)}"
        return Plan((Create(VIRTUALMACHINESNAPSHOT, _snapshot(clone)),), 1.0, (_note(seen, "SnapshotCreated", text),))
    if not get(seen.snapshot, "status", "readyToUse") or seen.machine is None:
        return Plan()
    if seen.restore is None:
        text = f"created restore {restore_name(clone)} for clone {name(clone)}"
        return Plan((Create(VIRTUALMACHINERESTORE, _restore(seen, seen.machine)),), 1.0,
                    (_note(seen, "RestoreCreated", text),))  # fmt: skip
    if _is_ours(seen):
        text = f"created target VM {target_name(clone)} for clone {name(clone)}"
        return Plan((), None, (_note(seen, "TargetVMCreated", text),))
    return Plan()


def _missing(seen: Seen) -> str:
    source = seen.clone["spec"]["source"]
    return f"{source.get('kind')} {source.get('name')} does not exist in namespace {namespace(seen.clone)}"


def _told(seen: Seen, reason: str, text: str) -> Plan:
    known = conditions.find(get(seen.clone, "status", "conditions"), "Progressing") or {}
    return Plan((), None, () if known.get("message") == text else (Note("Warning", reason, text, seen.clone),))


def _note(seen: Seen, reason: str, text: str) -> Note:
    return Note("Normal", reason, text, seen.clone)


def _cleaned(seen: Seen) -> tuple[Action, ...]:
    """What was made on the way goes; a snapshot that was given stays."""
    found: tuple[tuple[Kind, Object | None], ...] = (
        (VIRTUALMACHINERESTORE, seen.restore), (VIRTUALMACHINESNAPSHOT, seen.snapshot))
    return tuple(delete(kind, one) for kind, one in found
                 if one is not None and is_controlled_by(one, seen.clone) and not is_deleting(one))  # fmt: skip


def _snapshot(clone: Object) -> Object:
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": clone["spec"]["source"]["name"]}
    return {"apiVersion": VIRTUALMACHINESNAPSHOT.api_version, "kind": VIRTUALMACHINESNAPSHOT.kind,
            "metadata": child_metadata(clone, snapshot_name(clone)), "spec": {"source": source}}  # fmt: skip


def _restore(seen: Seen, machine: Object) -> Object:
    clone = seen.clone
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": target_name(clone)}
    policy = clone["spec"].get("volumeNamePolicy")
    spec = {"target": target, "virtualMachineSnapshotName": snapshot_name(clone),
            "patches": cloned.patches(clone, machine)} | ({"volumeRestorePolicy": policy} if policy else {})
    return {"apiVersion": VIRTUALMACHINERESTORE.api_version, "kind": VIRTUALMACHINERESTORE.kind,
            "metadata": child_metadata(clone, restore_name(clone)), "spec": spec}  # fmt: skip


def status(seen: Seen, plan: Plan) -> Object | None:
    if is_deleting(seen.clone) or _phase(seen) in ("Succeeded", "Failed"):
        return None
    fresh: Object = deepcopy(seen.clone.get("status") or {})
    if (failure := _failure(seen))[0]:
        return _said({**fresh, "phase": "Failed"}, False, False, "Failed", failure[1], seen.now)
    fresh["targetName"] = target_name(seen.clone)
    if seen.source is None and seen.snapshot is None:
        return _said({**fresh, "phase": "SnapshotInProgress"}, False, False, "Pending", _missing(seen), seen.now)
    if _is_ours(seen):
        fresh = {key: value for key, value in fresh.items() if key not in ("snapshotName", "restoreName")}
        fresh |= {"phase": "Succeeded", "creationTime": rfc3339(seen.now)}
        return _said(fresh, False, True, "Ready", "", seen.now)
    fresh["snapshotName"] = snapshot_name(seen.clone)
    is_taken = bool(get(seen.snapshot, "status", "readyToUse"))
    fresh["phase"] = "SnapshotInProgress" if not is_taken else "RestoreInProgress"
    if seen.restore is not None:
        fresh["restoreName"] = restore_name(seen.clone)
        fresh["phase"] = "CreatingTargetVM" if get(seen.restore, "status", "restores") else "RestoreInProgress"
    return _said(fresh, True, False, "Still processing", _why(seen), seen.now)


def _why(seen: Seen) -> str:
    """What the step that is under way says of itself."""
    for called, one in (("restore", seen.restore), ("snapshot", seen.snapshot)):
        known = conditions.find(get(one, "status", "conditions"), "Progressing") or {}
        if one is not None:
            error = get(one, "status", "error", "message")
            return f"{called} {name(one)}: {error or known.get('reason') or 'begun'}"
    return ""


def _said(fresh: Object, progressing: bool, ready: bool, reason: str, message: str, now: datetime) -> Object:
    for type, is_true in (("Progressing", progressing), ("Ready", ready)):
        known = fresh.get("conditions")
        fresh["conditions"] = conditions.set_condition(known, type, is_true, reason, message, now)
    return fresh
