"""Which file system lies in a part of a disk, by the marks at its beginning."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from vmpod.drivers.inspection import btrfs, lvm, mdraid
from vmpod.drivers.inspection.blocks import Blocks


@dataclass(frozen=True)
class Mark:
    """A file system: its name as `blkid` writes it, its label, the bytes that are free (-1: not told)
    and its UUID as fstab(5) writes it."""

    name: str
    label: str = ""
    free_bytes: int = -1
    uuid: str = ""


def mark(part: Blocks) -> Mark:
    """The file system of a part; an empty name when none is known."""
    head = part.read(0, 4096)
    if head[0x438:0x43A] == b"\x53\xef":
        return _ext(head)
    if head.startswith(b"XFSB"):
        return _xfs(head)
    if head[3:11] == b"NTFS    ":
        return Mark("ntfs", uuid=head[72:80][::-1].hex().upper())
    if head[510:512] == b"\x55\xaa" and (head[54:57] == b"FAT" or head[82:87] == b"FAT32"):
        wide = head[82:87] == b"FAT32"
        serial = struct.unpack("<I", head[67:71] if wide else head[39:43])[0]
        label = _text(head[71:82] if wide else head[43:54])
        free = _free_of_fat(part, head) if wide else -1
        return Mark("vfat", label, free, f"{serial >> 16:04X}-{serial & 0xFFFF:04X}")
    if (block := part.read(btrfs.SUPER, 4096))[0x40:0x48] == btrfs.MAGIC and len(block) == 4096:
        return _btrfs(block)
    return Mark(_other(part, head))


def _free_of_fat(part: Blocks, head: bytes) -> int:
    """What FAT32's second sector says is free; -1 when it says nothing."""
    size, clusters, place = *struct.unpack("<HB", head[11:14]), struct.unpack("<H", head[48:50])[0]
    info = part.read(place * size, 512)
    if info[:4] != b"RRaA" or len(info) < 512 or (free := struct.unpack("<I", info[488:492])[0]) == 0xFFFFFFFF:
        return -1
    return int(min(free * clusters * size, part.size))


def free_of_ntfs(part: Blocks, bitmap: bytes) -> int:
    """What is free by the bits of an NTFS file system's $Bitmap; -1 when it was not read."""
    head = part.read(0, 512)
    size, clusters, sectors = *struct.unpack("<HB", head[11:14]), struct.unpack("<Q", head[40:48])[0]
    if not bitmap or not clusters or clusters > 128:
        return -1
    count = min(sectors // clusters, len(bitmap) * 8)
    used = sum(byte.bit_count() for byte in bitmap[: count // 8])
    return int((count - count % 8 - used) * clusters * size)


def _other(part: Blocks, head: bytes) -> str:
    if head.startswith(b"LUKS\xba\xbe"):
        return "luks"
    if lvm.is_member(part):
        return "lvm"
    if head[4086:4096] == b"SWAPSPACE2":
        return "swap"
    if part.read(0x8001, 5) == b"CD001":
        return "iso9660"
    if head.startswith(b"-FVE-FS-", 3):
        return "bitlocker"
    if mdraid.is_member(part):
        return "mdraid"
    return "squashfs" if head.startswith(b"hsqs") else ""


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1").strip()


def _ext(head: bytes) -> Mark:
    """ext2, ext3 or ext4 (Linux: Documentation/filesystems/ext4, "The Super Block")."""
    block = head[1024:]
    free, shift = struct.unpack("<I", block[12:16])[0], struct.unpack("<I", block[24:28])[0]
    compatible, incompatible = struct.unpack("<II", block[92:100])
    if incompatible & 0x80:
        free |= struct.unpack("<I", block[0x158:0x15C])[0] << 32
    name = "ext4" if incompatible & 0x40 else "ext3" if compatible & 0x4 else "ext2"
    return Mark(name, _text(block[120:136]), free << (10 + min(shift, 6)), str(uuid.UUID(bytes=block[104:120])))


def _xfs(head: bytes) -> Mark:
    size, free = struct.unpack(">I", head[4:8])[0], struct.unpack(">Q", head[144:152])[0]
    return Mark("xfs", _text(head[108:120]), free * size, str(uuid.UUID(bytes=head[32:48])))


def _btrfs(block: bytes) -> Mark:
    size, used = struct.unpack("<QQ", block[0x70:0x80])
    return Mark("btrfs", _text(block[0x12B:0x22B]), max(0, size - used), str(uuid.UUID(bytes=block[0x20:0x30])))
