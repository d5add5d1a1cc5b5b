"""What boot loaders, kernels and systems say while they start, on a serial console or on a screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LOADER, KERNEL, INIT, LOGIN = "BootLoader", "Kernel", "Init", "Login"
STAGES = (LOADER, KERNEL, INIT, LOGIN)  # in the order in which they come
WORDS = {LOADER: "boot loader", KERNEL: "kernel", INIT: "init", LOGIN: "login prompt"}
_MARKS = tuple((stage, re.compile(b"|".join(patterns), re.MULTILINE)) for stage, patterns in (
    (LOADER, (rb"GNU GRUB", rb"Welcome to GRUB", rb"(SYS|ISO|EXT|PXE)LINUX \d", rb"systemd-boot",
              rb"BdsDxe: starting Boot", rb"Loading initial ramdisk")),
    (KERNEL, (rb"Linux version \d", rb"EFI stub:", rb"(Dec|Unc)ompressing Linux", rb"^\[ *\d+\.\d{6}\] ",
              rb"(Free|Net|Open)BSD \d")),
    (INIT, (rb"systemd\[1\]:", rb"^Welcome to (?!GRUB)", rb"INIT: version", rb"OpenRC ", rb"sysinit:",
            rb"cloud-init\[", rb"SAC>")),
    (LOGIN, (rb"^(?!Last )[^\s:]* ?login: ", rb"^(?!Last )[^\s:]* ?login:$")),
))  # fmt: skip


def stages(text: bytes) -> Iterator[str]:
    """The stages that a text tells of, in their order."""
    for name, mark in _MARKS:
        if mark.search(text):
            yield name


@dataclass(frozen=True)
class Failure:
    """Why a boot ended, and what to do about it."""

    why: str
    remedy: str


_NO_ROOT = (rb"Unable to mount root fs|ALERT! .* does not exist|dracut-initqueue.*timeout|Dropping to a shell|"
            rb"Entering emergency mode. Exit the shell")  # fmt: skip
_ENDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"No bootable device|not a bootable disk|No bootable option or device|UEFI Interactive Shell",
     "the firmware finds nothing to start", "vmpod inspect says what is missing; or try the other firmware (efi)"),
    (rb"Missing operating system|Operating system not found|Error loading operating system",
     "the code in the first sector finds no system", "mark its partition active: sfdisk --activate DISK NUMBER"),
    (rb"grub rescue>", "GRUB does not find its own files", "reinstall it in a rescue system: grub-install"),
    (rb"BOOTMGR is missing|INACCESSIBLE.BOOT.DEVICE|0x0000007B",
     "Windows does not reach its disk", "bus: sata, or install its virtio drivers where it still runs"),
    (_NO_ROOT, "its kernel does not find the root file system",
     "give the disk another bus (sata), or name it by UUID in the boot loader's configuration"),
    (rb"[Ee]nter passphrase for|[Pp]lease unlock disk|Passphrase for ",
     "it asks for the passphrase of an encrypted disk", "give it by vmpod console or vmpod vnc"),
    (rb"You are in (emergency|rescue) mode", "it came up in emergency mode: mostly a disk of its /etc/fstab is missing",
     "bring the other disks, too, or mark them nofail in /etc/fstab"),
    (rb"Kernel panic - not syncing", "its kernel panicked", "look at the picture and the console for the reason"),
)  # fmt: skip


def failure(text: bytes) -> Failure | None:
    """What a boot ended with, as a text tells it."""
    return next((Failure(why, remedy) for mark, why, remedy in _ENDS if re.search(mark, text)), None)
