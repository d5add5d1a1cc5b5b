"""What can be known of an image: plain data, made by the other modules here, judged elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """A partition or a logical volume: where it lies, in bytes, and what is in it.

    `kind` is the role its table gives it (efi, bios-boot, lvm, swap, windows, linux, data, extended), `filesystem`
    what was found in it (ext4, xfs, vfat, ntfs, iso9660, swap, lvm, luks, btrfs; empty: nothing known).
    """

    name: str
    start: int
    size: int
    kind: str = "data"
    filesystem: str = ""
    label: str = ""
    active: bool = False
    free_bytes: int = -1


@dataclass(frozen=True)
class Kernel:
    """An installed kernel: how its initramfs or itself reaches a virtio disk.

    `virtio` is builtin, initramfs, modules (on the disk only, so it is not found at boot), none or unknown. `buses` are
    those (virtio, scsi, sata) whose drivers are built in or in the initramfs; nothing is said when that is unknown.
    """

    version: str
    virtio: str
    initramfs: str = ""
    buses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loader:
    """A program for UEFI: its path on its partition, and the processor it is for (x86_64, i386, aarch64 …)."""

    path: str
    machine: str


@dataclass(frozen=True)
class Trouble:
    """Something that will bite: what it is, where it was seen, what mends it."""

    what: str
    where: str
    remedy: str


@dataclass(frozen=True)
class Service:
    """A service that starts by itself, and the TCP ports that its configuration names."""

    name: str
    ports: tuple[int, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class System:
    """The operating system on a disk. `family` is linux, windows or empty when none was recognised.

    `disk_names` are the beginnings (sd, vd, hd, xvd) of the names by order that its configuration gives its disks.
    """

    family: str = ""
    id: str = ""
    name: str = ""
    version: str = ""
    architecture: str = ""
    hostname: str = ""
    kernels: tuple[Kernel, ...] = ()
    cloud_init: bool = False
    guest_agent: bool = False
    ssh: bool = False
    virtio: bool = False
    users: tuple[str, ...] = ()
    disk_names: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    hints: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True)
class Image:
    """All of it. `boots` holds bios and uefi, as far as the disk carries what each needs; `beyond` the parts that reach
    beyond its end; `inspector` is what virt-inspector calls its system (empty: it was not asked)."""

    path: str
    format: str
    virtual_bytes: int
    actual_bytes: int
    table: str = ""
    boots: tuple[str, ...] = ()
    cdrom: bool = False
    parts: tuple[Part, ...] = ()
    system: System = field(default_factory=System)
    unread: tuple[str, ...] = ()
    loaders: tuple[Loader, ...] = ()
    beyond: tuple[str, ...] = ()
    inspector: str = ""


def restored(said: Mapping[str, Any]) -> Image:
    """An Image from what `dataclasses.asdict` made of one, by way of JSON."""
    system = dict(said["system"])
    system["kernels"] = tuple(Kernel(**{**one, "buses": tuple(one["buses"])}) for one in system["kernels"])
    system["services"] = tuple(Service(one["name"], tuple(one["ports"]), one["hint"]) for one in system["services"])
    system["troubles"] = tuple(Trouble(**one) for one in system["troubles"])
    system |= {name: tuple(system[name]) for name in ("users", "hints", "disk_names")}
    lists = {name: tuple(said[name]) for name in ("boots", "unread", "beyond")}
    loaders = tuple(Loader(**one) for one in said["loaders"])
    parts = tuple(Part(**one) for one in said["parts"])
    return Image(**{**said, **lists, "loaders": loaders, "parts": parts, "system": System(**system)})
