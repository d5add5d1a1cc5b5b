"""The disk on a claim's volume, where containers and guests may write too.

Nothing there is believed: a file is opened without following links, and the one base that its image may refer to is
what was recorded beside the volume's folder when it was filled, not what its header says. It is made where nobody else
writes, and put in place in one step.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.disks import formats, overlay

DISK, RAW = "disk.qcow2", "disk.img"
QEMU_UID = 107


@dataclass(frozen=True)
class ClaimDisk:
    """An image: `format` is qcow2 or raw; `base` is the image beneath it."""

    path: Path
    format: str
    base: Path | None = None


def find(paths: Paths, folder: Path) -> ClaimDisk | None:
    """The disk in a volume's folder, None where there is none. Raises Problem for one that is not to be opened."""
    raw, disk, base = folder / RAW, folder / DISK, _base(paths, folder)
    if os.path.lexists(raw):
        formats.size_of(raw)
        return ClaimDisk(raw, "raw")
    if os.path.lexists(disk):
        formats.check_own(disk, os.path.relpath(base, folder) if base else "")
        return ClaimDisk(disk, "qcow2", base)
    if base is not None:
        fix = "delete the claim and import the image again"
        raise Problem(f"use the disk {disk}", "it was removed from its volume", fix, "Gone")
    return None


def _record(paths: Paths, folder: Path) -> Path:
    return paths.volume_base(folder.name)


def _base(paths: Paths, folder: Path) -> Path | None:
    if folder.parent != paths.volumes:
        return None
    try:
        return paths.bases / f"{_record(paths, folder).read_text().strip()}.qcow2"
    except FileNotFoundError:
        return None


async def make(paths: Paths, folder: Path, size_bytes: int, base: Path | None = None) -> ClaimDisk:
    """The disk of a volume: blank, or an overlay on a base. One that is there is kept. Raises Problem."""
    disk = folder / DISK
    if not os.path.lexists(disk):
        if base is None:
            await overlay.make_blank(disk, size_bytes, workshop=paths.staging)
        else:
            note_base(paths, folder, base)
            await overlay.make_overlay(disk, base, size_bytes=size_bytes, workshop=paths.staging)
    return ClaimDisk(disk, "qcow2", base)


def note_base(paths: Paths, folder: Path, base: Path) -> None:
    """Record which base a volume's disk lies on, before there is one."""
    record = _record(paths, folder)
    fresh = record.with_suffix(".new")
    fresh.write_text(base.stem)
    fresh.replace(record)


def erase(paths: Paths, folder: Path) -> None:
    """Remove a volume with all that is on it. Raises OSError."""
    if folder.exists():
        shutil.rmtree(folder)
    _record(paths, folder).unlink(missing_ok=True)


def give_to_qemu(path: Path) -> None:
    """Let QEMU's user write an image; a link itself, and not what it leads to, would be given away."""
    if os.geteuid() == 0:
        os.chown(path, QEMU_UID, QEMU_UID, follow_symlinks=False)
