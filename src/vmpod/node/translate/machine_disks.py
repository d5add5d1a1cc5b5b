"""The disks of a VMI: each volume through its disk entry, in the order of the entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.qemu import spec as qemu
from vmpod.kinds.parts.acpi_tables import table_volumes
from vmpod.model.meta import Object, get, name
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate.addresses import address_of, root_slot
from vmpod.node.translate.machine_threads import io_threads

_KINDS = ("disk", "cdrom", "lun")
_BUSES = ("virtio", "sata", "scsi", "usb")
_DEFAULT_BUS = "sata"  # what KubeVirt writes where none is named (amd64)
_PREFIX = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd"}
_NOT_DISKS = ("downwardMetrics", "serviceAccount", "memoryDump")


def entries(vmi: Object) -> list[Mapping[str, Any]]:
    """The disk entries, and one of the default kind for each volume without an entry that is a disk."""
    tables = table_volumes(vmi.get("spec") or {})
    volumes = [one["name"] for one in get(vmi, "spec", "volumes", default=()) if _is_disk(one)]
    given = list(get(vmi, "spec", "domain", "devices", "disks", default=()))
    named = {one["name"] for one in given}
    filesystems = {one["name"] for one in get(vmi, "spec", "domain", "devices", "filesystems", default=())}
    bare = [{"name": volume} for volume in volumes if volume not in named | filesystems | tables.keys()]
    return given + bare


def _is_disk(volume: Mapping[str, Any]) -> bool:
    return not any(key in volume for key in _NOT_DISKS)


def disks(vmi: Object, volumes: Mapping[str, PreparedVolume]) -> tuple[qemu.Disk, ...]:
    """Every disk, with its boot order. Raises Problem for an entry without a volume and for unknown buses."""
    wanted = entries(vmi)
    boots = _boot_order(vmi, wanted)
    queues, threads = _queues(vmi), io_threads(vmi, wanted, _processors(vmi))
    return tuple(
        replace(_disk(vmi, one, volumes, boots[one["name"]], queues), io_thread=threads.get(one["name"], ""))
        for one in wanted
    )


def _boot_order(vmi: Object, wanted: list[Mapping[str, Any]]) -> dict[str, int]:
    """What the entries say; where nothing (no disk and no card) says anything, the order in which they stand."""
    cards = get(vmi, "spec", "domain", "devices", "interfaces", default=())
    if any(one.get("bootOrder") for one in (*wanted, *cards)):
        return {one["name"]: int(one.get("bootOrder") or 0) for one in wanted}
    return {one["name"]: number for number, one in enumerate(wanted, 1)}


def _queues(vmi: Object) -> int:
    return _processors(vmi) if get(vmi, "spec", "domain", "devices", "blockMultiQueue") else 0


def _processors(vmi: Object) -> int:
    cpu = get(vmi, "spec", "domain", "cpu", default={})
    return int(cpu.get("sockets") or 1) * int(cpu.get("cores") or 1) * int(cpu.get("threads") or 1)


def _disk(
    vmi: Object, one: Mapping[str, Any], volumes: Mapping[str, PreparedVolume], boot: int, queues: int
) -> qemu.Disk:
    volume = volumes.get(one["name"])
    kind, device = kind_of(one)
    if volume is None and kind == "cdrom":
        return _empty_drive(vmi, one, boot)
    if volume is None:
        raise _problem(vmi, one, "has no volume of its name", "name a volume in spec.volumes")
    bus, size = bus_of(vmi, one), _block_size(one)
    readonly = volume.readonly or kind == "cdrom" or bool(device.get("readonly"))
    if readonly and (kind, bus) == ("disk", "sata"):
        raise _problem(vmi, one, "is read-only, which a SATA disk cannot be", "use bus: virtio, or cdrom: {}")
    return qemu.Disk(
        name=one["name"], path=volume.container_path, kind=kind, bus=bus, format=_format(volume), readonly=readonly,
        serial=str(one.get("serial") or ""), boot_index=boot, cache=one.get("cache") or "",
        io=_io(one), logical_block_bytes=size[0], physical_block_bytes=size[1], discard_bytes=size[2],
        shareable=bool(one.get("shareable")), queues=queues, on_error=one.get("errorPolicy") or "",
        slot=root_slot(address_of(one)) if bus == "virtio" else "",
    )


def _empty_drive(vmi: Object, one: Mapping[str, Any], boot: int) -> qemu.Disk:
    bus = bus_of(vmi, one)
    if bus not in ("sata", "scsi"):
        raise _problem(vmi, one, f"is an empty drive, which {bus} does not have", "use bus: sata or scsi")
    return qemu.Disk(one["name"], "", "cdrom", bus, "raw", True, str(one.get("serial") or ""), boot)


def disk_of(vmi: Object, entry: Mapping[str, Any], volume: PreparedVolume) -> qemu.Disk:
    """One disk that is plugged in while the machine runs. Raises Problem for an unknown bus."""
    return _disk(vmi, entry, {entry["name"]: volume}, 0, _queues(vmi))


def kind_of(one: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """disk, cdrom or lun, and what is said about it; an entry that says nothing is a disk."""
    kind = next((key for key in _KINDS if key in one), "disk")
    return kind, one.get(kind) or {}


def bus_of(vmi: Object, one: Mapping[str, Any]) -> Any:
    """The bus of an entry. Raises Problem for one that does not exist."""
    bus = kind_of(one)[1].get("bus") or _DEFAULT_BUS
    if bus not in _BUSES:
        raise _problem(vmi, one, f"there is no bus {bus!r}", f"use {', '.join(_BUSES)}")
    return bus


def targets(vmi: Object) -> dict[str, str]:
    """What the guest calls each disk (vda, sda …): counted per bus in the order of the entries."""
    counts: dict[str, int] = {}
    found: dict[str, str] = {}
    for one in entries(vmi):
        prefix = _PREFIX.get(str(kind_of(one)[1].get("bus") or _DEFAULT_BUS), "sd")
        found[one["name"]] = prefix + letters(counts.get(prefix, 0))
        counts[prefix] = counts.get(prefix, 0) + 1
    return found


def letters(number: int) -> str:
    """0 → a, 25 → z, 26 → aa, as the kernel counts disks."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def _format(volume: PreparedVolume) -> Any:
    return "raw" if volume.format in ("raw", "iso") else "qcow2"


def _io(one: Mapping[str, Any]) -> Any:
    """`native` needs direct access, which only cache `none` gives; QEMU refuses it otherwise."""
    io = one.get("io") or ""
    return "threads" if io == "native" and one.get("cache") != "none" else io


def _block_size(one: Mapping[str, Any]) -> tuple[int, int, int]:
    custom = get(one, "blockSize", "custom", default={})
    return int(custom.get("logical") or 0), int(custom.get("physical") or 0), int(custom.get("discardGranularity") or 0)


def _problem(vmi: Object, one: Mapping[str, Any], why: str, fix: str) -> Problem:
    return Problem(f"start the machine {name(vmi)}", f"the disk {one.get('name')!r} {why}", fix, "Unsupported")
