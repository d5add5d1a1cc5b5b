"""VirtualMachineRestore → claims filled from a snapshot's layers, and the machine as it was written then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from vmpod.base.clock import parse, rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers.children import finalizers, with_finalizer, without_finalizers
from vmpod.controllers.restored import (
    LAST,
    RESTORE_NAME,
    claim_name,
    mark,
    restored_claim,
    restored_spec,
    restores,
    told,
)
from vmpod.controllers.volumesready import is_being_filled
from vmpod.kinds import (
    DATAVOLUME,
    PERSISTENTVOLUMECLAIM,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINERESTORE,
    VIRTUALMACHINESNAPSHOT,
    VIRTUALMACHINESNAPSHOTCONTENT,
)
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Delete, Note, Patch, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

FINALIZER = "snapshot.kubevirt.io/vmrestore-protection"
_GRACE_S = 300.0


def _of_machine(vm: Object, cache: Cache) -> Iterable[Key]:
    return [key_of(one) for one in cache.list(VIRTUALMACHINERESTORE, namespace(vm))
            if get(one, "spec", "target", "name") == name(vm)]  # fmt: skip


def _of_snapshot(snapshot: Object, cache: Cache) -> Iterable[Key]:
    return [key_of(one) for one in cache.list(VIRTUALMACHINERESTORE, namespace(snapshot))
            if get(one, "spec", "virtualMachineSnapshotName") == name(snapshot)]  # fmt: skip


def _of_claim(claim: Object) -> Iterable[Key]:
    return ((namespace(claim), text),) if (text := annotations_of(claim).get(RESTORE_NAME)) else ()


KIND = VIRTUALMACHINERESTORE
WATCHES = (
    own(VIRTUALMACHINERESTORE), Watch(VIRTUALMACHINE, found=_of_machine),
    Watch(VIRTUALMACHINEINSTANCE, found=_of_machine), Watch(VIRTUALMACHINESNAPSHOT, found=_of_snapshot),
    Watch(PERSISTENTVOLUMECLAIM, _of_claim),
)


@dataclass(frozen=True)
class Seen:
    """A restore, its target (None: to be made), the snapshot with its content, and the claims made for it."""

    restore: Object
    vm: Object | None
    vmi: Object | None
    snapshot: Object | None
    content: Object | None
    claims: Mapping[str, Object | None]
    obsolete: tuple[Object, ...]
    now: datetime


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    restore = cache.get(VIRTUALMACHINERESTORE, *key)
    if restore is None:
        return None
    where, target = key[0], str(get(restore, "spec", "target", "name", default=""))
    snapshot = cache.get(VIRTUALMACHINESNAPSHOT, where, str(get(restore, "spec", "virtualMachineSnapshotName")))
    held = get(snapshot, "status", "virtualMachineSnapshotContentName") or ""
    content = cache.get(VIRTUALMACHINESNAPSHOTCONTENT, where, held)
    volumes = [one["volumeName"] for one in get(content, "spec", "volumeBackups", default=())]
    claims = {one: cache.get(PERSISTENTVOLUMECLAIM, where, claim_name(restore, one)) for one in volumes}
    old = (cache.get(DATAVOLUME, where, one) for one in get(restore, "status", "deletedDataVolumes", default=()))
    return Seen(restore, cache.get(VIRTUALMACHINE, where, target), cache.get(VIRTUALMACHINEINSTANCE, where, target),
                snapshot, content, claims, tuple(one for one in old if one is not None), now)  # fmt: skip


def _is_restored(seen: Seen) -> bool:
    return seen.vm is not None and annotations_of(seen.vm).get(LAST) == mark(seen.restore)


def _is_over(seen: Seen) -> bool:
    known = get(seen.restore, "status", "conditions")
    return bool(get(seen.restore, "status", "complete")) or conditions.is_true(known, "Failure")


def _trouble(seen: Seen) -> str:
    """Why it cannot go on; empty when it can."""
    wanted = f"{namespace(seen.restore)}/{get(seen.restore, 'spec', 'virtualMachineSnapshotName')}"
    if seen.snapshot is None:
        return f"VMSnapshot {wanted} does not exist"
    if get(seen.snapshot, "status", "phase") == "Failed":
        return f"VMSnapshot {wanted} failed and is invalid to use"
    if not get(seen.snapshot, "status", "readyToUse") or seen.content is None:
        return f"VMSnapshot {wanted} not ready"
    if seen.vm is not None and not _is_restored(seen) and get(seen.snapshot, "status", "sourceUID") != uid(seen.vm):
        return "restore source and restore target are different but restore target already exists"
    other = get(seen.vm, "status", "restoreInProgress")
    return f"vm restore {other} in progress" if other and other != name(seen.restore) else ""


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.restore):
        ours = (without_finalizers(KIND, seen.restore, FINALIZER),) if FINALIZER in finalizers(seen.restore) else ()
        return Plan((*_unlock(seen), *ours))
    if _is_over(seen):
        return Plan((*_unlock(seen), *_remove_obsolete(seen)))
    if FINALIZER not in finalizers(seen.restore):
        return Plan((with_finalizer(KIND, seen.restore, FINALIZER),))
    if seen.vmi is not None and not _is_restored(seen):
        return _wait_for_target(seen)
    if why := _trouble(seen):
        known = conditions.find(get(seen.restore, "status", "conditions"), "Ready") or {}
        text = f"VirtualMachineRestore encountered error {why}"
        note = Note("Warning", "VirtualMachineRestoreError", text, seen.restore)
        return Plan(events=() if known.get("reason") == why else (note,), again_in=5.0)
    if seen.vm is not None and not _is_restored(seen) and not get(seen.vm, "status", "restoreInProgress"):
        return Plan((_lock(seen.vm, name(seen.restore)),), 1.0)
    return _plan_volumes(seen)


def _wait_for_target(seen: Seen) -> Plan:
    note = Note("Normal", "RestoreTargetNotReady", "Restore target VMI still exists", seen.restore)
    policy = get(seen.restore, "spec", "targetReadinessPolicy") or "WaitGracePeriodAndFail"
    if policy == "StopTarget" and seen.vm is not None and not is_deleting(seen.vmi or {}):
        spec = {"running": False} if get(seen.vm, "spec", "running") is not None else {"runStrategy": "Halted"}
        return Plan((Patch(VIRTUALMACHINE, namespace(seen.vm), name(seen.vm), {"spec": spec}),), 5.0, (note,))
    first = conditions.find(get(seen.restore, "status", "conditions"), "Ready") or {}
    events = () if first.get("reason") == "Waiting for target to be ready" else (note,)
    return Plan((), max(_left_s(seen), 0.1), events)


def _left_s(seen: Seen) -> float:
    created = parse(str(get(seen.restore, "metadata", "creationTimestamp")))
    return _GRACE_S - (seen.now - created).total_seconds()


def _plan_volumes(seen: Seen) -> Plan:
    missing = [one for one in get(seen.content, "spec", "volumeBackups", default=())
               if seen.claims.get(one["volumeName"]) is None]  # fmt: skip
    if missing and not _is_restored(seen):
        made = (restored_claim(seen.restore, seen.vm, seen.content, one) for one in missing)
        return Plan(tuple(Create(PERSISTENTVOLUMECLAIM, one) for one in made), 1.0)
    if not all(_is_filled(one) for one in seen.claims.values()):
        return Plan(again_in=5.0)
    if not _is_restored(seen):
        return Plan((_restored(seen),), 1.0)
    text = f"Successfully completed VirtualMachineRestore {name(seen.restore)}"
    return Plan(_unlock(seen), None, (Note("Normal", "VirtualMachineRestoreComplete", text, seen.restore),))


def _is_filled(claim: Object | None) -> bool:
    return claim is not None and get(claim, "status", "phase") == "Bound" and not is_being_filled(claim)


def _lock(vm: Object, by: str | None) -> Patch:
    return Patch(VIRTUALMACHINE, namespace(vm), name(vm), {"status": {"restoreInProgress": by}}, "status")


def _unlock(seen: Seen) -> tuple[Action, ...]:
    held = get(seen.vm, "status", "restoreInProgress")
    return (_lock(seen.vm, None),) if seen.vm is not None and held == name(seen.restore) else ()


def _remove_obsolete(seen: Seen) -> tuple[Action, ...]:
    return tuple(Delete(DATAVOLUME, namespace(one), name(one), uid(one)) for one in seen.obsolete
                 if not is_deleting(one) and get(seen.restore, "status", "complete"))  # fmt: skip


def _restored(seen: Seen) -> Action:
    machine = get(seen.content, "spec", "source", "virtualMachine")
    spec = restored_spec(machine, {volume: name(claim) for volume, claim in seen.claims.items() if claim is not None})
    for key in ("running", "runStrategy"):
        spec.pop(key, None)
    if seen.vm is None:
        marks = {**annotations_of(machine), **told(seen.restore, seen.content)}.items()
        meta = {"name": get(seen.restore, "spec", "target", "name"), "namespace": namespace(seen.restore),
                "labels": dict(labels(machine)), "annotations": {k: v for k, v in marks if v is not None}}  # fmt: skip
        return Create(VIRTUALMACHINE, {"apiVersion": VIRTUALMACHINE.api_version, "kind": "VirtualMachine",
                                       "metadata": meta, "spec": {**spec, "runStrategy": "Halted"}})  # fmt: skip
    held = seen.vm["spec"]
    spec |= {"running": False} if held.get("running") is not None else {"runStrategy": held.get("runStrategy")}
    gone = {key: None for key in held if key not in spec}
    revision = seen.vm["metadata"]["resourceVersion"]
    meta = {"annotations": told(seen.restore, seen.content), "resourceVersion": revision}
    gone_parts = {key: None for key in get(held, "template", "spec", default={}) if key not in spec["template"]["spec"]}
    spec["template"] = {**spec["template"], "spec": {**gone_parts, **spec["template"]["spec"]}}
    return Patch(VIRTUALMACHINE, namespace(seen.vm), name(seen.vm), {"metadata": meta, "spec": {**gone, **spec}})


def status(seen: Seen, plan: Plan) -> Object | None:
    fresh: Object = {"complete": False, **(seen.restore.get("status") or {})}
    if is_deleting(seen.restore) or _is_over(seen):
        return None
    if seen.vmi is not None and not _is_restored(seen):
        return _not_ready(seen, fresh)
    if why := _trouble(seen):
        return _told(fresh, False, why, why, seen.now)
    fresh["restores"] = restores(seen.restore, seen.content)
    if not _is_restored(seen):
        fresh["deletedDataVolumes"] = _replaced(seen)
        what = "Updating target spec" if all(map(_is_filled, seen.claims.values())) else "Creating new PVCs"
        wait = "Waiting for target update" if what.startswith("Updating") else "Waiting for new PVCs"
        return _told(fresh, True, what, wait, seen.now)
    fresh |= {"complete": True, "restoreTime": rfc3339(seen.now)}
    for type, is_true in (("Ready", True), ("Progressing", False)):
        known = fresh.get("conditions")
        fresh["conditions"] = conditions.set_condition(known, type, is_true, "Operation complete", "", seen.now)
    return fresh


def _replaced(seen: Seen) -> list[str]:
    """The DataVolumes of the target that the restored ones replace."""
    return [name(one) for one in get(seen.vm, "spec", "dataVolumeTemplates", default=())]


def _told(fresh: Object, progressing: bool, what: str, ready: str, now: datetime) -> Object:
    found = conditions.set_condition(fresh.get("conditions"), "Progressing", progressing, what, "", now)
    fresh["conditions"] = conditions.set_condition(found, "Ready", False, ready, "", now)
    return fresh


def _not_ready(seen: Seen, fresh: Object) -> Object:
    policy = get(seen.restore, "spec", "targetReadinessPolicy") or "WaitGracePeriodAndFail"
    why = ""
    if policy == "FailImmediate":
        why = "Restore target not ready"
    elif policy == "WaitGracePeriodAndFail" and _left_s(seen) <= 0:
        why = "Restore target failed to be ready within 5m0s"
    if not why:
        waiting = "Waiting for target to be ready"
        return _told(fresh, False, waiting, waiting, seen.now)
    fresh = _told(fresh, False, "Operation failed", "Operation failed", seen.now)
    fresh["conditions"] = conditions.set_condition(fresh["conditions"], "Failure", True, why, "", seen.now)
    return fresh
