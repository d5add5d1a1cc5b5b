"""XFS, read without mounting: versions 4 and 5 (xfs_filesystem_structure, "XFS Algorithms & Data Structures", 3rd ed.).

The Sleuth Kit has no reader for it, and it is what Red Hat's systems are installed on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from vmpod.drivers.inspection.blocks import Blocks

_KINDS = {0x4000: "folder", 0x8000: "file", 0xA000: "link"}
_LOCAL, _EXTENTS, _BTREE = 1, 2, 3
_FTYPE_V5, _FTYPE_V4 = 1 << 0, 1 << 9
_MOST_EXTENTS = 1 << 20
_DEEPEST = 8
_LEAF_OFFSET = 1 << 35  # bytes into a directory: beyond it are indexes, no names (XFS_DIR2_LEAF_OFFSET)


@dataclass(frozen=True)
class Inode:
    """An inode: `fork` is its data fork as it lies on the disk, `format` says what that is."""

    number: int
    kind: str
    size: int
    format: int
    extents: int
    fork: bytes
    target: str = ""


class Xfs:
    """One XFS file system. Raises OSError when it is none, or of a kind that is not read."""

    def __init__(self, blocks: Blocks) -> None:
        head = blocks.read(0, 512)
        if not head.startswith(b"XFSB") or len(head) < 512:
            raise OSError("no XFS super block")
        self._blocks = blocks
        self._block_size, self._blocks_of_group = struct.unpack(">I", head[4:8])[0], struct.unpack(">I", head[84:88])[0]
        self._root = struct.unpack(">Q", head[56:64])[0]
        self._inode_size = struct.unpack(">H", head[104:106])[0]
        self._inodes_log, self._group_log = head[123], head[124]
        self._folder_log = head[192]
        version = struct.unpack(">H", head[100:102])[0] & 0xF
        old, new = struct.unpack(">I", head[200:204])[0], struct.unpack(">I", head[216:220])[0]
        self._is_v5 = version == 5
        self._ftype = bool(new & _FTYPE_V5) if self._is_v5 else bool(old & _FTYPE_V4)
        if version not in (4, 5) or not 512 <= self._block_size <= 65536 or not 256 <= self._inode_size <= 2048:
            raise OSError("an XFS of a version that is not read")
        self._inode = lru_cache(4096)(self._read_inode)

    def _read_inode(self, number: int) -> Inode:
        bits = self._inodes_log + self._group_log
        group, inner = number >> bits, number & ((1 << bits) - 1)
        block = group * self._blocks_of_group + (inner >> self._inodes_log)
        at = block * self._block_size + (inner & ((1 << self._inodes_log) - 1)) * self._inode_size
        raw = self._blocks.read(at, self._inode_size)
        if raw[:2] != b"IN" or len(raw) < self._inode_size:
            raise OSError(f"inode {number} is damaged")
        mode, version, form = struct.unpack(">HBB", raw[2:6])
        start = 176 if version >= 3 else 100
        end = start + raw[82] * 8 if raw[82] else len(raw)
        size, extents = struct.unpack(">Q", raw[56:64])[0], struct.unpack(">I", raw[76:80])[0]
        kind = _KINDS.get(mode & 0xF000, "other")
        found = Inode(number, kind, size, form, extents, raw[start:end])
        return Inode(number, kind, size, form, extents, found.fork, self._link(found)) if kind == "link" else found

    def _link(self, link: Inode) -> str:
        if link.format == _LOCAL:
            return link.fork[: link.size].decode(errors="replace")
        raw = self._bytes(link, 1024 + 56)
        if raw.startswith(b"XSLM"):
            raw = raw[56:]
        return raw[: link.size].decode(errors="replace")

    def _extents(self, inode: Inode) -> Iterator[tuple[int, int, int]]:
        """The offset in the file, the place on the disk and the length of each piece, all in bytes."""
        if inode.format == _EXTENTS:
            yield from self._records(inode.fork, min(inode.extents, len(inode.fork) // 16))
        elif inode.format == _BTREE:
            yield from self._tree(inode)

    def _records(self, raw: bytes, count: int) -> Iterator[tuple[int, int, int]]:
        for index in range(count):
            high, low = struct.unpack(">QQ", raw[16 * index : 16 * index + 16].ljust(16, b"\0"))
            offset, length = (high & ~(1 << 63)) >> 9, low & 0x1FFFFF
            place = ((high & 0x1FF) << 43) | (low >> 21)
            is_hole = bool(high >> 63)  # allocated, never written: zeroes
            if not is_hole:
                yield offset * self._block_size, self._address(place), length * self._block_size

    def _address(self, place: int) -> int:
        group, inner = place >> self._group_log, place & ((1 << self._group_log) - 1)
        return int((group * self._blocks_of_group + inner) * self._block_size)

    def _tree(self, inode: Inode) -> Iterator[tuple[int, int, int]]:
        _level, count = struct.unpack(">HH", inode.fork[:4])
        room = (len(inode.fork) - 4) // 16
        for index in range(min(count, room)):
            at = 4 + 8 * room + 8 * index
            yield from self._branch(struct.unpack(">Q", inode.fork[at : at + 8])[0], _DEEPEST)

    def _branch(self, place: int, depth: int) -> Iterator[tuple[int, int, int]]:
        raw = self._blocks.read(self._address(place), self._block_size)
        if raw[:4] not in (b"BMAP", b"BMA3") or not depth:
            return
        head = 72 if raw[:4] == b"BMA3" else 24
        level, count = struct.unpack(">HH", raw[4:8])
        if level == 0:
            yield from self._records(raw[head:], min(count, (len(raw) - head) // 16))
            return
        room = (len(raw) - head) // 16
        for index in range(min(count, room)):
            at = head + 8 * room + 8 * index
            yield from self._branch(struct.unpack(">Q", raw[at : at + 8])[0], depth - 1)

    def _bytes(self, inode: Inode, most: int) -> bytes:
        if inode.format == _LOCAL:
            return inode.fork[:most]
        found = bytearray(min(most, max(inode.size, 0)))
        for number, (offset, place, length) in enumerate(self._extents(inode)):
            if offset >= len(found) or number > _MOST_EXTENTS:
                continue
            take = min(length, len(found) - offset)
            found[offset : offset + take] = self._blocks.read(place, take).ljust(take, b"\0")
        return bytes(found)

    def _entries(self, folder: Inode) -> Iterator[tuple[str, int]]:
        """Names and inode numbers of a folder, without `.` and `..`."""
        if folder.format == _LOCAL:
            yield from self._short(folder.fork)
            return
        size = self._block_size << self._folder_log
        for offset, place, length in self._extents(folder):
            if offset >= _LEAF_OFFSET:
                continue
            raw = self._blocks.read(place, length)
            for at in range(0, len(raw), size):
                yield from self._block(raw[at : at + size])

    def _short(self, raw: bytes) -> Iterator[tuple[str, int]]:
        count, wide = raw[0], raw[1]
        width = 8 if wide else 4
        at = 2 + width
        for _ in range(wide or count):
            length = raw[at]
            name = raw[at + 3 : at + 3 + length]
            after = at + 3 + length + (1 if self._ftype else 0)
            yield name.decode(errors="replace"), int.from_bytes(raw[after : after + width], "big")
            at = after + width
            if at >= len(raw):
                return

    def _block(self, raw: bytes) -> Iterator[tuple[str, int]]:
        heads = {b"XD2B": 16, b"XD2D": 16, b"XDB3": 64, b"XDD3": 64}
        at = heads.get(raw[:4], 0)
        end = len(raw)
        if raw[:4] in (b"XD2B", b"XDB3"):
            leaves = struct.unpack(">I", raw[-8:-4])[0]
            end = max(at, len(raw) - 8 - 8 * leaves)
        while at and at + 12 <= end:
            if raw[at : at + 2] == b"\xff\xff":
                at += max(8, struct.unpack(">H", raw[at + 2 : at + 4])[0])
                continue
            number, length = struct.unpack(">QB", raw[at : at + 9])
            name = raw[at + 9 : at + 9 + length].decode(errors="replace")
            if name not in (".", "..", ""):
                yield name, number
            at += (9 + length + (1 if self._ftype else 0) + 2 + 7) & ~7

    def _found(self, path: str) -> Inode | None:
        here = self._inode(self._root)
        try:
            for name in filter(None, path.split("/")):
                if here.kind != "folder":
                    return None
                number = next((number for known, number in self._entries(here) if known == name), None)
                if number is None:
                    return None
                here = self._inode(number)
        except (OSError, struct.error, IndexError):
            return None
        return here

    def node(self, path: str) -> Inode | None:
        """As `trees.Volume.node`."""
        return self._found(path)

    def content(self, path: str, most: int) -> bytes:
        """As `trees.Volume.content`."""
        found = self._found(path)
        return self._bytes(found, most) if found else b""

    def names(self, path: str) -> list[str]:
        """As `trees.Volume.names`."""
        found = self._found(path)
        try:
            return [name for name, _ in self._entries(found)] if found and found.kind == "folder" else []
        except (OSError, struct.error, IndexError):
            return []
