"""The smallest guest: a boot sector that talks on the serial port and obeys the power button.

It boots within a second even under emulation. On COM1 it prints `GREETING`, then echoes what it hears; `POWER_OFF`
makes it turn the machine off, `REBOOT` makes it start anew, both of its own accord. `PANIC` makes it tell its panic
device (pvpanic on the ISA bus) that it is lost, and stand still. The power button (ACPI, where SeaBIOS puts it on q35)
turns the machine off, as an operating system does; `deaf` ignores it.
"""

from __future__ import annotations

from pathlib import Path

GREETING = b"guest is up\r\n"
POWER_OFF, PANIC, REBOOT = b"\x04", b"\x10", b"\x12"
_SECTOR = 512
_ORIGIN = 0x7C00
_DISK_BYTES = 1 << 20


def boot_sector(*, deaf: bool = False) -> bytes:
    """512 bytes of 16-bit code."""
    start = bytes.fromhex("fa 31c0 8ed8 fc ba0206 b80001 ef be") + b"MM"  # arm the button; si = message
    put = bytes.fromhex("ac 84c0 7406 baf803 ee ebf5")
    loop = bytes.fromhex("ba0006 ed f6c401") + (b"\x90\x90" if deaf else b"\x75\x1b")
    echo = bytes.fromhex("bafd03 ec a801 74ee baf803 ec 3c04 740b 3c10 7414 3c12 740b ee ebdb")
    off = bytes.fromhex("ba0406 b80020 ef f4")
    anew = bytes.fromhex("b0fe e664 f4")  # the keyboard controller's reset line
    panic = bytes.fromhex("ba0505 b001 ee ebfe")
    code = start + put + loop + echo + off + anew + panic
    message = (_ORIGIN + len(code)).to_bytes(2, "little")
    whole = code.replace(b"MM", message, 1) + GREETING + b"\0"
    return whole.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"


def keeper_sector() -> bytes:
    """A guest that keeps the last byte it heard: in the second sector of its disk; at boot it prints that."""
    start = bytes.fromhex("fa 31c0 8ed8 8ec0 8ed0 bc007c fc 8816007f ba0206 b80001 ef be") + b"MM"
    put = bytes.fromhex("ac 84c0 7406 baf803 ee ebf5")
    read, write = (bytes.fromhex(f"b801{function} b90200 b600 8a16007f bb0080 cd13") for function in ("02", "03"))
    show = bytes.fromhex("a00080 baf803 ee")
    wait = bytes.fromhex("ba0006 ed f6c401 7529 bafd03 ec a801 74ef baf803 ec a20080")
    again, off = b"\xeb\xce", bytes.fromhex("ba0406 b80020 ef f4")
    code = start + put + read + show + wait + write + show + again + off
    message = (_ORIGIN + len(code)).to_bytes(2, "little")
    whole = code.replace(b"MM", message, 1) + GREETING + b"\0"
    return whole.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"


def write_keeper(path: Path, byte: bytes = b"a") -> Path:
    """A raw disk that boots the keeper, with a first byte to keep."""
    path.write_bytes((keeper_sector() + byte).ljust(_DISK_BYTES, b"\0"))
    return path


def write_disk(path: Path, *, deaf: bool = False) -> Path:
    """A raw disk that boots."""
    path.write_bytes(boot_sector(deaf=deaf).ljust(_DISK_BYTES, b"\0"))
    return path
