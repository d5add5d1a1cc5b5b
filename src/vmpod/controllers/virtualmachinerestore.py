"""VirtualMachineRestore → claims filled from a snapshot's layers, and the machine as it was written then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from vmpod.base.clock import rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers import restored, restoretarget
from vmpod.controllers.children import finalizers, metadata_patch, with_finalizer, without_finalizers
from vmpod.controllers.datavolumeclaim import OWNED_BY
from vmpod.controllers.restored import (
    LAST,
    RESTORE_NAME,
    claim_name,
    mark,
    restored_claim,
    restored_machine,
    restores,
    stopped_spec,
)
from vmpod.controllers.restoretarget import told
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
from vmpod.model.meta import (
    Object,
    get,
    is_deleting,
    name,
    namespace,
    owner_reference,
    owner_references,
    uid,
)
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Delete, Note, Patch, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

FINALIZER = "snapshot.kubevirt.io/vmrestore-protection"


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


def _is_of(seen: Seen, claim: Object) -> bool:
    return annotations_of(claim).get(LAST) == mark(seen.restore)


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
    if taken := next((one for one in seen.claims.values() if one is not None and not _is_of(seen, one)), None):
        return f"PVC {namespace(taken)}/{name(taken)} already exists"
    if seen.vm is None and (why := restored_machine(seen.restore, seen.content, _names(seen))[1]):
        return f"unable to patch the target: {why}"
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
        return restoretarget.plan(seen.restore, seen.vm, seen.vmi, seen.now)
    if why := _trouble(seen):
        known = conditions.find(get(seen.restore, "status", "conditions"), "Ready") or {}
        text = f"VirtualMachineRestore encountered error {why}"
        note = Note("Warning", "VirtualMachineRestoreError", text, seen.restore)
        return Plan(events=() if known.get("reason") == why else (note,), again_in=5.0)
    if seen.vm is not None and not _is_restored(seen) and not get(seen.vm, "status", "restoreInProgress"):
        return Plan((_lock(seen.vm, name(seen.restore)),), 1.0)
    return _plan_volumes(seen)


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
    if owned := tuple(_owned(seen)):
        return Plan(owned, 1.0)
    text = f"Successfully completed VirtualMachineRestore {name(seen.restore)}"
    return Plan(_unlock(seen), None, (Note("Normal", "VirtualMachineRestoreComplete", text, seen.restore),))


def _owned(seen: Seen) -> Iterable[Action]:
    """The claims of a machine that has just been made become its own."""
    if seen.vm is None or get(seen.restore, "spec", "volumeOwnershipPolicy") == "None":
        return
    for claim in seen.claims.values():
        if claim is not None and not owner_references(claim) and OWNED_BY not in annotations_of(claim):
            yield metadata_patch(PERSISTENTVOLUMECLAIM, claim, ownerReferences=[owner_reference(seen.vm)])


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


def _names(seen: Seen) -> dict[str, str]:
    return {volume: name(claim) for volume, claim in seen.claims.items() if claim is not None}


def _restored(seen: Seen) -> Action:
    if seen.vm is None:
        return Create(VIRTUALMACHINE, restored_machine(seen.restore, seen.content, _names(seen))[0])
    spec = stopped_spec(get(seen.content, "spec", "source", "virtualMachine"), _names(seen))
    held = seen.vm["spec"]
    spec |= {"running": False} if held.get("running") is not None else {"runStrategy": held.get("runStrategy")}
    gone = {key: None for key in held if key not in spec}
    revision = seen.vm["metadata"]["resourceVersion"]
    meta = {"annotations": restored.told(seen.restore, seen.content), "resourceVersion": revision}
    gone_parts = {key: None for key in get(held, "template", "spec", default={}) if key not in spec["template"]["spec"]}
    spec["template"] = {**spec["template"], "spec": {**gone_parts, **spec["template"]["spec"]}}
    return Patch(VIRTUALMACHINE, namespace(seen.vm), name(seen.vm), {"metadata": meta, "spec": {**gone, **spec}})


def status(seen: Seen, plan: Plan) -> Object | None:
    fresh: Object = {"complete": False, **(seen.restore.get("status") or {})}
    if is_deleting(seen.restore) or _is_over(seen):
        return None
    if seen.vmi is not None and not _is_restored(seen):
        return restoretarget.not_ready(seen.restore, fresh, seen.now)
    if why := _trouble(seen):
        return told(fresh, False, why, why, seen.now)
    fresh["restores"] = restores(seen.restore, seen.content)
    if not _is_restored(seen):
        fresh["deletedDataVolumes"] = _replaced(seen)
        what = "Updating target spec" if all(map(_is_filled, seen.claims.values())) else "Creating new PVCs"
        wait = "Waiting for target update" if what.startswith("Updating") else "Waiting for new PVCs"
        return told(fresh, True, what, wait, seen.now)
    fresh |= {"complete": True, "restoreTime": rfc3339(seen.now)}
    for type, is_true in (("Ready", True), ("Progressing", False)):
        known = fresh.get("conditions")
        fresh["conditions"] = conditions.set_condition(known, type, is_true, "Operation complete", "", seen.now)
    return fresh


def _replaced(seen: Seen) -> list[str]:
    """The DataVolumes of the target that the restored ones replace."""
    return [name(one) for one in get(seen.vm, "spec", "dataVolumeTemplates", default=())]
