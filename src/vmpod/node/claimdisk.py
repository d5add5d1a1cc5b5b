"""The disk on a claim's volume, where containers and guests may write too.

Nothing there is believed: a file is opened without following links, and the images that it may refer to are what was
recorded outside the volume's folder, not what its header says. It is made where nobody else writes, and put in place
in one step. What a record names lies beneath the disk: a base, or a layer (see `vmpod.node.layers`) with a record of
its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.disks import formats, overlay
from vmpod.node import layers, shown
from vmpod.node.layers import Beneath

DISK, RAW = layers.DISK, layers.RAW
QEMU_UID = 107


@dataclass(frozen=True)
class ClaimDisk:
    """An image: `format` is qcow2 or raw; `beneath` are the images under it, the nearest first."""

    path: Path
    format: str
    beneath: tuple[Beneath, ...] = ()

    @property
    def images(self) -> tuple[tuple[Path, str], ...]:
        """All images with their formats, from the disk down to its base."""
        return ((self.path, self.format), *((one.path, one.format) for one in self.beneath))


def find(paths: Paths, folder: Path) -> ClaimDisk | None:
    """The disk in a volume's folder, None where there is none. Raises Problem for one that is not to be opened."""
    below, head = _record(paths, folder)
    raw, disk = folder / RAW, folder / (head or DISK)
    if not head and os.path.lexists(raw):
        formats.size_of(raw)
        return ClaimDisk(raw, "raw")
    chain = layers.chain(paths, below)
    if os.path.lexists(disk):
        formats.check_own(disk, os.path.relpath(chain[0].path, folder) if chain else "")
        return ClaimDisk(disk, "qcow2", chain)
    if chain:
        fix = "delete the claim and import the image again"
        raise Problem(f"use the disk {disk}", "it was removed from its volume", fix, "Gone")
    return None


def is_disk(paths: Paths, folder: Path) -> bool:
    """Whether a volume's folder holds a machine's disk: one was recorded, or a file of its name is QEMU's user's."""
    if any(_record(paths, folder)):
        return True
    return any(_is_qemus(folder / name) for name in (DISK, RAW))


def _is_qemus(path: Path) -> bool:
    try:
        return path.lstat().st_uid == QEMU_UID
    except OSError:
        return False


def _record(paths: Paths, folder: Path) -> tuple[str, str]:
    """What the volume's disk lies on, and the disk's name where it is not the first one."""
    return layers.read(paths.volume_base(folder.name)) if folder.parent == paths.volumes else ("", "")


async def make(paths: Paths, folder: Path, size_bytes: int, base: Path | None = None) -> ClaimDisk:
    """The disk of a volume: blank, or an overlay on a base. One that is there is kept. Raises Problem."""
    disk = folder / DISK
    if not os.path.lexists(disk):
        if base is None:
            await overlay.make_blank(disk, size_bytes, workshop=paths.staging)
        else:
            note_base(paths, folder, base)
            await overlay.make_overlay(disk, base, size_bytes=size_bytes, workshop=paths.staging)
    return ClaimDisk(disk, "qcow2", () if base is None else (Beneath(base, "qcow2"),))


async def reserve(paths: Paths, folder: Path) -> None:
    """Take all the room on this machine that a volume's disk can ever need; done already, nothing changes.

    Its next disk, after a snapshot, is as sparse as ever. Raises Problem, OSError.
    """
    disk = find(paths, folder)
    if disk is None:
        return
    most = await overlay.most_bytes(await virtual_bytes(disk)) if disk.format == "qcow2" else formats.size_of(disk.path)
    await asyncio.to_thread(overlay.reserve, disk.path, most)


async def make_on_layer(paths: Paths, folder: Path, size_bytes: int, id: str) -> ClaimDisk:
    """The disk of a volume as a layer holds it. Raises Problem."""
    return await make_on(paths, folder, size_bytes, layers.word(id))


async def make_on(paths: Paths, folder: Path, size_bytes: int, below: str) -> ClaimDisk:
    """The disk of a volume on what a record names, blank on nothing. Raises Problem."""
    if not below:
        return await make(paths, folder, size_bytes)
    beneath = layers.chain(paths, below)
    layers.write(paths.volume_base(folder.name), below)
    disk = folder / DISK
    await overlay.make_overlay(disk, beneath[0].path, size_bytes=size_bytes, format=beneath[0].format,
                               workshop=paths.staging)  # fmt: skip
    return ClaimDisk(disk, "qcow2", beneath)


async def share(paths: Paths, folder: Path, size_bytes: int, id: str) -> str:
    """What a copy of a volume's qcow2 disk is to lie on, as records name it. Raises Problem.

    While nothing was written that is what the disk lies on itself; else the disk becomes the layer `id`.
    """
    shown.check_free(paths, folder.name, "copy a disk")
    below, head = _record(paths, folder)
    if overlay.is_untouched(folder / (head or DISK)):
        return below
    await freeze(paths, folder, size_bytes, id)
    forget_old(paths, folder)
    return layers.word(id)


async def freeze(paths: Paths, folder: Path, size_bytes: int, id: str) -> ClaimDisk:
    """Make a volume's disk the layer `id` and lay a new one on it; done already, nothing changes. Raises Problem.

    The new disk has a name of its own, never that of an earlier one: a machine that still has the old one open may
    open it by its name again. After each step the volume holds the same data, so that it may be begun anew.
    """
    shown.check_free(paths, folder.name, "freeze a disk")
    disk = find(paths, folder) or await make(paths, folder, size_bytes)
    below, head = _record(paths, folder)
    if below == layers.word(id):
        return disk
    frozen = layers.take(paths, id, disk.path, disk.format, below)
    fresh = folder / f"disk-{_number(head) + 1}.qcow2"
    fresh.unlink(missing_ok=True)
    await overlay.make_overlay(fresh, frozen.path, format=frozen.format, workshop=paths.staging)
    layers.write(paths.volume_base(folder.name), layers.word(id), fresh.name)
    return ClaimDisk(fresh, "qcow2", (frozen, *disk.beneath))


def _number(head: str) -> int:
    return int(head.removeprefix("disk-").removesuffix(".qcow2")) if head else 0


def forget_old(paths: Paths, folder: Path) -> None:
    """Remove the names of disks that are layers now from a volume's folder; nobody may open one by them any more."""
    _, head = _record(paths, folder)
    number = _number(head)
    for name in (RAW, DISK, *(f"disk-{n}.qcow2" for n in range(1, number))) if number else ():
        if (folder / name).is_file() or (folder / name).is_symlink():
            (folder / name).unlink()


def note_base(paths: Paths, folder: Path, base: Path) -> None:
    """Record which base a volume's disk lies on, before there is one."""
    layers.write(paths.volume_base(folder.name), base.stem)


def forget_unmade(paths: Paths, folder: Path) -> None:
    """Forget what was recorded of a disk that was to be laid there, by an engine that was killed before it was."""
    below, head = _record(paths, folder)
    if below and not head and not any(os.path.lexists(folder / name) for name in (DISK, RAW)):
        paths.volume_base(folder.name).unlink()


def erase(paths: Paths, folder: Path) -> None:
    """Remove a volume with all that is on it. Raises OSError."""
    if folder.exists():
        shutil.rmtree(folder)
    paths.volume_base(folder.name).unlink(missing_ok=True)


async def virtual_bytes(disk: ClaimDisk) -> int:
    """The size that a guest sees. Raises Problem."""
    return formats.size_of(disk.path) if disk.format == "raw" else await overlay.virtual_bytes(disk.path)


def give_to_qemu(path: Path) -> None:
    """Let QEMU's user write an image; a link itself, and not what it leads to, would be given away."""
    if os.geteuid() == 0:
        os.chown(path, QEMU_UID, QEMU_UID, follow_symlinks=False)
