"""fsGroup: a pod's volumes belong to a group that all its containers are in (kubelet: SetVolumeOwnership)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from vmpod.model.meta import Object, get

# Kinds of volumes that the kubelet gives away; a path of the host's stays as it is.
_OWNED: Final = ("emptyDir", "configMap", "secret", "downwardAPI", "projected", "persistentVolumeClaim")
ALWAYS: Final = "Always"
ON_ROOT_MISMATCH: Final = "OnRootMismatch"


def wanted(pod: Object) -> tuple[int | None, str]:
    """The group, None where the pod asks for none, and when to go through all files again."""
    asked = get(pod, "spec", "securityContext", default={})
    return asked.get("fsGroup"), str(asked.get("fsGroupChangePolicy") or ALWAYS)


def is_owned(volume: Object) -> bool:
    return any(kind in volume for kind in _OWNED)


def give(folder: Path, group: int, policy: str = ALWAYS) -> None:
    """Make everything in a folder the group's: readable and writable as its owner has it, new files too."""
    if policy == ON_ROOT_MISMATCH and _is_given(folder, group):
        return
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _give(Path(parent) / name, group)
        _give(Path(parent), group)


def _is_given(path: Path, group: int) -> bool:
    seen = path.lstat()
    return seen.st_gid == group and bool(seen.st_mode & stat.S_ISGID)


def _give(path: Path, group: int) -> None:
    seen = path.lstat()
    if stat.S_ISLNK(seen.st_mode):
        os.lchown(path, -1, group)
        return
    if seen.st_gid != group:
        os.chown(path, -1, group)
    mode = stat.S_IMODE(seen.st_mode) | (seen.st_mode & 0o600) >> 3
    if stat.S_ISDIR(seen.st_mode):
        mode |= stat.S_ISGID | 0o070
    if mode != seen.st_mode & 0o7777:
        path.chmod(mode)
