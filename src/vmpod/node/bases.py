"""Base images: which are in use, and the removal of those that nothing needs any more.

A base is in use while a volume or a layer is recorded to lie on it, a container disk was taken out of an image as it,
or a pod's own disk names it. None of these is asked of a disk that others may have rewritten, but for the last, which
only its own machine writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from vmpod.base import log
from vmpod.base.paths import Paths
from vmpod.drivers.disks import formats
from vmpod.node import layers

_log = log.get("bases")


class Bases:
    """The base images of a home."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._users = 0
        self._sweeping = asyncio.Lock()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While this lasts no base is removed: one may just have been made that nothing refers to yet."""
        async with self._sweeping:
            self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    async def sweep(self) -> None:
        """Remove the bases that nothing uses; while one is being made, it is for its maker to come back here."""
        async with self._sweeping:
            if not self._users:
                await asyncio.to_thread(remove_unused, self._paths)

    async def forget_images(self, is_there: Callable[[str], Awaitable[bool]]) -> None:
        """Forget container disks whose image (asked for by its id) is gone; their bases then count no more."""
        for record in self._paths.bases.glob("*.image"):
            _, image = read_image(record)
            if not await is_there(image):
                record.unlink(missing_ok=True)


def write_image(record: Path, base: str, image: str) -> None:
    """Note that the container disk of `record` lies in the base with the SHA-256 `base`, out of the image `image`."""
    fresh = record.with_suffix(".new")
    fresh.write_text(f"{base}\n{image}\n")
    fresh.replace(record)


def read_image(record: Path) -> tuple[str, str]:
    """SHA-256 of the base and id of the image; empty when nothing is known."""
    try:
        words = record.read_text().split()
    except FileNotFoundError:
        words = []
    return (words[0] if words else "", words[1] if len(words) > 1 else "")


def remove_unused(paths: Paths) -> None:
    """Remove every base that no volume, no container disk and no pod needs, and what a lost power supply left.

    A file out of an image is needed to start a machine with, and not by one that runs.
    """
    layers.remove_unused(paths)
    used = set(_of_volumes(paths)) | set(_of_images(paths)) | set(_of_pods(paths))
    used |= {f"{one}.qcow2" for one in layers.bases(paths)}
    used |= {f"{read_image(record)[0]}.file" for record in paths.bases.glob("*.image")}
    for path in paths.bases.glob("*"):
        if path.suffix == ".new" or (path.suffix in (".qcow2", ".file") and path.name not in used):
            path.unlink(missing_ok=True)
            _log.info("removed the base %s, which nothing uses any more", path.name)


def _of_volumes(paths: Paths) -> list[str]:
    return [f"{layers.read(record)[0]}.qcow2" for record in paths.volumes.glob("*.base")]


def _of_images(paths: Paths) -> list[str]:
    return [f"{read_image(record)[0]}.qcow2" for record in paths.bases.glob("*.image")]


def _of_pods(paths: Paths) -> list[str]:
    """By the headers of the disks that pods have for themselves, or left with their memory: overlays on bases."""
    found = []
    places = ((paths.pods, "*/disks/*.qcow2"), (paths.pods, "*/*/disks/*.qcow2"), (paths.memory, "*/disks/*.qcow2"))
    for disk in (one for folder, pattern in places for one in folder.glob(pattern)):
        try:
            found.append(formats.backing_name(disk).rpartition("/")[2])
        except OSError:  # its pod has just gone
            continue
    return found
