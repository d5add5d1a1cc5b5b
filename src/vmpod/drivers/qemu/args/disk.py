"""Disks, CD-ROMs and LUNs, with the controllers they sit on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.args.options import UNDERSCORED, as_json, pairs
from vmpod.drivers.qemu.spec import Disk, MachineSpec

_NODE_ROOM = 31  # QEMU's limit for node names
_SATA_PORTS = 6


def node(disk: Disk) -> str:
    """The block node's name: the disk's own where it fits, else a digest of it."""
    name = f"disk-{disk.name}"
    return name if len(name) <= _NODE_ROOM else f"disk-{hashlib.sha256(disk.name.encode()).hexdigest()[:24]}"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Threads and controllers first, then one block node and one device for each disk."""
    sata = iter(_sata_ports(spec))
    words: list[str] = []
    for thread in dict.fromkeys(disk.io_thread for disk in spec.disks if disk.io_thread):
        words += ("-object", pairs("iothread", id=thread))
    words += _controllers(spec)
    for disk in spec.disks:
        words += ("-blockdev", as_json(blockdev(disk))) if disk.path else ()
        words += ("-device", _device(spec, disk, sata))
    return tuple(words)


def _sata(spec: MachineSpec) -> int:
    return sum(disk.bus == "sata" and not pci.is_scsi(disk) for disk in spec.disks)


def _built_in(spec: MachineSpec) -> int:
    return _SATA_PORTS if spec.is_pcie else 0


def _extra_controllers(spec: MachineSpec) -> int:
    return max(0, -(-(_sata(spec) - _built_in(spec)) // _SATA_PORTS))


def _sata_ports(spec: MachineSpec) -> Iterable[str]:
    ports = [f"ide.{n}" for n in range(_built_in(spec))]
    return ports + [f"ahci{c}.{n}" for c in range(_extra_controllers(spec)) for n in range(_SATA_PORTS)]


def _controllers(spec: MachineSpec) -> Iterable[str]:
    for number in range(_extra_controllers(spec)):
        yield from ("-device", pairs("ahci", id=f"ahci{number}"))
    if pci.has_scsi(spec):
        yield from ("-device", pairs(pci.virtio(spec, "virtio-scsi-pci"), id="scsi0", bus=pci.bus(spec, "scsi0")))


def blockdev(disk: Disk, backing: Mapping[str, object] | None = None) -> dict[str, object]:
    """Format over file; unused space is given back to the host (discard), zeroes are not stored.

    `backing` is said only where the image's own header does not lead QEMU to what lies beneath it.
    """
    cache = {"direct": disk.cache == "none", "no-flush": False}
    file: dict[str, object] = {"driver": "file", "filename": disk.path, "cache": cache}
    file["aio"] = disk.io or "threads"
    if not disk.readonly:
        file |= {"discard": "unmap"}
    whole: dict[str, object] = {"driver": disk.format, "node-name": node(disk), "read-only": disk.readonly,
                                "cache": cache, "file": file}
    if disk.shareable and disk.format == "raw":  # two that write one qcow2 would destroy it
        file["locking"] = "off"
    if backing is not None:
        whole["backing"] = dict(backing)
    return whole if disk.readonly else whole | {"discard": "unmap", "detect-zeroes": "unmap"}


def plug(disk: Disk, bus: str) -> dict[str, object]:
    """What `device_add` is told for a disk that is plugged into a running machine."""
    values = {"driver": _model(disk), "id": device_id(disk.name), "bus": bus, "drive": node(disk),
              "serial": disk.serial or None, **_behaviour(disk)}
    return {key if key in UNDERSCORED else key.replace("_", "-"): value
            for key, value in values.items() if value is not None}


def device_id(name: str) -> str:
    """The name of a disk's device in QEMU."""
    return f"ua-{name}"


def _device(spec: MachineSpec, disk: Disk, sata: Iterable[str]) -> str:
    model = _model(disk, transitional=spec.transitional)
    return pairs(model, id=device_id(disk.name), **_place(spec, disk, sata), drive=node(disk) if disk.path else None,
                 serial=disk.serial or None, bootindex=disk.boot_index or None,
                 iothread=disk.io_thread or None, **_behaviour(disk))


def _model(disk: Disk, *, transitional: bool = False) -> str:
    if disk.kind == "lun":
        return "scsi-hd"
    families = {"virtio": "virtio-blk-pci-transitional" if transitional else "virtio-blk-pci", "usb": "usb-storage"}
    kind = "cd" if disk.kind == "cdrom" else "hd"
    return families.get(disk.bus) or f"{'scsi' if disk.bus == 'scsi' else 'ide'}-{kind}"


def _place(spec: MachineSpec, disk: Disk, sata: Iterable[str]) -> dict[str, str | None]:
    if pci.is_scsi(disk):
        return {"bus": "scsi0.0"}
    if disk.bus == "virtio":
        return pci.place(spec, f"disk-{disk.name}", disk.slot)
    return {"bus": next(iter(sata)) if disk.bus == "sata" else "xhci.0"}


def _behaviour(disk: Disk) -> dict[str, str | int | bool | None]:
    """What the guest sees of the cache; `writethrough` shows none, so that each write is a flush."""
    if disk.kind == "cdrom":
        return {}
    values: dict[str, str | int | bool | None] = {
        "write_cache": "off" if disk.cache == "writethrough" else "on", "share_rw": True if disk.shareable else None}
    if disk.logical_block_bytes:
        values |= {"logical_block_size": str(disk.logical_block_bytes),
                   "physical_block_size": str(disk.physical_block_bytes or disk.logical_block_bytes)}
    if disk.discard_bytes:
        values["discard_granularity"] = str(disk.discard_bytes)
    if disk.bus == "virtio" and disk.queues > 1:
        values["num_queues"] = disk.queues
    if disk.bus == "usb":
        values["removable"] = False
    return values | _errors(disk)


def _errors(disk: Disk) -> dict[str, str | int | bool | None]:
    """What follows an error of the host's disk: the machine pauses (KubeVirt's default), or the guest is told."""
    chosen = disk.on_error or "stop"
    on_read = "report" if chosen == "enospace" else chosen
    return {"werror": "enospc" if chosen == "enospace" else chosen, "rerror": on_read}
