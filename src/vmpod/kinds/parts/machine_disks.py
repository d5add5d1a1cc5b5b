"""Rules of the disks of a machine, with KubeVirt's texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpod.kinds.parts.disk_values import value_errors
from vmpod.kinds.parts.machine_defaults import DISK_TARGETS
from vmpod.kinds.parts.reading import dig, entries, indexed, mapping, number, set_keys, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

BUSES = ("virtio", "scsi", "sata", "usb")
CACHE_MODES = ("none", "writethrough", "writeback")
_SERIAL = re.compile(r"[A-Za-z0-9_.+-]+")
_SERIAL_MAX = 256


def disk_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every fault of `domain.devices.disks`, and of the boot order of all devices."""
    here = f"{path}.domain.devices"
    devices = dig(spec, "domain", "devices")
    volumes = {text(volume, "name"): volume for volume in entries(spec, "volumes")}
    places: dict[str, str] = {}
    for at, disk in indexed(devices, "disks", here):
        name = text(disk, "name")
        if name in places:
            yield wrong(f"{at}.name", name, f"{at} and {places[name]} must not have the same Name.")
        places.setdefault(name, at)
        yield from _volume_errors(disk, at, volumes)
        yield from _one_disk(disk, at)
    yield from _boot_order_errors(devices, here)


def _volume_errors(disk: Object, path: str, volumes: dict[str, Object]) -> Iterator[FieldError]:
    name = text(disk, "name")
    volume = volumes.get(name)
    if volume is None:
        if disk.get("cdrom") is None:  # a drive may be empty
            yield wrong(f"{path}.name", name, f"{path}.Name '{name}' not found.")
    elif disk.get("lun") is not None and not set_keys(volume, ("persistentVolumeClaim", "dataVolume")):
        told = f"{path}.lun can only be mapped to a DataVolume or PersistentVolumeClaim volume."
        yield wrong(f"{path}.lun", disk["lun"], told)


def _one_disk(disk: Object, path: str) -> Iterator[FieldError]:
    name, serial, cache = text(disk, "name"), text(disk, "serial"), text(disk, "cache")
    for fault in names.label_faults(name):
        yield wrong(f"{path}.name", name, fault)
    if len(set_keys(disk, DISK_TARGETS)) > 1:
        yield wrong(path, name, f"{path} can only have a single target type defined")
    if serial and not _SERIAL.fullmatch(serial):
        told = f"{path} must be made up of the following characters [A-Za-z0-9_.+-], if specified"
        yield wrong(f"{path}.serial", serial, told)
    if len(serial) > _SERIAL_MAX:
        told = f"{path} must be less than or equal to {_SERIAL_MAX} in length, if specified"
        yield wrong(f"{path}.serial", serial, told)
    if cache and cache not in CACHE_MODES:
        yield wrong(f"{path}.cache", cache, f"{path}.cache has invalid value {cache}")
    yield from value_errors(disk, path)
    for target in set_keys(disk, DISK_TARGETS):
        yield from _bus_errors(target, mapping(disk[target]), path)


def _bus_errors(target: str, device: Object, path: str) -> Iterator[FieldError]:
    bus, here = text(device, "bus"), f"{path}.{target}.bus"
    match bus:
        case "ide":
            yield wrong(here, bus, "IDE bus is not supported")
        case "virtio" if target == "cdrom":
            yield wrong(here, bus, f"Bus type {bus} is invalid for CD-ROM device")
        case "sata" if target == "disk" and device.get("readonly"):
            yield wrong(here, bus, f"{bus} hard-disks do not support read-only.")
        case "" | "virtio" | "sata" | "scsi" | "usb":
            return
        case _:
            told = f"{path} is set with an unrecognized bus {bus}, must be one of: [{' '.join(BUSES)}]"
            yield wrong(here, bus, told)


def _boot_order_errors(devices: Object, path: str) -> Iterator[FieldError]:
    """Orders start at one and no two devices share one."""
    seen: set[int] = set()
    for key in ("disks", "interfaces"):
        for here, device in indexed(devices, key, path):
            order = number(device, "bootOrder")
            if order is None:
                continue
            if order < 1:
                yield wrong(f"{here}.bootOrder", order, f"{here} must have a boot order > 0, if supplied")
            elif order in seen:
                told = f"Boot order for {here}.bootOrder already set for a different device."
                yield wrong(f"{here}.bootOrder", order, told)
            seen.add(order)
