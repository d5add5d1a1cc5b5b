"""Installed kernels, and whether they reach a virtio disk when they start."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable
from typing import IO, Any

from backports import zstd

from vmpod.drivers.inspection.facts import Kernel
from vmpod.drivers.inspection.trees import Tree

_MOST = 256 << 20
_BLOCK = 1 << 20
_WANTED = re.compile(rb"virtio[_-](?:blk|scsi)\.ko")
_BUILTIN = re.compile(r"virtio[_-](?:blk|scsi)\.ko")
_NAMES = ("initrd.img-{0}", "initramfs-{0}.img", "initrd-{0}", "initrd-{0}.img", "initramfs-{0}", "initramfs-{1}",
          "initrd", "initrd.img", "initramfs.img")  # fmt: skip
_OPENERS: tuple[tuple[bytes, str, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", "gzip", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"\xfd7zXZ\x00", "xz", lzma.open),
    (b"\x5d\x00\x00", "lzma", lzma.open),
    (b"BZh", "bzip2", bz2.open),
    (b"\x28\xb5\x2f\xfd", "zstd", zstd.ZstdFile),
)


def kernels(tree: Tree) -> tuple[Kernel, ...]:
    """Every kernel that has modules on the disk, the newest first."""
    versions = [name for name in tree.names("/lib/modules") if re.match(r"\d", name)]
    return tuple(_kernel(tree, version) for version in sorted(versions, key=_order, reverse=True))


def _order(version: str) -> list[tuple[int, str]]:
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.findall(r"\d+|[a-zA-Z]+", version)]


def _kernel(tree: Tree, version: str) -> Kernel:
    if _BUILTIN.search(tree.text(f"/lib/modules/{version}/modules.builtin")):
        return Kernel(version, "builtin")
    path = _initramfs(tree, version)
    on_disk = _has_module(tree, version)
    if not path:
        return Kernel(version, "modules" if on_disk else "none")
    found = in_initramfs(tree.read(path, _MOST))
    if found is None:
        return Kernel(version, "unknown", path)
    return Kernel(version, "initramfs" if found else "modules" if on_disk else "none", path)


def _initramfs(tree: Tree, version: str) -> str:
    flavour = version.rpartition("-")[2]
    for name in _NAMES:
        path = f"/boot/{name.format(version, flavour)}"
        if tree.exists(path):
            return path
    return ""


def _has_module(tree: Tree, version: str) -> bool:
    text = tree.text(f"/lib/modules/{version}/modules.dep")
    return bool(_BUILTIN.search(text)) if text else bool(
        [path for path in tree.below(f"/lib/modules/{version}/kernel/drivers/block", 1) if _BUILTIN.search(path)])


def in_initramfs(raw: bytes) -> bool | None:
    """Whether an initramfs holds a driver of virtio disks; None when it is packed in a way that is not read.

    It is one or more archives (cpio, `newc`), the first ones often plain and the last one packed
    (Linux: Documentation/driver-api/early-userspace/buffer-format).
    """
    at = 0
    while at < len(raw):
        at += len(raw[at:]) - len(raw[at:].lstrip(b"\0")) if raw[at : at + 1] == b"\0" else 0
        if raw[at : at + 5] == b"07070":
            end = _end_of_archive(raw, at)
            if _WANTED.search(raw, at, end):
                return True
            at = end
        else:
            return _packed(raw[at:]) if at < len(raw) else False
    return False


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


def _packed(raw: bytes) -> bool | None:
    for magic, _, opener in _OPENERS:
        if raw.startswith(magic):
            try:
                return _search(opener(io.BytesIO(raw)))
            except (OSError, EOFError, lzma.LZMAError, zstd.ZstdError, ValueError):
                return None
    return None


def _search(stream: Any) -> bool:
    """Search a stream block by block: names may straddle two, and what unpacks without end is left."""
    rest, done = b"", 0
    while done < _MOST and (block := stream.read(_BLOCK)):
        done += len(block)
        if _WANTED.search(rest + block):
            return True
        rest = block[-64:]
    return False
