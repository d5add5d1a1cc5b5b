"""Installed kernels, and on which buses they find their disk when they start."""

from __future__ import annotations

import bz2
import ctypes
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import IO, Any

from backports import zstd

from vmpod.drivers.inspection.facts import Kernel
from vmpod.drivers.inspection.trees import Tree

_MOST = 256 << 20
_MOST_KERNELS = 12
_BLOCK = 1 << 20
_FILL = re.compile(rb"\0*")
_DRIVERS = {"virtio": (b"virtio_blk.ko", b"virtio-blk.ko"), "scsi": (b"virtio_scsi.ko", b"virtio-scsi.ko"),
            "sata": (b"/ahci.ko",)}  # fmt: skip
_NAMES = ("initrd.img-{0}", "initramfs-{0}.img", "initrd-{0}", "initrd-{0}.img", "initramfs-{0}", "initramfs-{1}",
          "initramfs-{1}.img", "initrd", "initrd.img", "initramfs.img")  # fmt: skip
_LZ4, _LZ4_BLOCK = b"\x02\x21\x4c\x18", 8 << 20
_OPENERS: tuple[tuple[bytes, str, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", "gzip", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"\xfd7zXZ\x00", "xz", lzma.open),
    (b"\x5d\x00\x00", "lzma", lzma.open),
    (b"BZh", "bzip2", bz2.open),
    (b"\x28\xb5\x2f\xfd", "zstd", zstd.ZstdFile),
)


def _load_lz4() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("liblz4.so.1")
    except OSError:
        return None


_liblz4 = _load_lz4()  # here, for the process that reads images opens no file later


def kernels(tree: Tree) -> tuple[Kernel, ...]:
    """The kernels that have modules on the disk, the newest first; of a crowd the newest ones."""
    versions = [name for name in tree.names("/lib/modules") if re.match(r"\d", name)]
    return tuple(_kernel(tree, version) for version in sorted(versions, key=_order, reverse=True)[:_MOST_KERNELS])


def _order(version: str) -> list[tuple[int, str]]:
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.findall(r"\d+|[a-zA-Z]+", version)]


def _kernel(tree: Tree, version: str) -> Kernel:
    folder = f"/lib/modules/{version}"
    builtin = buses(tree.read(f"{folder}/modules.builtin"))
    path = _initramfs(tree, version)
    inside = drivers(tree.read(path, _MOST)) if path else frozenset[str]()
    if {"virtio", "scsi"} & builtin:
        return Kernel(version, "builtin", path, tuple(sorted(builtin | (inside or set()))))
    if inside is None:
        return Kernel(version, "unknown", path)
    there = tuple(sorted(builtin | inside))
    if {"virtio", "scsi"} & inside:
        return Kernel(version, "initramfs", path, there)
    return Kernel(version, "modules" if _has_module(tree, folder) else "none", path, there)


def _initramfs(tree: Tree, version: str) -> str:
    """Where a kernel's initramfs lies: by the names that distributions give it, else below /boot by version."""
    flavour = tree.text(f"/lib/modules/{version}/pkgbase").strip() or version.rpartition("-")[2]
    for name in _NAMES:
        path = f"/boot/{name.format(version, flavour)}"
        if tree.exists(path):
            return path
    deep = (path for path in tree.below("/boot", 4) if f"/{version}/init" in path)
    return next(deep, "")


def _has_module(tree: Tree, folder: str) -> bool:
    listed = tree.read(f"{folder}/modules.dep")
    named = [listed] if listed else [path.encode() for path in tree.below(f"{folder}/kernel/drivers/block", 1)]
    return any({"virtio", "scsi"} & buses(one) for one in named)


def buses(text: bytes) -> frozenset[str]:
    """The buses (virtio, scsi, sata) whose drivers are named in a text."""
    return frozenset(bus for bus, names in _DRIVERS.items() if any(name in text for name in names))


def drivers(raw: bytes) -> frozenset[str] | None:
    """The buses whose drivers an initramfs holds; None when it is packed in a way that is not read.

    It is one or more archives (cpio, `newc`), the first ones often plain and the last one packed
    (Linux: Documentation/driver-api/early-userspace/buffer-format).
    """
    found, at = frozenset[str](), 0
    while at < len(raw):
        at = _FILL.match(raw, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if raw[at : at + 5] == b"07070":
            end = _end_of_archive(raw, at)
            found |= buses(raw[at:end])
            at = end
        else:
            packed = _packed(raw[at:]) if at < len(raw) else frozenset[str]()
            return None if packed is None else found | packed
    return found


def _end_of_archive(raw: bytes, at: int) -> int:
    """Where a plain cpio archive ends: after the entry called TRAILER!!!, filled up to four bytes."""
    while raw[at : at + 5] == b"07070" and at + 110 <= len(raw):
        size, length = (int(raw[at + 54 : at + 62], 16), int(raw[at + 94 : at + 102], 16))
        is_last = raw[at + 110 : at + 120] == b"TRAILER!!!"
        at = (at + 110 + length + 3) & ~3
        at = (at + size + 3) & ~3
        if is_last:
            return at
    return len(raw)


def _packed(raw: bytes) -> frozenset[str] | None:
    try:
        if raw.startswith(_LZ4):
            return _search(_lz4(raw))
        for magic, _, opener in _OPENERS:
            if raw.startswith(magic):
                return _search(iter(partial(opener(io.BytesIO(raw)).read, _BLOCK), b""))
    except (OSError, EOFError, lzma.LZMAError, zstd.ZstdError, ValueError):
        return None
    return None


def _search(blocks: Iterable[bytes]) -> frozenset[str]:
    """Search a stream block by block: names may straddle two, and what unpacks without end is left."""
    found, rest, done = frozenset[str](), b"", 0
    for block in blocks:
        done += len(block)
        found |= buses(rest + block)
        if len(found) == len(_DRIVERS) or done >= _MOST:
            break
        rest = block[-64:]
    return found


def _lz4(raw: bytes) -> Iterator[bytes]:
    """The blocks of LZ4's legacy frame, which is the kernel's. Raises OSError when damaged or without liblz4, which is
    part of every system with systemd or apt."""
    if _liblz4 is None:
        raise OSError("liblz4 is not installed")
    at, room = 4, ctypes.create_string_buffer(_LZ4_BLOCK)
    while at + 4 <= len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        at += 4
        if size in (0, int.from_bytes(_LZ4, "little")):
            continue  # what fills up the end, or another frame
        count = _liblz4.LZ4_decompress_safe(raw[at : at + size], room, min(size, len(raw) - at), _LZ4_BLOCK)
        if count < 0:
            raise OSError("a block of LZ4 is damaged")
        yield room.raw[:count]
        at += size
