"""btrfs, read without mounting: its trees, subvolumes and packed extents (btrfs: Documentation/dev/On-disk-format).

The Sleuth Kit has no reader for it, and it is what Fedora and openSUSE are installed on. Of several disks the one that
is at hand is read: copies (raid1, dup) are whole on it, stripes (raid0, 5, 6, 10) are not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from backports import zstd

from vmpod.drivers.inspection import lzo
from vmpod.drivers.inspection.blocks import Blocks

SUPER = 0x10000
MAGIC = b"_BHRfS_M"
_HEAD, _ITEM, _POINTER = 101, 25, 33
_INODE, _ROOT_BACK, _DIR, _NAMES, _EXTENT, _ROOT, _CHUNK = 1, 144, 84, 96, 108, 132, 228
_CHUNKS, _ROOTS, _TOP, _FIRST = 3, 1, 5, 256
_STRIPED = 0x8 | 0x40 | 0x80 | 0x100
_KINDS = {0x4000: "folder", 0x8000: "file", 0xA000: "link"}
_ZLIB, _LZO, _ZSTD = 1, 2, 3
_INLINE, _REGULAR = 0, 1
_DEEPEST = 8
_MOST_PACKED = 1 << 20  # btrfs packs at most 128 KiB together
_MOST_NAMES = 200_000
_MOST_TREES = 500
_DAMAGE = (OSError, struct.error, IndexError, ValueError, zlib.error, zstd.ZstdError)


class Key(NamedTuple):
    """What items are sorted by."""

    object: int
    type: int
    offset: int


@dataclass(frozen=True)
class Inode:
    """A file of a subvolume."""

    kind: str
    size: int
    target: str = ""


class Pool:
    """The trees of one file system. Raises OSError when it is none, or is damaged where its trees begin."""

    def __init__(self, blocks: Blocks) -> None:
        head = blocks.read(SUPER, 4096)
        if head[0x40:0x48] != MAGIC or len(head) < 4096:
            raise OSError("no btrfs super block")
        self._blocks = blocks
        roots, chunks = struct.unpack("<QQ", head[0x50:0x60])
        self._folder = struct.unpack("<Q", head[0x80:0x88])[0]
        self._sector, self._node_size = struct.unpack("<II", head[0x90:0x98])
        if not 512 <= self._sector <= 65536 or not 4096 <= self._node_size <= 65536:
            raise OSError("a btrfs of a size that is not read")
        self._disk = struct.unpack("<Q", head[0xC9:0xD1])[0]
        self._chunks = list(self._first_chunks(head))
        self._chunks = [one for key, raw in self.items(chunks, Key(0, 0, 0), Key(1 << 64, 0, 0)) if key.type == _CHUNK
                        for one in self._chunk(key.offset, raw)] or self._chunks  # fmt: skip
        self._roots = roots
        self.entries = lru_cache(256)(self._entries)
        self.tree = lru_cache(_MOST_TREES)(self._tree)

    def _first_chunks(self, head: bytes) -> Iterator[tuple[int, int, int]]:
        """The chunks of the tree of chunks, which are listed in the super block."""
        raw = head[0x32B : 0x32B + min(struct.unpack("<I", head[0xA0:0xA4])[0], 2048)]
        at = 0
        while at + 17 + 48 <= len(raw):
            key, count = Key(*struct.unpack("<QBQ", raw[at : at + 17])), struct.unpack("<H", raw[at + 61 : at + 63])[0]
            end = at + 17 + 48 + 32 * count
            yield from self._chunk(key.offset, raw[at + 17 : end])
            at = end

    def _chunk(self, start: int, raw: bytes) -> Iterator[tuple[int, int, int]]:
        """Where the pool's bytes from `start` on lie on this disk: start, length, place."""
        length, kind, count = *struct.unpack("<Q16xQ", raw[:32]), struct.unpack("<H", raw[44:46])[0]
        if kind & _STRIPED and count > 1:
            return
        for index in range(count):
            disk, place = struct.unpack("<QQ", raw[48 + 32 * index : 64 + 32 * index])
            if disk == self._disk:
                yield start, length, place
                return

    def read(self, address: int, length: int) -> bytes:
        """Bytes by their address in the pool. Raises OSError when they are not on this disk."""
        for start, size, place in self._chunks:
            if start <= address and address + length <= start + size:
                return self._blocks.read(place + address - start, length)
        raise OSError(f"address {address} is not on this disk")

    def items(self, root: int, low: Key, high: Key) -> Iterator[tuple[Key, bytes]]:
        """The items of a tree from `low` on, before `high`. Raises OSError when they are not in order: no tree that
        leads in a circle is walked twice."""
        last = Key(-1, 0, 0)
        for key, raw in self._walk(root, low, high, _DEEPEST):
            if key <= last:
                raise OSError("a tree is out of order")
            last = key
            yield key, raw

    def _walk(self, at: int, low: Key, high: Key, above: int) -> Iterator[tuple[Key, bytes]]:
        raw = self.read(at, self._node_size)
        if len(raw) < self._node_size or struct.unpack("<Q", raw[0x30:0x38])[0] != at:
            raise OSError(f"node {at} is damaged")
        count, level = struct.unpack("<IB", raw[0x60:0x65])
        if level >= above or count > self._node_size // _ITEM:
            raise OSError(f"node {at} is damaged")
        if level:
            yield from self._branch(raw, count, level, low, high)
            return
        for index in range(count):
            head = _HEAD + _ITEM * index
            key = Key(*struct.unpack("<QBQ", raw[head : head + 17]))
            start, size = struct.unpack("<II", raw[head + 17 : head + 25])
            if low <= key < high:
                yield key, raw[_HEAD + start : _HEAD + start + size]

    def _branch(self, raw: bytes, count: int, level: int, low: Key, high: Key) -> Iterator[tuple[Key, bytes]]:
        heads = [_HEAD + _POINTER * index for index in range(min(count, self._node_size // _POINTER))]
        keys = [Key(*struct.unpack("<QBQ", raw[head : head + 17])) for head in heads]
        for index, head in enumerate(heads):
            is_before = index + 1 < len(keys) and keys[index + 1] <= low
            if not is_before and keys[index] < high:
                yield from self._walk(struct.unpack("<Q", raw[head + 17 : head + 25])[0], low, high, level)

    def _of(self, root: int, object: int, type: int) -> Iterator[tuple[Key, bytes]]:
        return self.items(root, Key(object, type, 0), Key(object, type + 1, 0))

    def _tree(self, number: int) -> int:
        """Where the tree of a subvolume begins. Raises OSError when there is none."""
        for _, raw in self._of(self._roots, number, _ROOT):
            return int(struct.unpack("<Q", raw[176:184])[0])
        raise OSError(f"there is no subvolume {number}")

    def default(self) -> int:
        """The subvolume that is mounted when none is named."""
        for _, raw in self._of(self._roots, self._folder, _DIR):
            if raw[30 : 30 + struct.unpack("<H", raw[27:29])[0]] == b"default":
                return int(struct.unpack("<Q", raw[:8])[0])
        return _TOP

    def subvolumes(self) -> dict[str, int]:
        """All subvolumes, by their paths below the top one."""
        parents: dict[int, tuple[int, str]] = {}
        for key, raw in self.items(self._roots, Key(_FIRST, 0, 0), Key(1 << 63, 0, 0)):
            if key.type == _ROOT_BACK and len(parents) < _MOST_TREES:
                folder, _, length = struct.unpack("<QQH", raw[:18])
                parents[key.object] = key.offset, raw[18 : 18 + length].decode(errors="replace")
                if folder != _FIRST and (inside := self._path(key.offset, folder)):
                    parents[key.object] = key.offset, f"{inside}/{parents[key.object][1]}"
        return {path: number for number in parents if (path := _joined(number, parents))}

    def _path(self, number: int, inode: int) -> str:
        """The path of a folder in its subvolume, upwards by the references of inodes."""
        names: list[str] = []
        while inode != _FIRST and len(names) < 64:
            found = next(iter(self._of(self.tree(number), inode, 12)), None)
            if found is None:
                break
            names.append(found[1][10 : 10 + struct.unpack("<H", found[1][8:10])[0]].decode(errors="replace"))
            inode = found[0].offset
        return "/".join(reversed(names))

    def _entries(self, number: int, inode: int) -> dict[str, Key]:
        """The names in a folder and where they lead: to an inode or into another subvolume."""
        found: dict[str, Key] = {}
        for _, raw in self._of(self.tree(number), inode, _NAMES):
            length = struct.unpack("<H", raw[27:29])[0]
            found[raw[30 : 30 + length].decode(errors="replace")] = Key(*struct.unpack("<QBQ", raw[:17]))
            if len(found) >= _MOST_NAMES:
                break
        return found

    def inode(self, number: int, inode: int) -> Inode:
        """A file by its number. Raises OSError when there is none."""
        for _, raw in self._of(self.tree(number), inode, _INODE):
            size, mode = struct.unpack("<Q", raw[16:24])[0], struct.unpack("<I", raw[52:56])[0]
            kind = _KINDS.get(mode & 0xF000, "other")
            target = self.content(number, inode, min(size, 4096)).decode(errors="replace") if kind == "link" else ""
            return Inode(kind, size, target)
        raise OSError(f"there is no inode {inode}")

    def content(self, number: int, inode: int, most: int) -> bytes:
        """The first bytes of a file of at least so many."""
        found = bytearray(most)
        high = Key(inode, _EXTENT, most)
        for key, raw in self.items(self.tree(number), Key(inode, _EXTENT, 0), high):
            piece = self._extent(raw, most - key.offset)[: most - key.offset]
            found[key.offset : key.offset + len(piece)] = piece
        return bytes(found)

    def _extent(self, raw: bytes, most: int) -> bytes:
        whole, packing, kind = struct.unpack("<Q", raw[8:16])[0], raw[16], raw[20]
        if kind == _INLINE:
            return self._unpacked(raw[21:], packing, whole)
        address, stored, offset, length = struct.unpack("<QQQQ", raw[21:53])
        if kind != _REGULAR or not address:
            return b""  # a hole, or room that was never written
        if not packing:
            return self.read(address + offset, min(length, most))
        if stored > _MOST_PACKED:
            raise OSError("a packed extent is too large")
        return self._unpacked(self.read(address, stored), packing, whole)[offset : offset + length]

    def _unpacked(self, raw: bytes, packing: int, whole: int) -> bytes:
        if whole > _MOST_PACKED:
            raise OSError("a packed extent is too large")
        if packing == _ZLIB:
            return zlib.decompressobj().decompress(raw, whole)
        if packing == _ZSTD:
            return bytes(zstd.ZstdDecompressor().decompress(raw, whole))
        return lzo.unpack_btrfs(raw, self._sector, whole) if packing == _LZO else raw


def _joined(number: int, parents: dict[int, tuple[int, str]]) -> str:
    """The path of a subvolume; empty when its parents lead in a circle."""
    names: list[str] = []
    while number in parents and len(names) < 64:
        number, name = parents[number]
        names.append(name)
    return "/".join(reversed(names)) if number == _TOP else ""


class Btrfs:
    """One subvolume (the default one, if none is said) as a file system. Raises OSError as `Pool`."""

    def __init__(self, blocks: Blocks | Pool, number: int = 0) -> None:
        try:
            self._pool = blocks if isinstance(blocks, Pool) else Pool(blocks)
            self._number = number or self._pool.default()
            self._pool.tree(self._number)
        except _DAMAGE as error:
            raise OSError(str(error)) from None

    def subvolumes(self) -> dict[str, Btrfs]:
        """The other subvolumes by their paths; none that is damaged. Also this one may be among them."""
        found: dict[str, Btrfs] = {}
        try:
            numbers = {"": _TOP, **self._pool.subvolumes()}
        except _DAMAGE:
            return found
        for path, number in numbers.items():
            try:
                found[path] = Btrfs(self._pool, number)
            except OSError:
                continue
        return found

    def _place(self, path: str) -> tuple[int, int]:
        number, inode = self._number, _FIRST
        for name in filter(None, path.split("/")):
            key = self._pool.entries(number, inode).get(name)
            if key is None:
                raise OSError(f"{path} is not there")
            number, inode = (key.object, _FIRST) if key.type == _ROOT else (number, key.object)
        return number, inode

    def node(self, path: str) -> Inode | None:
        """As `trees.Volume.node`."""
        try:
            return self._pool.inode(*self._place(path))
        except _DAMAGE:
            return None

    def content(self, path: str, most: int) -> bytes:
        """As `trees.Volume.content`."""
        try:
            return self._pool.content(*self._place(path), most)
        except _DAMAGE:
            return b""

    def names(self, path: str) -> list[str]:
        """As `trees.Volume.names`."""
        try:
            return list(self._pool.entries(*self._place(path)))
        except _DAMAGE:
            return []
