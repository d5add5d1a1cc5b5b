"""What a VirtualMachineExport is of: the claims to show, and why they cannot be shown now, in upstream's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmpod.client.cache import Cache
from vmpod.controllers import exported
from vmpod.controllers.launcher import claim_name
from vmpod.controllers.volumesready import is_being_filled
from vmpod.kinds import (
    PERSISTENTVOLUMECLAIM,
    POD,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINESNAPSHOT,
    VIRTUALMACHINESNAPSHOTCONTENT,
)
from vmpod.kinds.parts.machine_state import volume_name
from vmpod.model.meta import Object, get, name, namespace

_ENDED = ("Succeeded", "Failed")
Condition = tuple[str, bool, str, str]  # type, whether true, reason, message; an empty type is none


@dataclass(frozen=True)
class Source:
    """The claims of a source, and the reason and message of what keeps them from being shown; empty when nothing does.

    `machine` is the VirtualMachine's name, for a claim empty; `missing` are volumes of a snapshot that have no claim
    yet; `is_empty` says that there will never be anything to show.
    """

    claims: tuple[Object, ...] = ()
    reason: str = ""
    message: str = ""
    condition: Condition = ("", False, "", "")
    machine: str = ""
    missing: tuple[Object, ...] = ()
    is_empty: bool = False

    @property
    def is_available(self) -> bool:
        return not self.reason and bool(self.claims)


def source_of(export: Object, cache: Cache) -> Source:
    wanted = get(export, "spec", "source", default={})
    match wanted.get("kind"):
        case "VirtualMachine":
            return _of_machine(export, str(wanted["name"]), cache)
        case "VirtualMachineSnapshot":
            return _of_snapshot(export, str(wanted["name"]), cache)
    return _of_claim(export, str(wanted.get("name")), cache)


def _of_claim(export: Object, wanted: str, cache: Cache) -> Source:
    where = namespace(export)
    called = f"PersistentVolumeClaim {where}/{wanted}"
    claim = cache.get(PERSISTENTVOLUMECLAIM, where, wanted)
    if claim is None:
        condition = ("PVCReady", False, "PVCNotFound", f"{called} not found")
        return Source(reason="Initializing", condition=condition)
    reason, message = "", ""
    if get(claim, "status", "phase") != "Bound" or is_being_filled(claim):
        reason, message = "PVCPending", f"{called} is not populated"
    elif is_used(where, wanted, cache):
        reason, message = "InUse", f"{called} is in use"
    return Source((claim,), reason, message, _bound([claim]))


def _bound(claims: Sequence[Object]) -> Condition:
    """The condition PVCReady, by the worst of them."""
    phases = {str(get(one, "status", "phase", default="Pending")) for one in claims}
    if phases <= {"Bound"}:
        return "PVCReady", True, "PVCBound", ""
    return "PVCReady", False, "Unknown" if "Lost" in phases else "PVCPending", ""


def is_used(where: str, claim: str, cache: Cache) -> bool:
    """Whether a pod that does not only show it, as our own does, or a machine that has it plugged in uses a claim."""
    for pod in cache.list(POD, where):
        has_ended = get(pod, "status", "phase") in _ENDED
        if not has_ended and not exported.is_exporter(pod) and claim in exported.held_claims(pod):
            return True
    machines = cache.list(VIRTUALMACHINEINSTANCE, where)
    running = (vmi for vmi in machines if get(vmi, "status", "phase") not in _ENDED)
    return any(claim == claim_name(one) for vmi in running for one in get(vmi, "spec", "volumes", default=()))


def _of_machine(export: Object, wanted: str, cache: Cache) -> Source:
    where = namespace(export)
    called = f"Virtual Machine {where}/{wanted}"
    vm, vmi = cache.get(VIRTUALMACHINE, where, wanted), cache.get(VIRTUALMACHINEINSTANCE, where, wanted)
    if vm is None:
        return Source(reason="VMNotFound", message=f"{called} not found", machine=wanted)
    volumes = get(vm, "spec", "template", "spec", "volumes", default=())
    named = [(one, claim) for one in volumes if (claim := claim_name(one))]
    found = [cache.get(PERSISTENTVOLUMECLAIM, where, claim) for _, claim in named]
    claims = tuple(one for one in found if one is not None)
    lacking = any(claim is None and "dataVolume" in one for (one, _), claim in zip(named, found, strict=True))
    if not claims and not lacking:
        return Source(reason="VMNoVolumes", message=f"{called} has no volumes", machine=wanted, is_empty=True)
    if lacking or not all(get(one, "status", "phase") == "Bound" and not is_being_filled(one) for one in claims):
        told = f"Not all volumes in the {called} are populated"
        return Source(claims, "VolumesNotPopulated", told, _bound(claims), wanted)
    if vmi is not None and get(vmi, "status", "phase") not in _ENDED:
        return Source(claims, "InUse", f"{called} is running", _bound(claims), wanted)
    if used := [name(one) for one in claims if is_used(where, name(one), cache)]:
        return Source(claims, "InUse", f"PersistentVolumeClaim {where}/{used[0]} is in use", _bound(claims), wanted)
    return Source(claims, "", "", _bound(claims), wanted)


def _of_snapshot(export: Object, wanted: str, cache: Cache) -> Source:
    where, type = namespace(export), "VolumesCreated"
    called = f"VirtualMachineSnapshot {where}/{wanted}"
    snapshot = cache.get(VIRTUALMACHINESNAPSHOT, where, wanted)
    nothing = f"{called} does not contain any volume snapshots"
    if snapshot is None:
        condition = (type, False, "VMSnapshotNoVolumes", nothing)
        return Source(reason="VMSnapshotNotFound", message=f"{called} not found", condition=condition)
    machine = str(get(snapshot, "spec", "source", "name", default=""))
    held = str(get(snapshot, "status", "virtualMachineSnapshotContentName") or "")
    content = cache.get(VIRTUALMACHINESNAPSHOTCONTENT, where, held)
    if not get(snapshot, "status", "readyToUse") or content is None:
        return Source((), "NotAllPVCsCreated", nothing, (type, False, "NotAllPVCsCreated", nothing), machine)
    state = volume_name(machine)  # which is no disk
    backups = [one for one in get(content, "spec", "volumeBackups", default=()) if one["volumeName"] != state]
    if not backups:
        condition = (type, False, "VMSnapshotNoVolumes", nothing)
        return Source((), "VMSnapshotNoVolumes", nothing, condition, machine, is_empty=True)
    found = [cache.get(PERSISTENTVOLUMECLAIM, where, exported.restored_name(export, one)) for one in backups]
    claims = tuple(one for one in found if one is not None)
    missing = tuple(backup for backup, claim in zip(backups, found, strict=True) if claim is None)
    ready = [one for one in claims if get(one, "status", "phase") == "Bound" and not is_being_filled(one)]
    if len(ready) < len(backups):
        told = "Not all PVCs are ready"
        return Source(claims, "NotAllPVCsReady", told, (type, False, "NotAllPVCsReady", told), machine, missing)
    return Source(claims, "", "", (type, True, "AllPVCsReady", ""), machine)
