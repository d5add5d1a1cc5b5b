"""VirtualMachineSnapshot → one content that names the volumes; the node takes it, the result is folded back.

The machine is locked (status.snapshotInProgress) until the content is there or the attempt is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vmpod.base.clock import parse
from vmpod.client.cache import Cache
from vmpod.controllers import machinestate, snapshotrevisions
from vmpod.controllers.children import delete, finalizers, with_finalizer, without_finalizers
from vmpod.controllers.launcher import claim_name
from vmpod.controllers.revisions import revision_named_by
from vmpod.controllers.snapshotcontent import content_name, new_content
from vmpod.controllers.volumesready import is_being_filled
from vmpod.kinds import (
    CONTROLLERREVISION,
    PERSISTENTVOLUMECLAIM,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINESNAPSHOT,
    VIRTUALMACHINESNAPSHOTCONTENT,
)
from vmpod.kinds.parts.machine_state import volume_name
from vmpod.model import conditions, duration
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.reconcile.actions import Action, Create, Note, Patch, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

FINALIZER = "snapshot.kubevirt.io/vmsnapshot-protection"
_RETRY_S = 5.0
_NEVER_S = 86400.0  # a deadline of 0 is none
_LOCKED = "Source locked and operation in progress"
_INDICATIONS = {
    "GuestAgent": "Guest agent was active and attempted to quiesce the filesystem for application consistency.",
    "NoGuestAgent": "Guest agent was not available. Snapshot is crash-consistent and may not be "
                    "application-consistent.",
    "Online": "Snapshot taken while the VM was running. Consistency depends on guest-agent quiescing.",
    "Paused": "Snapshot taken while the VM was paused. Snapshot is crash-consistent and may not be "
              "application-consistent.",
}


def _of_machine(vm: Object, cache: Cache) -> Iterable[Key]:
    return [key_of(one) for one in cache.list(VIRTUALMACHINESNAPSHOT, namespace(vm))
            if get(one, "spec", "source", "name") == name(vm)]  # fmt: skip


def _of_content(content: Object) -> Iterable[Key]:
    return ((namespace(content), str(get(content, "spec", "virtualMachineSnapshotName", default=""))),)


KIND = VIRTUALMACHINESNAPSHOT
WATCHES = (
    own(VIRTUALMACHINESNAPSHOT), Watch(VIRTUALMACHINESNAPSHOTCONTENT, _of_content),
    Watch(VIRTUALMACHINE, found=_of_machine),
)


@dataclass(frozen=True)
class Seen:
    """A snapshot, its machine, the machine's instance and claims (by volume), and the content made of them.

    `revisions`: what its matchers were kept as, and their copies; `started`: what the instance was made from.
    """

    snapshot: Object
    vm: Object | None
    vmi: Object | None
    claims: Mapping[str, Object | None]
    content: Object | None
    now: datetime
    revisions: snapshotrevisions.Revisions = field(default_factory=dict)
    started: Object | None = None


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    snapshot = cache.get(VIRTUALMACHINESNAPSHOT, *key)
    if snapshot is None:
        return None
    where, source = key[0], str(get(snapshot, "spec", "source", "name", default=""))
    vm = cache.get(VIRTUALMACHINE, where, source)
    volumes = get(vm, "spec", "template", "spec", "volumes", default=())
    disks = {one["name"] for one in get(vm, "spec", "template", "spec", "domain", "devices", "disks", default=())}
    claims = {one["name"]: cache.get(PERSISTENTVOLUMECLAIM, where, claim) for one in volumes
              if one["name"] in disks and "ephemeral" not in one and (claim := claim_name(one))}  # fmt: skip
    if vm is not None and (state := machinestate.kept_claim(vm, cache)) is not None:
        claims[volume_name(source)] = state
    content = cache.get(VIRTUALMACHINESNAPSHOTCONTENT, where, content_name(snapshot))
    vmi = cache.get(VIRTUALMACHINEINSTANCE, where, source)
    kept = snapshotrevisions.names(_copies(snapshot, vm or {}))
    return Seen(
        snapshot, vm, vmi, claims, content, now, {one: cache.get(CONTROLLERREVISION, where, one) for one in kept},
        cache.get(CONTROLLERREVISION, where, revision_named_by(vmi)) if vmi is not None else None,
    )


def _copies(snapshot: Object, vm: Object) -> tuple[snapshotrevisions.Copy, ...]:
    return snapshotrevisions.copies(vm, name(vm), name(snapshot))


def _is_ended(seen: Seen) -> bool:
    return get(seen.snapshot, "status", "phase") in ("Succeeded", "Failed")


def _left_s(seen: Seen) -> float:
    created = parse(str(get(seen.snapshot, "metadata", "creationTimestamp")))
    deadline_s = duration.seconds(str(get(seen.snapshot, "spec", "failureDeadline", default="5m")))
    return (created + timedelta(seconds=deadline_s) - seen.now).total_seconds() if deadline_s else _NEVER_S


def _is_late(seen: Seen) -> bool:
    return not _is_taken(seen) and not _is_ended(seen) and _left_s(seen) <= 0


def _is_taken(seen: Seen) -> bool:
    return bool(get(seen.content, "status", "creationTime"))


def _is_locked(seen: Seen) -> bool:
    return bool(get(seen.vm, "status", "snapshotInProgress") == name(seen.snapshot))


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.snapshot):
        return _plan_deletion(seen)
    if FINALIZER not in finalizers(seen.snapshot):
        return Plan((with_finalizer(VIRTUALMACHINESNAPSHOT, seen.snapshot, FINALIZER),))
    if _is_ended(seen) or _is_late(seen) or _is_taken(seen):
        return Plan((*_unlock(seen), *_drop_unready(seen)))
    if seen.vm is None or _obstacle(seen):
        return Plan(again_in=min(_RETRY_S, max(_left_s(seen), 0.1)))
    if not _is_locked(seen):
        return Plan((_lock(seen.vm, name(seen.snapshot)),), _RETRY_S)
    if seen.content is None:
        copies = _copies(seen.snapshot, seen.vm)
        if fresh := tuple(snapshotrevisions.made(copies, seen.revisions, seen.snapshot)):
            return Plan(fresh, 0.0)
        text = f"Successfully created VirtualMachineSnapshotContent {content_name(seen.snapshot)}"
        note = Note("Normal", "SuccessfulVirtualMachineSnapshotContentCreate", text, seen.snapshot)
        made = new_content(seen.snapshot, seen.vm, seen.claims, seen.started, copies)
        return Plan((Create(VIRTUALMACHINESNAPSHOTCONTENT, made),), _RETRY_S, (note,))
    return Plan(again_in=max(_left_s(seen), 0.1))


def _plan_deletion(seen: Seen) -> Plan:
    """The content goes along, unless it is ready and to be retained."""
    is_kept = get(seen.snapshot, "spec", "deletionPolicy") == "Retain" and _is_taken(seen)
    if seen.content is not None and not is_kept:
        gone = () if is_deleting(seen.content) else (delete(VIRTUALMACHINESNAPSHOTCONTENT, seen.content),)
        return Plan((*_unlock(seen), *gone))
    ours = (without_finalizers(VIRTUALMACHINESNAPSHOT, seen.snapshot, FINALIZER),)
    return Plan((*_unlock(seen), *(ours if FINALIZER in finalizers(seen.snapshot) else ())))


def _drop_unready(seen: Seen) -> tuple[Action, ...]:
    if seen.content is None or _is_taken(seen) or is_deleting(seen.content):
        return ()
    return (delete(VIRTUALMACHINESNAPSHOTCONTENT, seen.content),)


def _lock(vm: Object, by: str | None) -> Patch:
    return Patch(VIRTUALMACHINE, namespace(vm), name(vm), {"status": {"snapshotInProgress": by}}, "status")


def _unlock(seen: Seen) -> tuple[Action, ...]:
    return (_lock(seen.vm, None),) if seen.vm is not None and _is_locked(seen) else ()


def _obstacle(seen: Seen) -> str:
    """Why the machine cannot be locked now (upstream's words); empty when it can."""
    where = f" source {namespace(seen.snapshot)}/{name(seen.vm or {})}"
    for volume, claim in seen.claims.items():
        if claim is None:
            return f"{where} volume doesnt exist: {volume}"
        if is_deleting(claim):
            return f"{where} volume is being deleted: {name(claim)}"
        if get(claim, "status", "phase") != "Bound":
            return f"{where} volume not bound: {name(claim)}"
        if is_being_filled(claim):
            return f"{where} volume not populated: {name(claim)}"
    if seen.vm is not None and (lost := snapshotrevisions.missing(_copies(seen.snapshot, seen.vm), seen.revisions)):
        return f" Unable to fetch ControllerRevision {namespace(seen.snapshot)}/{lost}"
    other = get(seen.vm, "status", "snapshotInProgress")
    return f' snapshot "{other}" in progress' if other and other != name(seen.snapshot) else ""


def status(seen: Seen, plan: Plan) -> Object | None:
    old = seen.snapshot.get("status") or {}
    fresh: Object = {"readyToUse": False, **old}
    if seen.vm is not None:
        fresh["sourceUID"] = uid(seen.vm)
    if seen.content is not None:
        fresh["virtualMachineSnapshotContentName"] = name(seen.content)
        found = seen.content.get("status") or {}
        fresh |= {key: found[key] for key in ("creationTime", "readyToUse", "error") if key in found}
        if "error" in fresh and "error" not in found:
            del fresh["error"]
    return _ended(seen, fresh) or _under_way(seen, fresh)


def _set(fresh: Object, type: str, is_true: bool, why: str, now: datetime) -> None:
    fresh["conditions"] = conditions.set_condition(fresh.get("conditions"), type, is_true, why, "", now)


def _ended(seen: Seen, fresh: Object) -> Object | None:
    if _is_late(seen) or fresh.get("phase") == "Failed":
        fresh["phase"] = "Failed"
        _set(fresh, "Failure", True, "snapshot deadline exceeded", seen.now)
        _set(fresh, "Progressing", False, "Operation failed", seen.now)
    elif fresh.get("creationTime"):
        fresh["phase"] = "Succeeded"
        _set(fresh, "Progressing", False, "Operation complete", seen.now)
        included = [one["volumeName"] for one in get(seen.content, "spec", "volumeBackups", default=())]
        machine = get(seen.content, "spec", "source", "virtualMachine", "spec", "template", "spec", default={})
        others = [one["name"] for one in machine.get("volumes") or () if one["name"] not in included]
        if seen.content is not None:
            fresh["snapshotVolumes"] = {"includedVolumes": included, "excludedVolumes": others}
    else:
        return None
    is_ready = bool(fresh.get("readyToUse"))
    _set(fresh, "Ready", is_ready, "Ready" if is_ready else "Not ready", seen.now)
    return fresh


def _under_way(seen: Seen, fresh: Object) -> Object:
    fresh["phase"] = "Deleting" if is_deleting(seen.snapshot) else "InProgress"
    locked = _is_locked(seen)
    why = "Source does not exist" if seen.vm is None else _LOCKED if locked else f"Source not locked{_obstacle(seen)}"
    _set(fresh, "Progressing", locked, why, seen.now)
    _set(fresh, "Ready", False, "Not ready", seen.now)
    for key in ("indications", "sourceIndications"):
        fresh.pop(key, None)
    if seen.vmi is not None:
        said = sorted(_indications(seen.vmi))
        fresh["indications"] = said
        fresh["sourceIndications"] = [{"indication": one, "message": _INDICATIONS[one]} for one in said]
    return fresh


def _indications(vmi: Object) -> tuple[str, str]:
    known = get(vmi, "status", "conditions", default=[])
    if conditions.is_true(known, "Paused"):
        return "Online", "Paused"
    return "Online", "GuestAgent" if conditions.is_true(known, "AgentConnected") else "NoGuestAgent"
