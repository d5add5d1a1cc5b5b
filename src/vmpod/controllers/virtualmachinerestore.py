"""VirtualMachineRestore → claims filled from a snapshot's layers, and the machine as it was written then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vmpod.base.clock import rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers import restoreclaims, restored, restorestate, restoretarget, snapshotrevisions
from vmpod.controllers.children import finalizers, metadata_patch, with_finalizer, without_finalizers
from vmpod.controllers.datavolumeclaim import OWNED_BY
from vmpod.controllers.restored import (
    LAST,
    RESTORE_NAME,
    claim_name,
    mark,
    restored_claim,
    restored_copies,
    restored_machine,
    restores,
)
from vmpod.controllers.restoretarget import told
from vmpod.controllers.volumesready import is_being_filled
from vmpod.kinds import (
    CONTROLLERREVISION,
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
from vmpod.reconcile.actions import Action, Create, Note, Patch, Plan
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
    """A restore, its target (None: to be made), the snapshot with its content, and the claims made for it.

    `volumes` are the DataVolumes of the claims' names, `revisions` what the machine's matchers are kept as, `source`
    is the machine of the snapshot's name, and `states` are the claims with the state of the target.
    """

    restore: Object
    vm: Object | None
    vmi: Object | None
    snapshot: Object | None
    content: Object | None
    claims: Mapping[str, Object | None]
    obsolete: tuple[Object, ...]
    now: datetime
    volumes: Mapping[str, Object | None] = field(default_factory=dict)
    revisions: snapshotrevisions.Revisions = field(default_factory=dict)
    source: Object | None = None
    states: tuple[Object, ...] = ()

    @property
    def copies(self) -> restored.Copies:
        """The revisions of the restored machine."""
        return restored_copies(self.restore, self.content)


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    restore = cache.get(VIRTUALMACHINERESTORE, *key)
    if restore is None:
        return None
    where, target = key[0], str(get(restore, "spec", "target", "name", default=""))
    snapshot = cache.get(VIRTUALMACHINESNAPSHOT, where, str(get(restore, "spec", "virtualMachineSnapshotName")))
    held = get(snapshot, "status", "virtualMachineSnapshotContentName") or ""
    content = cache.get(VIRTUALMACHINESNAPSHOTCONTENT, where, held)
    named = {one["volumeName"]: claim_name(restore, one) for one in get(content, "spec", "volumeBackups", default=())}
    old = (cache.get(DATAVOLUME, where, one) for one in get(restore, "status", "deletedDataVolumes", default=()))
    kept = snapshotrevisions.names(restored_copies(restore, content))
    source = get(content, "spec", "source", "virtualMachine", "metadata", "name") or ""
    return Seen(
        restore, cache.get(VIRTUALMACHINE, where, target), cache.get(VIRTUALMACHINEINSTANCE, where, target), snapshot,
        content, {volume: cache.get(PERSISTENTVOLUMECLAIM, where, claim) for volume, claim in named.items()},
        tuple(one for one in old if one is not None), now,
        {volume: cache.get(DATAVOLUME, where, claim) for volume, claim in named.items()},
        {one: cache.get(CONTROLLERREVISION, where, one) for one in kept}, cache.get(VIRTUALMACHINE, where, source),
        restorestate.seen(restore, cache),
    )


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
    taken = next(iter(restoreclaims.foreign(seen.restore, seen.claims).values()), None)
    if taken is not None and not restoreclaims.may_replace(seen.restore, seen.vm, seen.source):
        return f"PVC {namespace(taken)}/{name(taken)} already exists"
    if lost := snapshotrevisions.missing(seen.copies, seen.revisions):
        return f"Unable to find ControllerRevision {namespace(seen.restore)}/{lost}"
    if seen.vm is None and (why := restored_machine(seen.restore, seen.content, _names(seen), seen.copies)[1]):
        return f"unable to patch the target: {why}"
    other = get(seen.vm, "status", "restoreInProgress")
    return f"vm restore {other} in progress" if other and other != name(seen.restore) else ""


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.restore):
        ours = (without_finalizers(KIND, seen.restore, FINALIZER),) if FINALIZER in finalizers(seen.restore) else ()
        return Plan((*_unlock(seen), *ours))
    if _is_over(seen):
        return Plan((*_unlock(seen), *restoreclaims.obsolete(seen.restore, seen.obsolete, seen.states)))
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
    if (old := restoreclaims.foreign(seen.restore, seen.claims)) and not _is_restored(seen):
        return Plan(tuple(restoreclaims.removals(seen.restore, old, seen.volumes)), 1.0)
    missing = [one for one in get(seen.content, "spec", "volumeBackups", default=())
               if seen.claims.get(one["volumeName"]) is None]  # fmt: skip
    if missing and not _is_restored(seen):
        kept = restoreclaims.kept(seen.restore, seen.volumes)
        made = (restored_claim(seen.restore, seen.vm, seen.content, one, kept.get(one["volumeName"]))
                for one in missing)  # fmt: skip
        return Plan(tuple(Create(PERSISTENTVOLUMECLAIM, one) for one in made), 1.0)
    if not all(_is_filled(one) for one in seen.claims.values()):
        return Plan(again_in=5.0)
    if moved := tuple(restorestate.moves(seen.restore, seen.claims.values(), seen.states)):
        return Plan(moved, 1.0)
    if not _is_restored(seen):
        machine = restored.written(seen.restore, seen.vm, seen.content, _names(seen), seen.copies)
        return Plan(tuple(snapshotrevisions.made(seen.copies, seen.revisions, seen.vm)) or (machine,), 1.0)
    if owned := tuple(_owned(seen)):
        return Plan(owned, 1.0)
    text = f"Successfully completed VirtualMachineRestore {name(seen.restore)}"
    return Plan(_unlock(seen), None, (Note("Normal", "VirtualMachineRestoreComplete", text, seen.restore),))


def _owned(seen: Seen) -> Iterable[Action]:
    """The revisions and the claims of a machine that has just been made become its own."""
    if seen.vm is None:
        return
    yield from snapshotrevisions.owned(seen.copies, seen.revisions, seen.vm)
    if get(seen.restore, "spec", "volumeOwnershipPolicy") == "None":
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


def _names(seen: Seen) -> dict[str, str]:
    return {volume: name(claim) for volume, claim in seen.claims.items() if claim is not None}


def status(seen: Seen, plan: Plan) -> Object | None:
    fresh: Object = {"complete": False, **(seen.restore.get("status") or {})}
    if is_deleting(seen.restore) or _is_over(seen):
        return None
    if seen.vmi is not None and not _is_restored(seen):
        return restoretarget.not_ready(seen.restore, fresh, seen.now)
    if why := _trouble(seen):
        return told(fresh, False, why, why, seen.now)
    fresh["restores"] = restores(seen.restore, seen.content, restoreclaims.kept(seen.restore, seen.volumes))
    if not _is_restored(seen):
        fresh["deletedDataVolumes"] = restored.replaced(seen.restore, seen.vm, seen.content)
        what = "Updating target spec" if all(map(_is_filled, seen.claims.values())) else "Creating new PVCs"
        wait = "Waiting for target update" if what.startswith("Updating") else "Waiting for new PVCs"
        return told(fresh, True, what, wait, seen.now)
    fresh |= {"complete": True, "restoreTime": rfc3339(seen.now)}
    for type, is_true in (("Ready", True), ("Progressing", False)):
        known = fresh.get("conditions")
        fresh["conditions"] = conditions.set_condition(known, type, is_true, "Operation complete", "", seen.now)
    return fresh
