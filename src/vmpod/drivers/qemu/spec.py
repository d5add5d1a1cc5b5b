"""What a virtual machine is, before it is an argument vector.

Every path is one as QEMU sees it. Sizes are bytes. The values are frozen and complete: whatever has a default in
a manifest was decided before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Accelerator = Literal["kvm", "tcg"]
Bus = Literal["virtio", "sata", "scsi", "usb"]
MAKER: Final = (("manufacturer", "KubeVirt"), ("product", "None"), ("family", "KubeVirt"))
"""What a guest reads of its maker"""


@dataclass(frozen=True)
class Cpu:
    """Topology and model. `model` is `host-model`, `host-passthrough` or one of QEMU's own names.

    `features` are pairs (name, on), or (name, value) for those that are more than on or off. `max_sockets` 0: no
    processor is plugged in later.
    """

    sockets: int = 1
    cores: int = 1
    threads: int = 1
    model: str = "host-model"
    features: tuple[tuple[str, bool | str], ...] = ()
    max_sockets: int = 0

    @property
    def count(self) -> int:
        return self.sockets * self.cores * self.threads


@dataclass(frozen=True)
class Disk:
    """A block device of the guest. `boot_index` 0 means: not booted from; a CD-ROM without a path is an empty drive.

    `slot` puts it on bus 0 itself, as `0x10.0x0`; a virtio disk without one is behind a root port, or anywhere.
    Disks that name the same `io_thread` share it; those that name none are served by the main loop.
    """

    name: str
    path: str
    kind: Literal["disk", "cdrom", "lun"] = "disk"
    bus: Bus = "virtio"
    format: Literal["qcow2", "raw"] = "qcow2"
    readonly: bool = False
    serial: str = ""
    boot_index: int = 0
    cache: Literal["", "none", "writethrough", "writeback"] = ""
    io: Literal["", "threads", "native", "io_uring"] = ""
    logical_block_bytes: int = 0
    physical_block_bytes: int = 0
    discard_bytes: int = 0
    shareable: bool = False
    queues: int = 0
    on_error: Literal["", "stop", "ignore", "report", "enospace"] = ""
    io_thread: str = ""
    slot: str = ""


@dataclass(frozen=True)
class Passt:
    """What a card's passt is told: the ports that it listens on for its guest, and what its guest is told by DHCP."""

    tcp: str = ""
    udp: str = ""
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Nic:
    """A network card on a tap device that exists already, or on a passt. `boot_index` 0 means: no network boot.

    `acpi_index` is the number from which the guest may name it, 0 for none. `slot` is as a disk's.
    """

    name: str
    tap: str
    mac: str
    model: str = "virtio"
    boot_index: int = 0
    queues: int = 1
    acpi_index: int = 0
    passt: Passt | None = None
    slot: str = ""


@dataclass(frozen=True)
class Firmware:
    """UEFI from flash files; `secure_boot` also needs system management mode.

    `variables` is this machine's own file, a copy of `template` where it is not there yet.
    """

    code: str
    variables: str
    secure_boot: bool = False
    format: Literal["raw", "qcow2"] = "raw"
    template: str = ""


@dataclass(frozen=True)
class Kernel:
    """A Linux kernel that is started as it is, without a boot loader."""

    path: str
    initrd: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class Tpm:
    """A trusted platform module, and the folder where its swtpm keeps what it holds."""

    folder: str
    model: Literal["tpm-tis", "tpm-crb"] = "tpm-tis"


@dataclass(frozen=True)
class Sockets:
    """Where QEMU listens, each a unix socket in one folder; an empty name leaves the device out."""

    folder: str = "/run/vm"
    qmp: str = "qmp.sock"
    serial: str = "serial.sock"
    serial_log: str = "serial.log"
    vnc: str = "vnc.sock"
    agent: str = "agent.sock"
    tpm: str = "swtpm.sock"

    def at(self, name: str) -> str:
        return f"{self.folder}/{name}"


@dataclass(frozen=True)
class Share:
    """A folder that the guest mounts by `tag` (virtiofs), served by `program`.

    `confines_itself`: the program does so without privileges; otherwise it is begun in a user namespace of its own.
    """

    tag: str
    folder: str
    program: str
    confines_itself: bool = False


@dataclass(frozen=True)
class Watchdog:
    """A watchdog card and what happens when it bites."""

    model: str = "i6300esb"
    action: Literal["reset", "shutdown", "poweroff", "pause", "none"] = "reset"


@dataclass(frozen=True)
class Clock:
    """The guest's hardware clock: UTC, or local time of the process' TZ; and its timers.

    `driver` is what the clock follows, `slew` gives the guest the interrupts later that it missed, `pit_ticks` says
    what becomes of those of the old timer under KVM.
    """

    local: bool = False
    driver: Literal["", "vm", "host"] = ""
    slew: bool = False
    hpet: bool = True
    pit: bool = True
    pit_ticks: Literal["", "delay", "discard"] = ""


@dataclass(frozen=True)
class Input:
    """A pointer with absolute coordinates."""

    name: str = "tablet"
    bus: Literal["usb", "virtio"] = "usb"


Video = Literal["vga", "virtio", "bochs", "cirrus", "ramfb"]


@dataclass(frozen=True)
class MachineSpec:
    """Everything the command line is made from.

    `memory_bytes` is there from the start; up to `max_memory_bytes` in all can be plugged in, and
    `plugged_memory_bytes` of that are offered at once.
    """

    name: str
    uuid: str
    memory_bytes: int
    machine: str = "q35"
    accelerator: Accelerator = "kvm"
    cpu: Cpu = Cpu()
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    shares: tuple[Share, ...] = ()
    sockets: Sockets = Sockets()
    firmware: Firmware | None = None
    kernel: Kernel | None = None
    watchdog: Watchdog | None = None
    clock: Clock = Clock()
    inputs: tuple[Input, ...] = ()
    serial: str = ""
    rng: bool = False
    balloon: bool = True
    graphics: bool = True
    acpi: bool = True
    hotplug: bool = False
    """Whether disks may be plugged in later: a SCSI controller and free root ports wait for them."""
    start_paused: bool = False
    incoming: bool = False
    """Whether it waits for a guest that comes from another QEMU"""
    max_memory_bytes: int = 0
    plugged_memory_bytes: int = 0
    stop_on_reboot: bool = False
    panic: str = ""
    sound: str = ""
    video: Video = "vga"
    usb_redirections: int = 0
    transitional: bool = False
    bios_on_serial: bool = False
    page_bytes: int = 0
    tpm: Tpm | None = None
    acpi_tables: tuple[str, ...] = ()
    chassis: tuple[tuple[str, str], ...] = ()
    smbios: tuple[tuple[str, str], ...] = MAKER
    ports: tuple[str, ...] = ()
    """What sits in the first root ports, as `pci.plugged` names it, empty for one that is free; the rest follows"""

    @property
    def is_pcie(self) -> bool:
        """Whether devices sit behind PCI Express root ports (q35) or on a plain PCI bus."""
        return "q35" in self.machine
