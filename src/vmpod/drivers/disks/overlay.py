"""Copy-on-write disks: attaching is instant, whatever the size of the image beneath."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

from vmpod.base import files, proc
from vmpod.base.errors import Problem
from vmpod.drivers.disks import fetch, formats

_GROUP_AND_OWNER = 0o660
_BLOCK = 512  # of st_blocks, stat(2)
_MOST_ENTRIES = 1 << 20  # of the first table: half a petabyte with QEMU's clusters


async def make_overlay(
    path: Path, base: Path, *, size_bytes: int = 0, uid: int = 107, format: str = "qcow2", workshop: Path | None = None
) -> None:
    """A writable qcow2 at `path` over `base` (a qcow2 or raw image), which it names relative to itself.

    The disk is at least as large as its base; `size_bytes` may make it larger. It belongs to `uid`, as whom
    QEMU runs. It is made in `workshop`, where nobody else writes (default: its own folder), and appears in one
    step. An existing file is kept. Raises Problem.
    """
    beneath = os.path.relpath(base, path.parent)
    # -u: the base is not opened. It may be what a guest or a container has written, and its size is read here.
    argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", format, "-b", beneath]
    virtual = await virtual_bytes(base) if format == "qcow2" else formats.size_of(base)
    await _create(path, argv, max(size_bytes, virtual), uid, workshop)


async def make_blank(path: Path, size_bytes: int, *, uid: int = 107, workshop: Path | None = None) -> None:
    """An empty qcow2 of `size_bytes`, owned by `uid`, made as an overlay is; what is there is kept. Raises Problem."""
    await _create(path, ["qemu-img", "create", "-q", "-f", "qcow2"], size_bytes, uid, workshop)


async def virtual_bytes(path: Path) -> int:
    """The size that the guest sees of a qcow2 image of ours, in bytes (header field `size`)."""
    with formats.open_plain(path) as file:
        head = file.read(32)
    if not head.startswith(formats.QCOW2):
        raise Problem(f"use the disk {path}", "it is not a qcow2 image any more", f"qemu-img check {path}", "Damaged")
    return int.from_bytes(head[24:32], "big")


async def most_bytes(size_bytes: int) -> int:
    """How long the file of a qcow2 of this size becomes when all of it is written. Raises Problem."""
    argv = ["qemu-img", "measure", "--output=json", "-O", "qcow2", "--size", str(size_bytes)]
    return int(json.loads((await proc.run(argv, what="measure a disk")).out)["fully-allocated"])


def reserve(path: Path, most: int) -> None:
    """Let a file own `most` bytes of its file system; what is in it stays. Blocks. Raises Problem and OSError.

    QEMU puts the next cluster of a qcow2 behind those in use, wherever the file ends.
    """
    with files.open_plain(path, write=True) as file:
        seen = os.fstat(file.fileno())
        fetch.check_room(f"preallocate the disk {path}", path.parent, max(0, most - seen.st_blocks * _BLOCK))
        try:
            os.posix_fallocate(file.fileno(), 0, most)
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), seen.st_size)
            raise


def is_untouched(path: Path) -> bool:
    """Whether nothing was ever written to a qcow2 image of ours: its first table (of cluster tables) is empty."""
    with formats.open_plain(path) as file:
        head = file.read(48)
        entries, offset = int.from_bytes(head[36:40], "big"), int.from_bytes(head[40:48], "big")
        if not head.startswith(formats.QCOW2) or entries > _MOST_ENTRIES:
            return False
        file.seek(min(offset, 1 << 40))
        return file.read(entries * 8) == bytes(entries * 8)


async def _create(path: Path, argv: list[str], size_bytes: int, uid: int, workshop: Path | None) -> None:
    if os.path.lexists(path):
        return
    if workshop is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="disk-", dir=workshop or path.parent) as folder:
        fresh = Path(folder, "disk.qcow2")
        await proc.run([*argv, str(fresh), str(size_bytes)], what=f"make the disk {path}")
        fresh.chmod(_GROUP_AND_OWNER)
        if os.geteuid() == 0:
            os.chown(fresh, uid, uid)
        try:
            _place(fresh, path)
        except OSError as error:  # its folder is gone, or something else bears its name
            why = error.strerror or str(error)
            raise Problem(f"make the disk {path}", why, f"ls -l {path.parent}", "Failed") from None


def _place(fresh: Path, path: Path) -> None:
    """Move a new disk to its place; to another file system by a copy, which follows no link and replaces nothing."""
    try:
        fresh.replace(path)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    owner = fresh.stat()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _GROUP_AND_OWNER)
    with os.fdopen(handle, "wb") as out:
        out.write(fresh.read_bytes())
        os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
