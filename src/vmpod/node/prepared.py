"""What a pod's volume is on this host once it is ready."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PreparedVolume:
    """A volume of a pod: a folder or file for containers, a disk image for machines.

    `pending` is not empty while the volume cannot be used yet, and tells why. For machines
    `container_path` is where the compute container finds the image, `format` is `qcow2` or `raw`,
    and `binds` are the (host path, container path, read-only) mounts that this takes. `beneath` are the images
    (path, format) that it lies on, the nearest first, where they may change while the machine runs.
    `file` is the one file of a folder that takes no others: a disk that is shown to containers.
    """

    path: Path
    readonly: bool = False
    pending: str = ""
    container_path: str = ""
    format: str = ""
    binds: tuple[tuple[str, str, bool], ...] = ()
    beneath: tuple[tuple[Path, str], ...] = ()
    file: Path | None = None
