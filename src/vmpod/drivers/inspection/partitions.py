"""How a disk is divided and what could start from it: MBR, GPT (UEFI specification 2.10, chapter 5) and El Torito."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from vmpod.drivers.inspection.blocks import Blocks
from vmpod.drivers.inspection.facts import Part

_SECTOR = 512
_ISO_SECTOR = 2048
_SIGNATURE = b"\x55\xaa"
_MOST_PARTS = 128
_NO_CODE = b"is not a bootable disk"  # what mkfs puts into the first sector of a volume
_WHOLE = (b"GRUB", b"LILO", b"ISOLINUX", b"isolinux")  # code that finds its way without an active partition
_EXTENDED = (0x05, 0x0F, 0x85)
_MBR_KINDS = {0x07: "windows", 0x82: "swap", 0x83: "linux", 0x8E: "lvm", 0xEF: "efi"}
_GPT_KINDS = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "efi",
    "21686148-6449-6e6f-744e-656564454649": "bios-boot",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "lvm",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "swap",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "linux",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "linux",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "reserved",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "windows",
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "windows-recovery",
}


@dataclass(frozen=True)
class Division:
    """The table of a disk (gpt, mbr, iso9660 or empty), its parts, and whether its first sector holds code. Parts that
    reach beyond the end of the disk are named by `beyond`; those of an MBR are among the parts.
    `needs_active` says that the code starts what is marked active, and nothing is.
    """

    table: str
    parts: tuple[Part, ...] = ()
    boot_code: bool = False
    el_torito: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    needs_active: bool = False


def read(disk: Blocks) -> Division:
    """Read the table; a damaged one yields the parts before the damage."""
    head = disk.read(0, _SECTOR)
    if disk.read(0x8001, 5) == b"CD001":
        return Division("iso9660", (), False, tuple(_el_torito(disk)))
    if head[510:512] != _SIGNATURE:
        return Division("", (), False)
    code = any(head[:440]) and _NO_CODE not in head
    entries = [_entry(head, index) for index in range(4)]
    if any(kind == 0xEE for kind, _, _, _ in entries) and (parts := _gpt(disk)):
        here = tuple(part for part in parts if _is_here(part, disk))
        return Division("gpt", here, code, beyond=tuple(part.name for part in parts if part not in here))
    if not any(kind and count for kind, _, _, count in entries) or _is_volume(head):
        return Division("", (), code)
    parts = tuple(_mbr(disk, entries))
    beyond = tuple(part.name for part in parts if not _is_here(part, disk))
    stands_alone = any(word in head[:440] for word in _WHOLE)
    return Division("mbr", parts, code, (), beyond, code and not stands_alone and not any(one.active for one in parts))


def _is_here(part: Part, disk: Blocks) -> bool:
    return part.start + part.size <= disk.size


def _is_volume(head: bytes) -> bool:
    """A FAT or NTFS volume without a table ends its first sector by the same signature."""
    return head[3:11] == b"NTFS    " or head[54:57] == b"FAT" or head[82:87] == b"FAT32"


def _entry(sector: bytes, index: int) -> tuple[int, bool, int, int]:
    """The kind, the active flag, the first sector and the number of sectors of an MBR entry."""
    raw = sector[446 + 16 * index : 462 + 16 * index].ljust(16, b"\0")
    start, count = struct.unpack("<II", raw[8:16])
    return raw[4], raw[0] == 0x80, start, count


def _mbr(disk: Blocks, entries: list[tuple[int, bool, int, int]]) -> Iterator[Part]:
    for number, (kind, active, start, count) in enumerate(entries, 1):
        if not kind or not count:
            continue
        if kind in _EXTENDED:
            yield from _logical(disk, start)
        else:
            yield _part(number, kind, active, start, count)


def _part(number: int, kind: int, active: bool, start: int, count: int) -> Part:
    return Part(str(number), start * _SECTOR, count * _SECTOR, _MBR_KINDS.get(kind, "data"), active=active)


def _logical(disk: Blocks, base: int) -> Iterator[Part]:
    """The chain of boot records inside an extended partition; a chain that bites its tail ends."""
    seen, at = set[int](), base
    for number in range(5, 5 + _MOST_PARTS):
        sector = disk.read(at * _SECTOR, _SECTOR)
        if at in seen or sector[510:512] != _SIGNATURE:
            return
        seen.add(at)
        kind, active, start, count = _entry(sector, 0)
        if kind and count:
            yield _part(number, kind, active, at + start, count)
        following, _, offset, _ = _entry(sector, 1)
        if following not in _EXTENDED:
            return
        at = base + offset


def _gpt(disk: Blocks) -> tuple[Part, ...]:
    """The parts by the first header, else by the copy at the end of the disk; sectors of 512 or 4096 bytes."""
    for sector in (_SECTOR, 4096):
        for at in (sector, disk.size - sector):
            header = disk.read(at, 92)
            if header.startswith(b"EFI PART") and len(header) == 92:
                return tuple(_gpt_parts(disk, header, sector))
    return ()


def _gpt_parts(disk: Blocks, header: bytes, sector: int) -> Iterator[Part]:
    first, count, size = struct.unpack("<QII", header[72:88])
    if size < 128 or size > 4096:
        return
    for number in range(1, min(count, _MOST_PARTS) + 1):
        raw = disk.read(first * sector + (number - 1) * size, 128)
        if len(raw) < 128 or not any(raw[:16]):
            continue
        kind = str(uuid.UUID(bytes_le=raw[:16]))
        start, end, flags = struct.unpack("<QQQ", raw[32:56])
        if start > end:
            continue
        label = raw[56:128].decode("utf-16-le", errors="replace").rstrip("\0")
        yield Part(str(number), start * sector, (end - start + 1) * sector, _GPT_KINDS.get(kind, "data"),
                   label=label, active=bool(flags & 4))  # fmt: skip


def _el_torito(disk: Blocks) -> Iterator[str]:
    """The platforms (bios, uefi) that a CD-ROM's boot catalogue names (El Torito specification 1.0)."""
    for sector in range(17, 32):
        record = disk.read(sector * _ISO_SECTOR, 75)
        if record[:1] == b"\xff" or record[1:6] != b"CD001":
            return
        if record[0] == 0 and record[7:30] == b"EL TORITO SPECIFICATION":
            yield from _catalogue(disk.read(struct.unpack("<I", record[71:75])[0] * _ISO_SECTOR, _ISO_SECTOR))
            return


def _catalogue(raw: bytes) -> Iterator[str]:
    if raw[30:32] != _SIGNATURE:
        return
    names = {0: "bios", 0xEF: "uefi"}
    if raw[32:33] == b"\x88" and raw[1] in names:
        yield names[raw[1]]
    for at in range(64, len(raw) - 31, 32):
        if raw[at] in (0x90, 0x91) and raw[at + 1] in names:
            yield names[raw[at + 1]]
