"""Which format a disk image has, told from its own first bytes, and whether it names other files.

QEMU's probing is never used on a file that came from outside: a guest or a sender may write any header into a
raw disk, and QEMU would open the files that the header names. So the format is decided here, and an image
that refers to another file (backing file, external data file, extents) is refused before QEMU sees it.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

from vmpod.base import files
from vmpod.base.errors import Problem

_SECTOR = 512
QCOW2 = b"QFI\xfb"
"""how every qcow2 begins"""
_QCOW2_DATA_FILE = 1 << 2  # incompatible feature "external data file" (QEMU docs/interop/qcow2.txt)
_DESCRIPTOR_ROOM = 64 * 1024
_TABLE_ROOM = 32 << 20  # QEMU's own limit
_FAR = 1 << 40  # an offset beyond any image: there is nothing to read, and every file system can `seek` there
_NEEDED_BYTES = {"qcow2": 80, "vmdk": 44, "vpc": _SECTOR}  # up to the last header field that is read here
_OTHERS = {  # what begins so is no raw disk, whatever its length
    b"\x7fELF": "a program", b"PK\x03\x04": "a zip archive", b"7z\xbc\xaf": "a 7-Zip archive", b"Rar!": "a RAR archive",
    b"%PDF": "a PDF", b"QED\0": "a QED image", b"Withou": "a Parallels image",
}  # fmt: skip
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}


def open_plain(path: Path) -> BinaryIO:
    """Open a regular file for reading where others may write: no link is followed, no pipe or device waited for.

    Raises Problem, reason ForeignFile, for anything but a regular file, and FileNotFoundError.
    """
    try:
        return files.open_plain(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        why = "it is a symbolic link, which is never followed" if is_link else error.strerror or str(error)
        raise Problem(f"use the disk {path}", why, f"ls -l {path}", "ForeignFile") from None


def size_of(path: Path) -> int:
    """The length of a regular file in bytes. Raises what `open_plain` raises."""
    with open_plain(path) as file:
        return os.fstat(file.fileno()).st_size


def check_own(path: Path, base: str) -> None:
    """Raise Problem unless `path` is a qcow2 that refers to the file `base` (as written; empty: to none) and no other.

    For disks that a guest or a container may have rewritten since they were made.
    """
    with open_plain(path) as file:
        head = file.read(4096)
        named = _named_in(file, head)
    if not head.startswith(QCOW2) or len(head) < _NEEDED_BYTES["qcow2"]:
        raise Problem(f"use the disk {path}", "it is not a qcow2 image any more", f"qemu-img check {path}", "Damaged")
    if struct.unpack(">I", head[4:8])[0] >= 3 and struct.unpack(">Q", head[72:80])[0] & _QCOW2_DATA_FILE:
        named = "an external data file"
    if named != base:
        why = f"it refers to another file ({named or 'none'}) than the one it was made on ({base or 'none'})"
        raise Problem(f"use the disk {path}", why, "delete the claim and import the image again", "ForeignFile")


def _named_in(file: BinaryIO, head: bytes) -> str:
    """The backing file that a qcow2 header names."""
    offset, length = struct.unpack(">QI", head[8:20].ljust(12, b"\0"))
    if not offset:
        return ""
    file.seek(min(offset, _FAR))
    return file.read(min(length, 1023)).decode(errors="replace")


def is_unwritten(path: Path) -> bool:
    """Whether nothing was ever written to a qcow2 overlay: its table of clusters is empty."""
    with open_plain(path) as file:
        head = file.read(_NEEDED_BYTES["qcow2"]).ljust(_NEEDED_BYTES["qcow2"], b"\0")
        entries, offset = struct.unpack(">IQ", head[36:48])
        file.seek(min(offset, _FAR))
        return head.startswith(QCOW2) and not any(file.read(min(entries * 8, _TABLE_ROOM)))


def compression(path: Path) -> str:
    """`gzip`, `xz`, `zstd` or `bzip2` when the file is packed so, else an empty string."""
    head = _read(path, 0, 8)
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), "")


def detect(path: Path) -> str:
    """QEMU's name of the image's format: qcow2, vmdk, vdi, vhdx, vpc or raw.

    Raises Problem when the file cannot be read, is empty, is of no known format, or names other files.
    """
    what = f"use the image {path}"
    try:
        size = path.stat().st_size
        head = _read(path, 0, 4096)
    except OSError as error:
        raise Problem(what, error.strerror or str(error), f"ls -l {path}", "Unreadable") from None
    if size == 0:
        raise Problem(what, "the file is empty", f"ls -l {path}", "Truncated")
    found = _by_magic(path, head, size)
    if not found:
        fix = "qemu-img convert it to qcow2 with the program that made it, or check the file's name"
        why = "it has no known format (qcow2, vmdk, vdi, vhdx, vhd, raw disk, ISO)"
        raise Problem(what, ": it is ".join(filter(None, (why, _other(path, head, size)))), fix, "Format")
    if len(head) < _NEEDED_BYTES.get(found, 0):
        raise Problem(what, "the image is truncated or damaged (its header is cut off)", f"ls -l {path}", "Truncated")
    named = _named_file(path, found, head)
    if named:
        fix = f"flatten it where the other file is: qemu-img convert -O qcow2 {path} flat.qcow2"
        raise Problem(what, f"it refers to another file ({named}), which is never opened", fix, "ForeignFile")
    return found


def _by_magic(path: Path, head: bytes, size: int) -> str:
    if head.startswith(QCOW2):
        return "qcow2" if len(head) >= 8 and struct.unpack(">I", head[4:8])[0] >= 2 else ""
    if head.startswith((b"KDMV", b"COWD")) or head.lstrip().startswith(b"# Disk DescriptorFile"):
        return "vmdk"
    if head[0x40:0x44] == b"\x7f\x10\xda\xbe":
        return "vdi"
    if head.startswith(b"vhdxfile"):
        return "vhdx"
    if head.startswith(b"conectix") or (size > _SECTOR and _read(path, size - _SECTOR, 8) == b"conectix"):
        return "vpc"
    return "raw" if _is_known_disk(path, head, size) or not _other(path, head, size) else ""


def _is_known_disk(path: Path, head: bytes, size: int) -> bool:
    """A boot record, an ISO 9660 file system, or an ext, XFS or btrfs file system without partitions."""
    if size % _SECTOR:
        return False
    return (
        head[510:512] == b"\x55\xaa"
        or _read(path, 0x8001, 5) == b"CD001"
        or head[0x438:0x43A] == b"\x53\xef"
        or head.startswith(b"XFSB")
        or _read(path, 0x10040, 8) == b"_BHRfS_M"
    )


def _other(path: Path, head: bytes, size: int) -> str:
    """What a file is that is no raw disk; empty when it may be one, as any bytes in whole sectors may.

    An answer that a server gives in place of an image is text, and archives are made of whole sectors, too.
    """
    for magic, name in (*_OTHERS.items(), *_COMPRESSED.items()):
        if head.startswith(magic):
            return name
    if head[257:262] == b"ustar":
        return "a tar archive"
    if size > _SECTOR and _read(path, size - _SECTOR, 4) == b"koly":
        return "a disk image of macOS"
    if _is_text(head):
        return "text"
    return "not made of whole sectors" if size % _SECTOR else ""


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in head):
        return False
    try:
        head[:-3].decode()  # a character may be cut off at the end
    except UnicodeDecodeError:
        return False
    return True


def _named_file(path: Path, found: str, head: bytes) -> str:
    """What other file the image's header names, empty when none."""
    if found == "qcow2":
        return _qcow2_names(path, head)
    if found == "vmdk":
        return _vmdk_names(path, head)
    if found == "vpc":
        footer = head if head.startswith(b"conectix") else _read(path, path.stat().st_size - _SECTOR, _SECTOR)
        return "a parent disk" if footer[60:64] == b"\x00\x00\x00\x04" else ""
    return ""


def backing_name(path: Path) -> str:
    """The backing file that a qcow2 image names, as written; empty when it has none."""
    with path.open("rb") as file:
        return _named_in(file, file.read(20))


def _qcow2_names(path: Path, head: bytes) -> str:
    if backing := backing_name(path):
        return backing
    version = struct.unpack(">I", head[4:8])[0]
    features = struct.unpack(">Q", head[72:80])[0] if version >= 3 else 0
    return "an external data file" if features & _QCOW2_DATA_FILE else ""


def _vmdk_names(path: Path, head: bytes) -> str:
    """The parent or the extents of a VMDK that are not the file itself (VMware's Virtual Disk Format 5.0)."""
    if not head.startswith(b"KDMV"):
        return "the extents that its descriptor lists"
    capacity, _grain, offset, sectors = struct.unpack("<QQQQ", head[12:44])
    if capacity == 0:
        return "the extents that its descriptor lists"
    text = _read(path, offset * _SECTOR, min(sectors * _SECTOR, _DESCRIPTOR_ROOM)).decode("latin-1")
    parent = re.search(r'^\s*parentFileNameHint\s*=\s*"?([^"\n]+)', text, re.MULTILINE)
    if parent:
        return parent[1]
    cid = re.search(r"^\s*parentCID\s*=\s*([0-9a-fA-F]+)", text, re.MULTILINE)
    return "a parent disk" if cid and cid[1].lower() != "ffffffff" else ""


def _read(path: Path, offset: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(min(max(0, offset), _FAR))
        return file.read(count)
