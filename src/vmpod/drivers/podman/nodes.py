"""Device nodes for containers whose user may not open the host's own.

podman gives a node inside the mode that it has outside, whatever it is asked for (4.3 reads only the path). So one with
the wanted mode is made in the home, which nobody but root enters, and podman is told to take that one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.podman.spec import Device


def offered(device: Device, folder: Path) -> str:
    """How podman is told of a device: the path alone, or `OURS:PATH:rwm` with a node of ours in `folder`.

    Raises Problem when there is no such device on this host.
    """
    try:
        found = os.stat(device.path)
    except OSError as error:
        raise Problem(f"give {device.path} to a container", str(error.strerror), "vmpod doctor", "NoDevice") from None
    if not device.mode or stat.S_IMODE(found.st_mode) & device.mode == device.mode:
        return device.path
    return f"{_own(folder, found, device.mode)}:{device.path}:rwm"


def _own(folder: Path, found: os.stat_result, mode: int) -> Path:
    kind = stat.S_IFBLK if stat.S_ISBLK(found.st_mode) else stat.S_IFCHR
    path = folder / f"{os.major(found.st_rdev)}-{os.minor(found.st_rdev)}-{mode:o}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.mknod(path, kind | mode, found.st_rdev)
    except FileExistsError:
        pass
    path.chmod(mode)  # mknod heeds the umask
    return path
