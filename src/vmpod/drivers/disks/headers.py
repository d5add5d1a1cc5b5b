"""What QEMU lets pass in the header of an image, though its disk would be read as zeroes or not at all.

Formats: QEMU's docs/interop/qcow2.rst, VMware's Virtual Disk Format 5.0, VirtualBox's VDICore.h.
"""

from __future__ import annotations

import struct
from pathlib import Path

from vmpod.base.errors import Problem

_SECTOR = 512
_QCOW2_CORRUPT = 1 << 1
_VMDK_COMPRESSED = 1 << 16
_VMDK_AT_END = (1 << 64) - 1  # the directory's place stands in a footer
_VDI_ALONE, _VDI_ON_OTHERS = (1, 2), (3, 4)  # growing and fixed; undo and differencing


def check(path: Path, format: str) -> None:
    """Raise Problem when the header of an image says that it is damaged, encrypted or not whole. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SECTOR)
    if format == "qcow2":
        _qcow2(path, head)
    if format == "vmdk" and head.startswith(b"KDMV"):
        _vmdk(path, head, size)
    if format == "vdi":
        _vdi(path, head, size)


def _qcow2(path: Path, head: bytes) -> None:
    version, method = struct.unpack(">I", head[4:8])[0], struct.unpack(">I", head[32:36])[0]
    if method:
        fix = f"decrypt it where its key is: qemu-img convert --object secret,… -O qcow2 {path} plain.qcow2"
        raise Problem(f"use the image {path}", "it is encrypted", fix, "Format")
    if version >= 3 and struct.unpack(">Q", head[72:80])[0] & _QCOW2_CORRUPT:
        raise damaged(path, "QEMU has marked it as corrupt")


def _vmdk(path: Path, head: bytes, size: int) -> None:
    flags, compression = struct.unpack("<I", head[8:12])[0], struct.unpack("<H", head[77:79])[0]
    directory = struct.unpack("<Q", head[56:64])[0]
    if flags & _VMDK_COMPRESSED and compression != 1:
        raise damaged(path, f"its grains are packed by method {compression}, which nobody knows")
    if directory != _VMDK_AT_END and directory * _SECTOR >= size:
        raise damaged(path, "the directory of its grains lies beyond its end")


def _vdi(path: Path, head: bytes, size: int) -> None:
    kind, data = struct.unpack("<I", head[76:80])[0], struct.unpack("<I", head[344:348])[0]
    block, allocated = struct.unpack("<I", head[376:380])[0], struct.unpack("<I", head[388:392])[0]
    if kind in _VDI_ON_OTHERS:
        fix = "merge it with the image beneath it: VBoxManage clonemedium"
        raise Problem(f"use the image {path}", "it lies on another image (a differencing VDI)", fix, "ForeignFile")
    if kind not in _VDI_ALONE:
        raise damaged(path, f"its kind is {kind}, which nobody knows")
    if data + allocated * block > size:
        raise damaged(path, f"it ends after {size} of {data + allocated * block} bytes")


def damaged(path: Path, said: str) -> Problem:
    """The Problem of an image that is cut off or broken."""
    why = f"the image is truncated or damaged ({said})" if said else "the image is truncated or damaged"
    return Problem(f"use the image {path}", why, f"copy it again and compare: sha256sum {path}", "Damaged")
