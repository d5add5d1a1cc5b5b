"""What a machine keeps beside its disks, as a snapshot holds it: a layer whose folder has a copy of a few small files.

QEMU and the TPM write them where a guest may have taken QEMU over: only plain files are read, and no link is followed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.files import open_plain, write_anew
from vmpod.base.paths import Paths
from vmpod.node import claimdisk, layers

_FOLDER = "state"
_VARIABLES = "_VARS.fd"
_MOST_BYTES = 64 << 20


def take(paths: Paths, id: str, folder: Path) -> None:
    """Copy the state of a machine into the layer `id`, all or nothing, once. Raises Problem, OSError."""
    kept = paths.layer(id) / _FOLDER
    if kept.exists():
        return
    paths.layer(id).mkdir(mode=0o711, exist_ok=True)
    layers.write(paths.layer_base(id), "")
    fresh = kept.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    _copy(folder, fresh)
    fresh.rename(kept)


def find(paths: Paths, id: str) -> Path | None:
    """The state that a layer holds; None where it is a disk."""
    kept = paths.layer(id) / _FOLDER
    return kept if kept.is_dir() else None


def put_back(kept: Path, folder: Path, machine: str) -> None:
    """Write a state into the volume of a machine. Raises Problem, OSError."""
    _copy(kept, folder)
    for file in (folder / "nvram").glob(f"*{_VARIABLES}"):
        file.rename(file.with_name(f"{machine}{_VARIABLES}"))  # they bear the name of their machine


def _copy(source: Path, target: Path) -> None:
    left = _MOST_BYTES
    for root, _, names, handle in os.fwalk(source, follow_symlinks=False):
        place = target / os.path.relpath(root, source)
        place.mkdir(mode=0o755, exist_ok=True)
        claimdisk.give_to_qemu(place)
        for name in names:
            try:
                with open_plain(Path(f"/proc/self/fd/{handle}") / name) as file:
                    data = file.read(left + 1)
            except OSError:
                continue  # a socket, a link, or a file that the TPM has replaced by its next one
            left -= len(data)
            if left < 0:
                why = f"it has more than {_MOST_BYTES >> 20} MiB"
                raise Problem("keep the state of a machine", why, reason="TooLarge")
            write_anew(place / name, data)
            claimdisk.give_to_qemu(place / name)
