"""Disks of claims that are shown to pods as files: which pod has which, truthfully after any end of the engine.

What is told of them lies in the pod's folder (`pods/UID/shown/VOLUME`), so that whoever comes later finds it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.proc import Daemon
from vmpod.drivers.disks import fusefile

_FOLDER = "shown"


class ShownDisks:
    """Shows disks to pods, one at a time. `lost(pod_uid)` is called when what serves one has ended."""

    def __init__(self, paths: Paths, lost: Callable[[str], None]) -> None:
        self._paths = paths
        self._lost = lost
        self._lock = asyncio.Lock()
        self._followed: set[Daemon] = set()

    async def show(self, pod_uid: str, volume: str, images: Sequence[tuple[Path, str]], *, writable: bool) -> Path:
        """The file of a disk, of the given images, for a volume of a pod. Raises Problem."""
        folder, of = self._paths.pod(pod_uid) / _FOLDER / volume, images[0][0].parent.name
        async with self._lock:
            file = await fusefile.show(folder, self._paths.home, images, of=of, writable=writable)
            self._follow(pod_uid, fusefile.server(folder))
        return file

    def _follow(self, pod_uid: str, server: Daemon | None) -> None:
        if server is None or server in self._followed:
            return
        self._followed.add(server)
        loop, handle = asyncio.get_running_loop(), os.pidfd_open(server.pid)

        def ended() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            self._followed.discard(server)
            self._lost(pod_uid)

        loop.add_reader(handle, ended)


def has(paths: Paths, pod_uid: str) -> bool:
    """Whether a disk is shown to the pod, or what is left of that is here."""
    return (paths.pod(pod_uid) / _FOLDER).is_dir()


def is_lost(paths: Paths, pod_uid: str) -> bool:
    """Whether what serves a disk to the pod has ended, so that its containers need to begin anew."""
    return any(fusefile.is_lost(folder) for folder in (paths.pod(pod_uid) / _FOLDER).glob("*"))


def users(paths: Paths, volume: str) -> set[str]:
    """The uids of the pods to which the disk of a persistent volume is shown."""
    records = paths.pods.glob(f"*/{_FOLDER}/*/{fusefile.OF}")
    return {record.parents[2].name for record in records if _text(record) == volume}


def _text(record: Path) -> str:
    try:
        return record.read_text()
    except FileNotFoundError:
        return ""


def check_free(paths: Paths, volume: str, what: str) -> None:
    """Raise Problem while the disk of a persistent volume is shown to a pod."""
    if users(paths, volume):
        raise Problem(what, "its disk is shown to a pod", "kubectl get pods", "Busy")


async def hide(paths: Paths, pod_uid: str) -> None:
    """Take all files of disks from a pod. Raises Problem."""
    place = paths.pod(pod_uid) / _FOLDER
    if not place.is_dir():
        return
    try:
        for folder in place.iterdir():
            await fusefile.hide(folder)
        place.rmdir()
    except OSError as error:
        raise Problem("take a disk from a pod", f"{error.strerror} ({error.filename})", reason="Failed") from None


async def hide_all(paths: Paths) -> None:
    """Take all files of disks from all pods of this home. Raises Problem."""
    for place in paths.pods.glob(f"*/{_FOLDER}"):
        await hide(paths, place.parent.name)
