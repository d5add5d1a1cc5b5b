"""What of the home's disks takes how much room: volumes, layers, bases, the disks of pods, half-made things."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.paths import Paths
from vmpod.node import bases, layers

_LAYER = "layer:"


@dataclass(frozen=True)
class Use:
    """One thing that takes room: `kind` is volume, layer, base, pod or staging; sizes in bytes.

    `guest_bytes` is what a guest sees of it (0: no disk), `below` what it lies on, `users` how many lie on it.
    """

    kind: str
    name: str
    disk_bytes: int
    guest_bytes: int = 0
    below: str = ""
    users: int = 0


def uses(paths: Paths) -> list[Use]:
    """Everything, the largest first within its kind. What vanishes meanwhile is left out."""
    volumes = [_stacked("volume", folder, paths.volume_base(folder.name)) for folder in _folders(paths.volumes)]
    frozen = [_stacked("layer", folder, paths.layer_base(folder.name)) for folder in _folders(paths.layers)]
    pods = [Use("pod", folder.parent.name, _size(folder), _guest(folder)) for folder in paths.pods.glob("*/disks")]
    lying = Counter(one.below for one in (*volumes, *frozen))
    lying.update(bases.read_image(record)[0] for record in paths.bases.glob("*.image"))
    made = [Use("base", file.stem, _blocks(file), _virtual(file), users=lying[file.stem])
            for file in paths.bases.glob("*.qcow2")]  # fmt: skip
    staged = Use("staging", "", _size(paths.staging))
    frozen = [Use(one.kind, one.name, one.disk_bytes, one.guest_bytes, one.below, lying[f"{_LAYER}{one.name}"])
              for one in frozen]  # fmt: skip
    ordered = (sorted(some, key=lambda one: -one.disk_bytes) for some in (volumes, frozen, made, pods))
    return [one for some in ordered for one in some if one.kind != "pod" or one.disk_bytes] + [staged]


def images(paths: Paths) -> Mapping[str, str]:
    """For the bases that were taken out of container images: the id of the image."""
    return dict(bases.read_image(record) for record in paths.bases.glob("*.image"))


def _folders(place: Path) -> Iterator[Path]:
    return (folder for folder in place.glob("*") if folder.is_dir() and not folder.is_symlink())


def _stacked(kind: str, folder: Path, record: Path) -> Use:
    below, head = layers.read(record)
    disks = [folder / head] if head else sorted(folder.glob("disk*.qcow2")) + sorted(folder.glob("disk.img"))
    return Use(kind, folder.name, _size(folder), _virtual(disks[0]) if disks else 0, below)


def _guest(folder: Path) -> int:
    return sum(_virtual(file) for file in folder.glob("*.qcow2"))


def _size(folder: Path) -> int:
    """What a folder's files take; links are not followed."""
    return sum(_blocks(Path(place, name)) for place, _, names in os.walk(folder) for name in names)


def _blocks(file: Path) -> int:
    try:
        return file.lstat().st_blocks * 512
    except OSError:
        return 0


def _virtual(file: Path) -> int:
    """The size that the guest sees: of a qcow2 by its header, else the file's own."""
    try:
        if file.is_symlink() or not file.is_file():
            return 0
        with file.open("rb") as disk:
            head = disk.read(32)
        return int.from_bytes(head[24:32], "big") if head.startswith(b"QFI\xfb") else file.stat().st_size
    except OSError:
        return 0
