"""From what is on a disk to what its machine needs."""

from __future__ import annotations

import pytest

from vmpod.drivers.inspection.facts import Image, Kernel, Loader, Part, Service, System, Trouble
from vmpod.intake.image import advise

KERNEL = Kernel("6.1.0", "initramfs")
LINUX = System(family="linux", id="debian", name="Debian 12", architecture="x86_64", kernels=(KERNEL,), ssh=True)
WINDOWS = System(family="windows", name="Windows 10", architecture="x86_64")


def image(system: System = LINUX, boots: tuple[str, ...] = ("bios",), **more: object) -> Image:
    return Image("disk", "qcow2", 1 << 30, 1 << 20, table="gpt", boots=boots, system=system, **more)  # type: ignore[arg-type]


def with_kernel(virtio: str, *buses: str) -> System:
    kernel = Kernel("2.6.32", virtio, "/boot/initramfs", buses)
    return System(family="linux", id="rhel", name="RHEL 6", architecture="x86_64", kernels=(kernel,))


def loaders(*machines: str, path: str = "/EFI/BOOT/BOOTX64.EFI") -> Image:
    efi = Part("1", 0, 9, kind="efi", filesystem="vfat")
    return image(System(), boots=(), loaders=tuple(Loader(path, one) for one in machines), parts=(efi,))


@pytest.mark.parametrize(
    ("found", "bus", "model", "firmware"),
    [
        (image(), "virtio", "virtio", "bios"),
        (image(boots=("uefi",)), "virtio", "virtio", "uefi"),
        (image(boots=("bios", "uefi")), "virtio", "virtio", "bios"),
        (image(with_kernel("modules")), "sata", "virtio", "bios"),
        (image(with_kernel("none")), "sata", "virtio", "bios"),
        (image(with_kernel("unknown")), "virtio", "virtio", "bios"),
        (image(with_kernel("initramfs", "scsi")), "scsi", "virtio", "bios"),
        (image(with_kernel("initramfs", "sata", "scsi", "virtio")), "virtio", "virtio", "bios"),
        (image(System(family="linux", kernels=(KERNEL,), disk_names=("sd",))), "sata", "virtio", "bios"),
        (image(System(family="linux", kernels=(KERNEL,), disk_names=("vd",))), "virtio", "virtio", "bios"),
        (image(WINDOWS), "sata", "virtio", "bios"),
        (image(System(family="windows", virtio=True, troubles=(Trouble("no driver for the network card", "", ""),))), "virtio", "e1000e", "bios"),
        (image(System()), "sata", "e1000", "bios"),
        (image(System(), cdrom=True), "sata", "e1000", "bios"),
    ],
)
def test_devices(found: Image, bus: str, model: str, firmware: str) -> None:
    advice = advise(found)
    assert (advice.bus.value, advice.model.value, advice.firmware.value) == (bus, model, firmware)
    assert advice.bus.why and advice.model.why and advice.firmware.why


@pytest.mark.parametrize(
    ("found", "verdict", "why"),
    [
        (image(), "boots", "Debian 12 starts by BIOS"),
        (image(boots=()), "fails", "no boot loader"),
        (image(System(), boots=(), cdrom=True), "fails", "without a boot catalogue"),
        (image(System(architecture="aarch64")), "fails", "aarch64"),
        (image(System(), boots=("bios",)), "unsure", "no known system"),
        (image(System(), unread=("2: btrfs",)), "unsure", "btrfs"),
        (image(System(), boots=(), unread=("1: luks",)), "fails", "encrypted"),
        (image(System(), unread=("3: luks",)), "unsure", "asks for the passphrase of 3"),
        (image(with_kernel("none", "sata")), "boots", "RHEL 6"),
        (image(with_kernel("none")), "fails", "neither the driver of virtio disks nor that of SATA"),
        (image(with_kernel("modules")), "fails", "neither the driver of virtio disks nor that of SATA"),
        (image(beyond=("2",)), "fails", "cut off"),
        (loaders("aarch64", path="/EFI/BOOT/BOOTAA64.EFI"), "fails", "for aarch64"),
        (loaders("x86_64", path="/EFI/shop/grubx64.efi"), "fails", "only by an entry in the firmware"),
        (loaders(), "fails", "its EFI partition holds no boot loader"),
        (image(System(), ("uefi",), cdrom=True, loaders=(Loader("/EFI/BOOT/BOOTAA64.EFI", "aarch64"),)), "fails", "for aarch64"),
        (image(System(), ("bios",), cdrom=True), "boots", "CD-ROM"),
        (Image("d", "raw", 1, 1, parts=(Part("disk", 0, 9, filesystem="xfs"),)), "fails", "one xfs file system"),
    ],
)
def test_verdicts(found: Image, verdict: str, why: str) -> None:
    advice = advise(found)
    assert advice.verdict == verdict and why in advice.why
    assert (advice.remedy == "") == (verdict == "boots")


@pytest.mark.parametrize(
    ("services", "agent", "ports", "probe"),
    [
        ((Service("nginx", (8080,)), Service("ssh", (22,))), True, (22, 8080), "tcp:8080"),
        ((Service("postgresql", (5432,)),), True, (22, 5432), "tcp:5432"),
        ((Service("rpcbind", (111,)),), True, (22,), "agent"),
        ((), False, (22,), ""),
    ],
)
def test_ports_and_probe(services: tuple[Service, ...], agent: bool, ports: tuple[int, ...], probe: str) -> None:
    system = System(family="linux", kernels=(KERNEL,), ssh=True, services=services, guest_agent=agent)
    advice = advise(image(system))
    assert (advice.ports, advice.probe.value) == (ports, probe)


def test_notes_tell_what_is_missing_and_what_is_full() -> None:
    full = Part("1", 0, 1 << 30, filesystem="ext4", label="root", free_bytes=5 << 20)
    advice = advise(image(System(family="linux", kernels=(KERNEL,), users=("ann",)), parts=(full,)))
    assert len(advice.notes) == 3
    assert "only 5 MiB free" in advice.notes[2]
