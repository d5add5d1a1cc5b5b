"""Layers: disks that were frozen, read-only, shared by snapshots and by the disks that were laid on them.

A layer is a folder of one image, as deep in the home as a volume's: the image keeps the backing name that it had there.
Beside it stands the record of what it lies on, and a mark while a snapshot holds it. A layer that neither a mark nor
a record leads to is removed.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.disks import formats

DISK, RAW = "disk.qcow2", "disk.img"
_MARK = "layer:"


@dataclass(frozen=True)
class Beneath:
    """An image under a disk; `layer` is its id where it is one, else it is a base."""

    path: Path
    format: str
    layer: str = ""


def word(id: str) -> str:
    """A layer as records name it; a base they name by its SHA-256."""
    return f"{_MARK}{id}"


def read(record: Path) -> tuple[str, str]:
    """What a disk lies on, and the disk's own name; empty where nothing is recorded."""
    try:
        words = record.read_text().splitlines()
    except FileNotFoundError:
        words = []
    return (words[0] if words else "", words[1] if len(words) > 1 else "")


def write(record: Path, below: str, head: str = "") -> None:
    """Record in one step what a disk lies on."""
    fresh = record.with_suffix(".new")
    fresh.write_text("\n".join(one for one in (below, head) if one))
    fresh.replace(record)


def chain(paths: Paths, below: str) -> tuple[Beneath, ...]:
    """The images beneath a disk that lies on `below`, the nearest first.

    Raises Problem when one is missing or names another file than the recorded one.
    """
    if not below:
        return ()
    if not below.startswith(_MARK):
        return (Beneath(paths.bases / f"{below}.qcow2", "qcow2"),)
    id = below.removeprefix(_MARK)
    raw, disk = paths.layer(id) / RAW, paths.layer(id) / DISK
    if os.path.lexists(raw):
        formats.size_of(raw)
        return (Beneath(raw, "raw", id),)
    rest = chain(paths, read(paths.layer_base(id))[0])
    try:
        # as it was named in the volume's folder that it was frozen in
        formats.check_own(disk, os.path.relpath(rest[0].path, paths.volumes / id) if rest else "")
    except FileNotFoundError:
        raise Problem(f"use the layer {id}", "it is gone", "delete the claim", "Gone") from None
    return (Beneath(disk, "qcow2", id), *rest)


def take(paths: Paths, id: str, disk: Path, format: str, below: str) -> Beneath:
    """Make a disk a layer as well, under a second name; the first is for the caller to forget."""
    folder = paths.layer(id)
    folder.mkdir(mode=0o711, exist_ok=True)
    file = folder / (RAW if format == "raw" else DISK)
    file.unlink(missing_ok=True)
    write(paths.layer_base(id), below)
    os.link(disk, file, follow_symlinks=False)
    return Beneath(file, format, id)


def hold(paths: Paths, id: str) -> None:
    """Keep a layer for a snapshot, also before it is made."""
    paths.layer_held(id).touch()


def let_go(paths: Paths, id: str) -> None:
    paths.layer_held(id).unlink(missing_ok=True)


def held(paths: Paths) -> set[str]:
    return {mark.stem for mark in paths.layers.glob("*.held")}


def bases(paths: Paths) -> set[str]:
    """The SHA-256 of the bases that layers lie on."""
    found = {read(record)[0] for record in paths.layers.glob("*.base")}
    return {one for one in found if one and not one.startswith(_MARK)}


def remove_unused(paths: Paths) -> None:
    """Remove the layers that no snapshot and no disk needs, and what only they lay on."""
    used = held(paths)
    waiting = [*used, *_named(paths.volumes)]
    while waiting:
        id = waiting.pop()
        used.add(id)
        below = read(paths.layer_base(id))[0]
        if below.startswith(_MARK) and below.removeprefix(_MARK) not in used:
            waiting.append(below.removeprefix(_MARK))
    for record in paths.layers.glob("*.base"):
        if record.stem not in used:
            shutil.rmtree(paths.layer(record.stem), ignore_errors=True)
            record.unlink(missing_ok=True)


def _named(folder: Path) -> list[str]:
    found = (read(record)[0] for record in folder.glob("*.base"))
    return [one.removeprefix(_MARK) for one in found if one.startswith(_MARK)]
