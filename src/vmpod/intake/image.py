"""What a machine for an image needs, and why: decided from what was found on its disk. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from vmpod.drivers.inspection.facts import Image, System
from vmpod.intake.appliance import Appliance

_GIB: Final = 1 << 30
_LEAST_BYTES: Final = 16 << 20  # less is a wrong unit
_HERE: Final = ("x86_64", "i386", "")
_WEB: Final = (80, 443, 8080, 8443, 3000, 5000, 8000)
_NO_SERVICE_PORTS: Final = (111, 25)  # offered to the network by systems, wanted by nobody
_ROOMY: Final = ("rhel", "centos", "rocky", "almalinux", "ol", "fedora", "sles")


@dataclass(frozen=True)
class Choice:
    """One decision: the value and the observation it follows from."""

    value: str
    why: str


@dataclass(frozen=True)
class Advice:
    """How to run an image. `verdict` is boots, unsure or fails; `remedy` says what to do when it is not boots."""

    verdict: str
    why: str
    remedy: str = ""
    bus: Choice = Choice("virtio", "")
    model: Choice = Choice("virtio", "")
    firmware: Choice = Choice("bios", "")
    machine: Choice = Choice("q35", "the machine that KubeVirt offers: PCI Express and SATA, no IDE")
    memory: Choice = Choice("1Gi", "")
    cpus: Choice = Choice("1", "")
    ports: tuple[int, ...] = ()
    ports_why: str = ""
    probe: Choice = Choice("", "")
    notes: tuple[str, ...] = field(default=())


def advise(image: Image) -> Advice:
    """Decide bus, card, firmware, size, ports and probe for an image."""
    verdict, why, remedy = _verdict(image)
    ports, ports_why = _ports(image.system)
    return Advice(
        verdict, why, remedy, bus=_bus(image), model=_model(image), firmware=_firmware(image), memory=_memory(image),
        cpus=_cpus(image), ports=ports, ports_why=ports_why, probe=_probe(image.system, ports),
        notes=tuple(_notes(image)),
    )  # fmt: skip


def _verdict(image: Image) -> tuple[str, str, str]:
    system = image.system
    if system.architecture not in _HERE:
        why = f"its programs are for {system.architecture}, and machines here are x86_64"
        return "fails", why, "take an x86_64 image"
    if image.beyond:
        why = f"it ends before its partitions do ({', '.join(image.beyond)}): the image is cut off"
        return "fails", why, "copy it again from where it is whole, and compare both by sha256sum"
    if not image.boots:
        return _unbootable(image)
    if image.cdrom:
        return _disc(image)
    if system.family == "linux" and (stuck := _stuck(system)):
        return stuck
    closed = _closed(image)
    if closed and not system.family:
        why = f"it starts by {_and(image.boots)}, and asks for the passphrase of {closed}, which is encrypted"
        return "unsure", why, "give the passphrase by vmpod console or vmpod vnc each time it starts"
    if image.unread and not system.family:
        why = f"it starts by {_and(image.boots)}, but its file systems were not read ({', '.join(image.unread)})"
        return "unsure", why, "vmpod import --check-boot tells"
    if not system.family:
        why = f"it starts by {_and(image.boots)}, but no known system was found on it"
        return "unsure", why, "vmpod import --check-boot tells"
    return "boots", f"{system.name} starts by {_and(image.boots)}", ""


def _unbootable(image: Image) -> tuple[str, str, str]:
    if image.cdrom:
        return "fails", "it is a CD-ROM without a boot catalogue", "attach it to a machine as a second disk (cdrom)"
    if foreign := _foreign(image):
        return foreign
    if image.loaders:
        why = f"UEFI finds its loader ({image.loaders[0].path}) only by an entry in the firmware of its old machine"
        return "fails", why, "copy it to /EFI/BOOT/BOOTX64.EFI on its EFI partition: there UEFI looks by itself"
    if closed := _closed(image):
        return "fails", f"no boot loader was found, and {closed} is encrypted", "import the whole disk"
    if any(part.kind == "efi" for part in image.parts):
        why = "its EFI partition holds no boot loader (/EFI/BOOT/BOOTX64.EFI), and there is none for BIOS"
        return "fails", why, "install it in a rescue system: grub-install --removable"
    if not image.table and image.parts and image.parts[0].filesystem:
        why = f"it is one {image.parts[0].filesystem} file system without a partition table and a boot loader"
        return "fails", why, "use it as a second disk, or boot its kernel by firmware.kernelBoot"
    return "fails", "there is no boot loader, neither for BIOS nor for UEFI", "use it as a second disk"


def _stuck(system: System) -> tuple[str, str, str] | None:
    """A kernel that starts and has no way to its disk, on no bus that machines have here."""
    kernel = system.kernels[0] if system.kernels else None
    if kernel is None or kernel.buses or kernel.virtio not in ("modules", "none") or not kernel.initramfs:
        return None
    why = f"the initramfs of kernel {kernel.version} has neither the driver of virtio disks nor that of SATA (ahci)"
    return "fails", why, (
        "where it still runs: dracut -f --add-drivers 'virtio_blk virtio_pci ahci' (Red Hat's kind); on Debian's kind "
        "add these names to /etc/initramfs-tools/modules and run update-initramfs -u; else try its menu's rescue entry"
    )


def _disc(image: Image) -> tuple[str, str, str]:
    foreign = _foreign(image) if image.boots == ("uefi",) else None
    return foreign or ("boots", f"it is a CD-ROM that starts by {_and(image.boots)}", "")


def _foreign(image: Image) -> tuple[str, str, str] | None:
    """Loaders for UEFI that are all for other processors."""
    machines = {one.machine for one in image.loaders}
    if not machines or machines & {"x86_64", ""}:
        return None
    why = f"its UEFI loader is for {_list(sorted(machines))}, and machines here are x86_64"
    return "fails", why, "take an x86_64 image"


def _closed(image: Image) -> str:
    """The parts that are encrypted."""
    return _list([name.partition(":")[0] for name in image.unread if name.endswith(("luks", "bitlocker"))])


def _list(words: Sequence[str]) -> str:
    return ", ".join(words)


def _and(words: tuple[str, ...]) -> str:
    names = {"bios": "BIOS", "uefi": "UEFI"}
    return " and ".join(names.get(word, word) for word in words)


def _bus(image: Image) -> Choice:
    system = image.system
    if image.cdrom:
        return Choice("sata", "a CD-ROM drive is a SATA device")
    if system.family == "windows":
        has, lacks = Choice("virtio", "Windows has viostor"), Choice("sata", "Windows has no viostor driver")
        return has if system.virtio else lacks
    if system.family != "linux":
        return Choice("sata", "nothing is known of its drivers, and every system has those of SATA")
    return _linux_bus(system)


def _linux_bus(system: System) -> Choice:
    if "sd" in system.disk_names:
        return Choice("sata", "its configuration names the disk /dev/sda, and a virtio disk is called /dev/vda")
    if not system.kernels:
        return Choice("virtio", "a Linux kernel was not found, and nearly all have its driver")
    kernel = system.kernels[0]
    where = "is built into" if kernel.virtio == "builtin" else "is in the initramfs of"
    if kernel.virtio == "unknown":
        return Choice("virtio", f"kernel {kernel.version} most likely has its driver (its initramfs could not be read)")
    if kernel.virtio in ("modules", "none"):
        return Choice("sata", f"the initramfs of kernel {kernel.version} has no virtio driver for disks")
    if "scsi" in kernel.buses and "virtio" not in kernel.buses:
        return Choice("scsi", f"virtio_scsi {where} kernel {kernel.version}, and virtio_blk is not")
    return Choice("virtio", f"its driver {where} kernel {kernel.version}")


def _model(image: Image) -> Choice:
    system = image.system
    if system.family == "windows":
        lacks = any("network card" in one.what for one in system.troubles)
        return Choice("e1000e", "Windows has no netkvm driver") if lacks else Choice("virtio", "Windows has netkvm")
    if system.family == "linux":
        return Choice("virtio", "Linux has its driver")
    return Choice("e1000", "nothing is known of its drivers, and nearly every system has this one's")


def _firmware(image: Image) -> Choice:
    if "bios" in image.boots:
        disk, cdrom = "the first sector of the disk holds a boot loader", "the boot catalogue of the CD-ROM names it"
        return Choice("bios", cdrom if image.cdrom else disk)
    if "uefi" in image.boots:
        return Choice("uefi", "there is a loader on an EFI partition, and none for BIOS")
    return Choice("bios", "no boot loader was found")


def _memory(image: Image) -> Choice:
    system = image.system
    if system.family == "windows":
        return Choice("4Gi", "Windows is slow with less")
    if image.cdrom:
        return Choice("2Gi", "installers unpack themselves into memory")
    if system.id in _ROOMY:
        return Choice("2Gi", f"{system.name or system.id} asks for 1.5 GiB and more")
    return Choice("1Gi", "enough for most services")


def _cpus(image: Image) -> Choice:
    is_windows = image.system.family == "windows"
    return Choice("2", "Windows uses one for itself") if is_windows else Choice("1", "raise it at will")


def _ports(system: System) -> tuple[tuple[int, ...], str]:
    """The ports that the system's services will listen on."""
    named = {port: one.name for one in system.services for port in one.ports if port not in _NO_SERVICE_PORTS}
    if system.ssh and 22 not in named:
        named[22] = "sshd"
    if not named:
        return (22,), "nothing was found that listens; 22 is a guess"
    return tuple(sorted(named)), ", ".join(f"{port} is {named[port]}'s" for port in sorted(named))


def _probe(system: System, ports: tuple[int, ...]) -> Choice:
    """Readiness by the port of the application, else by the guest agent; none when only a login is offered."""
    known = {port for one in system.services for port in one.ports}
    first = next((port for port in (*_WEB, *ports) if port in ports and port in known and port not in (22, 3389)), 0)
    if first:
        return Choice(f"tcp:{first}", "others are sent to it only when its service answers")
    if system.guest_agent:
        return Choice("agent", "the guest agent answers when the system is up")
    return Choice("", "")


def _notes(image: Image) -> Iterator[str]:
    system = image.system
    if system.cloud_init:
        name = "Cloudbase-Init" if system.family == "windows" else "cloud-init"
        yield f"{name} is there: users, keys and the network can be given by a cloudInitNoCloud volume"
    elif system.family == "linux" and system.users and not system.ssh:
        yield "there is no SSH server: use vmpod console, or vmpod vnc"
    if system.family == "linux" and not system.guest_agent:
        yield "there is no guest agent: addresses, freezing and passwords need qemu-guest-agent in it"
    small = [part for part in image.parts if 0 <= part.free_bytes < _GIB // 8 and part.size > _GIB // 4
             and part.filesystem.startswith(("ext", "xfs"))]  # fmt: skip
    for part in small:
        yield f"the file system {part.label or part.name} has only {part.free_bytes >> 20} MiB free: --size makes room"


def heeding(advice: Advice, said: Appliance) -> Advice:
    """The advice with what the maker of the machine said of it: processors, memory and firmware."""
    maker = "its description says so"
    changes: dict[str, Choice] = {}
    if said.cpus:
        changes["cpus"] = Choice(str(said.cpus), maker)
    if said.memory_bytes >= _LEAST_BYTES:
        changes["memory"] = Choice(f"{said.memory_bytes >> 20}Mi", maker)
    if said.firmware:
        changes["firmware"] = Choice(said.firmware, maker)
    notes = advice.notes + said.notes
    if len(said.cards) > 1:
        notes += (f"it had {len(said.cards)} network cards: one is given to it, others need networks of their own",)
    return replace(advice, **changes, notes=notes)  # type: ignore[arg-type]
