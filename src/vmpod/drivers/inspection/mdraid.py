"""Linux's software RAID: a mirror (RAID 1) is read by the one half that is at hand (md(4), md_p.h of Linux).

Its super block lies at the end (0.90, 1.0), at the beginning (1.1) or 4 KiB behind it (1.2).
"""

from __future__ import annotations

import struct

from vmpod.drivers.inspection.blocks import Blocks, Slice

_MAGIC = 0xA92B4EFC
_SECTOR = 512
_MIRROR = 1


def is_member(part: Blocks) -> bool:
    """Whether a part belongs to an array."""
    return _place(part) >= 0 or _old(part) >= 0


def mirrored(part: Blocks) -> Blocks | None:
    """What an array holds, by one of its mirrors; None when its level is another."""
    if (at := _place(part)) >= 0:
        raw = part.read(at, 256).ljust(256, b"\0")
        level, offset, size = struct.unpack("<i", raw[72:76])[0], *struct.unpack("<QQ", raw[128:144])
        return Slice(part, offset * _SECTOR, size * _SECTOR) if level == _MIRROR else None
    if (at := _old(part)) >= 0:
        level = struct.unpack("<i", part.read(at + 28, 4))[0]
        return Slice(part, 0, at) if level == _MIRROR else None
    return None


def _place(part: Blocks) -> int:
    """Where the super block of version 1 lies; -1 when there is none."""
    at_end = max(0, (part.size // _SECTOR - 16) // 8 * 8 * _SECTOR)
    for at in (4096, 0, at_end):
        raw = part.read(at, 8)
        if len(raw) == 8 and struct.unpack("<II", raw) == (_MAGIC, 1):
            return at
    return -1


def _old(part: Blocks) -> int:
    """Where that of version 0.90 lies: the last but one whole 64 KiB; -1 when there is none."""
    at = max(0, (part.size & ~0xFFFF) - 0x10000)
    raw = part.read(at, 8)
    return at if len(raw) == 8 and struct.unpack("<II", raw) == (_MAGIC, 0) else -1
