"""Disks that come and go while their machine runs.

What QEMU has is compared with what the VMI says, again and again: nothing is remembered, so an engine that was killed
between two steps goes on where the other stopped. The disk reaches QEMU as open files, for its container sees no more
than what was bound at its start.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.args import disk as arguments
from vmpod.drivers.qemu.args.pci import SPARE_PORTS
from vmpod.drivers.qemu.migration import Place
from vmpod.drivers.qemu.qmp import Gone, Monitor, Refused
from vmpod.drivers.qemu.spec import Disk
from vmpod.kinds.parts.hotplug import hotpluggable
from vmpod.model.meta import Object, get
from vmpod.node import diskswitch
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate.machine_disks import disk_of, entries

_DEVICE = re.compile(r"(?:^|/)ua-([a-z0-9-]+)(?:/|$)")
_LEFT_S = 30.0
_LOOK_S = 0.2
Prepare = Callable[[Object], Awaitable[PreparedVolume]]
Tell = Callable[[str, "State"], None]


@dataclass(frozen=True)
class State:
    """Where a plugged volume stands, in KubeVirt's phases."""

    phase: str
    reason: str = ""
    message: str = ""
    is_trouble: bool = False


@dataclass(frozen=True)
class Slots:
    """What QEMU has: device name → block node, empty for a drive without a disc; the block nodes of ours that no device
    uses; the drives that are open."""

    devices: Mapping[str, str]
    idle: frozenset[str]
    open: frozenset[str] = frozenset()


async def look(qmp: Monitor) -> Slots:
    """The disks that the machine has now. Raises Gone, Refused."""
    devices, is_open = {}, set()
    for one in await qmp.block_devices():
        found = _DEVICE.search(str(one.get("qdev") or ""))
        if found:
            devices[found[1]] = str(get(one, "inserted", "node-name", default=""))
            is_open |= {found[1]} if one.get("tray_open") else set()
    nodes = await qmp.execute("query-named-block-nodes", flat=True)
    ours = {str(one["node-name"]) for one in nodes if str(one["node-name"]).startswith("disk-")}
    return Slots(devices, frozenset(ours - set(devices.values())), frozenset(is_open))


async def settle(
    qmp: Monitor, vmi: Object, prepare: Prepare, tell: Tell, known: Callable[[str], bool] = lambda _: False
) -> bool:
    """Plug and unplug until the machine has the disks that its VMI says; whether nothing is left to do.

    Discs are put into drives that are there, and taken out. `known` says of a volume that it was ready before; `tell`
    hears of every step. Raises Gone when the machine ends meanwhile.
    """
    slots = await look(qmp)
    for node in slots.idle:
        await _drop(qmp, node)
    wanted = {one["name"]: dict(one) for one in entries(vmi)}
    for name in slots.devices.keys() - wanted.keys():
        await _unplug(qmp, name, slots.devices[name], tell)
    volumes = hotpluggable(vmi.get("spec") or {})
    done = True
    for name in [one for one in wanted if _is_to_be_emptied(wanted[one], slots, vmi)]:
        done &= await _take_out(qmp, name, slots.devices[name], tell)
    for name, volume in volumes.items():
        if slots.devices.get(name):
            if name in slots.open and not known(name):  # an earlier engine died before it closed the drive
                await qmp.execute("blockdev-close-tray", id=arguments.device_id(name))
            tell(name, _ready(name))
        elif name in wanted:
            done &= await _plug(qmp, vmi, wanted[name], await _prepared(prepare, volume), tell)
    return done and not (await look(qmp)).devices.keys() - wanted.keys()


async def _prepared(prepare: Prepare, volume: Object) -> PreparedVolume:
    try:
        return await prepare(volume)
    except Problem as problem:
        return PreparedVolume(Path(), pending=problem.why)


def _is_to_be_emptied(entry: Object, slots: Slots, vmi: Object) -> bool:
    """Whether a drive holds a disc that the VMI does not have any more."""
    volumes = {one["name"] for one in get(vmi, "spec", "volumes", default=())}
    return "cdrom" in entry and bool(slots.devices.get(entry["name"])) and entry["name"] not in volumes


async def _take_out(qmp: Monitor, name: str, node: str, tell: Tell) -> bool:
    """Open the drive and take the disc out; a guest that holds it is asked to let go, and keeps it until it does."""
    device = arguments.device_id(name)
    try:
        await qmp.execute("blockdev-open-tray", id=device)
        await qmp.execute("blockdev-remove-medium", id=device)
    except Refused as refused:
        why = f"the guest holds the disc {name}: {refused.why}"
        tell(name, State("Detaching", "DetachTimeout", why, is_trouble=True))
        return False
    await qmp.execute("blockdev-close-tray", id=device)
    await _drop(qmp, node)
    tell(name, _gone(name))
    return True


def _gone(name: str) -> State:
    why = f"Volume {name} has been unmounted from virt-launcher pod"
    return State("UnMountedFromPod", "VolumeUnMountedFromPod", why)


async def _plug(qmp: Monitor, vmi: Object, entry: Object, volume: PreparedVolume, tell: Tell) -> bool:
    name = str(entry["name"])
    if volume.pending:
        tell(name, State("Pending", "PVCNotReady", volume.pending, is_trouble=True))
        return False
    tell(name, State("MountedToPod", "VolumeMountedToPod", f"Volume {name} has been mounted in virt-launcher pod"))
    try:
        await insert(qmp, disk_of(vmi, entry, volume), volume)
    except (Problem, OSError) as error:
        if isinstance(error, Gone):
            raise
        why = error.why if isinstance(error, Problem) else error.strerror or str(error)
        tell(name, State("MountedToPod", "FailedAttach", f"cannot plug volume {name}: {why}", is_trouble=True))
        return False
    tell(name, _ready(name))
    return True


def _ready(name: str) -> State:
    return State("Ready", "VolumeReady", f"Successfully attach hotplugged volume {name} to VM")


async def insert(qmp: Monitor, disk: Disk, volume: PreparedVolume, place: Place | None = None) -> None:
    """The block node with all that lies beneath it, then the device: where there is room, or in a place that is known.

    Raises Problem, OSError.
    """
    node = arguments.node(disk)
    beneath: Object | None = None
    for image, form in reversed(volume.beneath):
        under = await _give(qmp, image, os.O_RDONLY, node)
        whole: Object = {"driver": form, "read-only": True, "file": {"driver": "file", "filename": under}}
        beneath = whole if beneath is None else whole | {"backing": beneath}
    path = await _give(qmp, volume.path, os.O_RDONLY, node)
    if not disk.readonly:
        await _give(qmp, volume.path, os.O_RDWR, diskswitch.writable(node), path)
    try:
        await qmp.execute("blockdev-add", **arguments.blockdev(replace(disk, path=path), beneath))
        if place is not None:
            await qmp.execute("device_add", **place.at(arguments.plug(disk, place.bus)))
        else:
            await (_put_in(qmp, disk) if disk.kind == "cdrom" else _add_device(qmp, disk))
    except Refused:
        await _drop(qmp, node)
        raise


async def _give(qmp: Monitor, path: Path, access: int, note: str, to: str = "") -> str:
    handle = os.open(path, access | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return await qmp.add_fd(handle, note=note, to=to)
    finally:
        os.close(handle)


async def _put_in(qmp: Monitor, disk: Disk) -> None:
    """A disc into a drive that is there."""
    device = arguments.device_id(disk.name)
    await qmp.execute("blockdev-open-tray", id=device)
    await qmp.execute("blockdev-insert-medium", id=device, node_name=arguments.node(disk))
    await qmp.execute("blockdev-close-tray", id=device)


async def _add_device(qmp: Monitor, disk: Disk) -> None:
    """On the SCSI controller, or in the first free root port."""
    if disk.bus == "scsi" or disk.kind == "lun":
        await qmp.execute("device_add", **arguments.plug(disk, "scsi0.0"))
        return
    if disk.bus != "virtio":
        raise Problem("plug a disk", f"the bus {disk.bus} takes no disk while the machine runs", "use bus: scsi")
    for number, port in enumerate(SPARE_PORTS, 1):
        try:
            await qmp.execute("device_add", **arguments.plug(disk, port))
            return
        except Refused as refused:
            if number == len(SPARE_PORTS) or "in use" not in refused.why:
                raise


async def _unplug(qmp: Monitor, name: str, node: str, tell: Tell) -> None:
    """Ask the guest to let go, wait for it, and close the files."""
    tell(name, State("Detaching", "VolumeDetaching", f"Volume {name} is being detached from the guest"))
    try:
        await qmp.execute("device_del", id=arguments.device_id(name))
    except Refused as refused:
        if "already in the process" not in refused.why:
            tell(name, State("Detaching", "FailedDetach", f"cannot unplug volume {name}: {refused.why}", True))
            return
    deadline = asyncio.get_running_loop().time() + _LEFT_S
    while name in (await look(qmp)).devices:
        if asyncio.get_running_loop().time() > deadline:
            why = f"the guest has not let go of the disk {name} within {_LEFT_S:g} s; it is asked again"
            tell(name, State("Detaching", "DetachTimeout", why, is_trouble=True))
            return
        await asyncio.sleep(_LOOK_S)
    await _drop(qmp, node)
    tell(name, _gone(name))


async def _drop(qmp: Monitor, node: str) -> None:
    """Remove a block node, with those that a snapshot laid it on, and close the files that were given for them."""
    for one in diskswitch.chain(await qmp.execute("query-named-block-nodes"), node) or [node]:
        try:
            if one in await qmp.block_nodes():
                await qmp.execute("blockdev-del", node_name=one)
        except Refused:
            return
        for files in await qmp.fd_sets():
            if any(fd.get("opaque") == one for fd in files["fds"]):
                await qmp.remove_fd(f"/dev/fdset/{files['fdset-id']}")
