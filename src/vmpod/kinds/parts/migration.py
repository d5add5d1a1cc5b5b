"""Where a machine lives while it moves from one launcher to another, as the status of its instance tells. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vmpod.kinds.parts.reading import dig, entries, mapping, text
from vmpod.model.meta import Object, labels, name, uid
from vmpod.model.meta import annotations as annotations_of

JOB = "kubevirt.io/migrationJobUID"
"""Label of a launcher that was made for a machine to move to: the uid of the migration"""
MOVES_FROM = "vmpod.io/migration-source"
"""Annotation of such a launcher: the uid of the pod that the machine comes from"""
MACHINE = "kubevirt.io/vmi-name"
"""Label of a migration: the instance that it moves"""
DOWNTIME, WAITING = "vmpod.io/Downtime", "vmpod.io/Waiting"
"""Conditions of a migration: how long the guest stood still, and what is waited for"""
FINAL = ("Succeeded", "Failed")
MIGRATABLE = "LiveMigratable"
_DISKS, _CARDS = "DisksNotLiveMigratable", "InterfaceNotLiveMigratable"


def is_migrating(vmi: Object | None) -> bool:
    """Whether a migration has begun and has neither completed nor failed."""
    state = dig(vmi, "status", "migrationState")
    return bool(state) and not (state.get("completed") or state.get("failed"))


def is_moving_unpaused(vmi: Object) -> bool:
    """Whether a machine moves that nobody has paused: one that stands still then does so only to be moved."""
    paused = any(one.get("type") == "Paused" and one.get("status") == "True"
                 for one in entries(dig(vmi, "status"), "conditions"))  # fmt: skip
    return is_migrating(vmi) and not paused


def active_launcher(vmi: Object | None) -> str:
    """The name of the pod that the guest lives in; empty while no migration has ever had a say in it."""
    state = dig(vmi, "status", "migrationState")
    has_moved = state.get("completed") and not state.get("failed")
    return text(state, "targetPod" if has_moved else "sourcePod")


def is_active(vmi: Object | None, pod: Object) -> bool:
    """Whether the guest lives in this launcher, and not only begins or ends to."""
    named = active_launcher(vmi)
    return name(pod) == named if named else JOB not in labels(pod)


def is_awaiting(vmi: Object | None, pod: Object) -> bool:
    """Whether a launcher waits for the guest, or waited in vain: one that it has left counts as before."""
    left = name(pod) == text(dig(vmi, "status", "migrationState"), "sourcePod")
    return JOB in labels(pod) and not left and not is_active(vmi, pod)


def comes_from(pod: Object, launchers: Iterable[Object]) -> str:
    """The uid of the launcher whose machine moves to this one; empty when it starts here, or that one is gone."""
    named = annotations_of(pod).get(MOVES_FROM, "") if JOB in labels(pod) else ""
    return named if any(uid(one) == named for one in launchers) else ""


def obstacle(vmi: Object) -> tuple[str, str] | None:
    """Why a running machine cannot move, as reason and message of its condition LiveMigratable."""
    devices = dig(vmi, "spec", "domain", "devices")
    if devices.get("autoattachVSOCK"):
        return "VSOCKNotLiveMigratable", "cannot migrate VMI with VSOCK: both launchers would need its CID on one host"
    if dig(devices, "tpm").get("persistent") and dig(devices, "tpm").get("enabled") is not False:
        return "TPMNotLiveMigratable", "cannot migrate VMI with a persistent TPM: two launchers would write its claim"
    if devices.get("filesystems"):
        return "VirtIOFSNotLiveMigratable", "cannot migrate VMI: its virtiofs file systems stay with its launcher"
    if devices.get("gpus") or devices.get("hostDevices"):
        return "HostDeviceNotLiveMigratable", "VMI uses a PCI host devices"
    return _disk_obstacle(vmi) or _card_obstacle(vmi)


def _disk_obstacle(vmi: Object) -> tuple[str, str] | None:
    for volume in entries(vmi.get("spec"), "volumes"):
        if "hostDisk" in volume and not dig(volume, "hostDisk").get("shared"):
            return _DISKS, "cannot migrate VMI with non-shared HostDisk"
    for disk in entries(dig(vmi, "spec", "domain", "devices"), "disks"):
        if mapping(disk.get("lun")).get("reservation"):
            return _DISKS, f"cannot migrate VMI: the disk {text(disk, 'name')} holds a SCSI reservation"
    return None


def _card_obstacle(vmi: Object) -> tuple[str, str] | None:
    for card in entries(dig(vmi, "spec", "domain", "devices"), "interfaces"):
        if {"sriov", "macvtap", "passt", "passtBinding", "binding"} & card.keys():
            return _CARDS, f"cannot migrate VMI: the interface {text(card, 'name')} is bound to its launcher"
    return None
