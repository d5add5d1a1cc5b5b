"""Copies of claims. A disk is shared, so that its copy takes no time and no space; other files are copied."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.node import claimdisk, imports
from vmpod.node.imports import Progress
from vmpod.node.translate import claim as claims
from vmpod.node.translate.claim import room_of
from vmpod.node.volumes import Volumes


class Copies:
    """Fills claims with what other claims hold that nobody uses meanwhile."""

    def __init__(self, paths: Paths, volumes: Volumes) -> None:
        self._paths = paths
        self._volumes = volumes
        self._lock = asyncio.Lock()

    async def copy(self, source: Object, claim: Object, folder: Path, progress: Progress) -> None:
        """Fill the volume `folder` of a claim. Whoever begins to use the source now waits. Raises Problem, OSError."""
        origin = self._paths.volume(str(get(source, "spec", "volumeName")))
        async with self._lock:
            if origin.name in self._volumes.freezing:
                raise Problem(_what(source), "a snapshot of it is being taken", reason="Busy")
            self._volumes.freezing.add(origin.name)
            try:
                await self._copy(source, origin, claim, folder, progress)
            finally:
                self._volumes.freezing.discard(origin.name)

    async def _copy(self, source: Object, origin: Path, claim: Object, folder: Path, progress: Progress) -> None:
        disk = await asyncio.to_thread(claimdisk.find, self._paths, origin)
        if disk is not None and disk.format == "qcow2":
            room = room_of(claim, await claimdisk.virtual_bytes(disk))
            below = await claimdisk.share(self._paths, origin, claims.size_bytes(source), _layer(claim))
            await claimdisk.make_on(self._paths, folder, room, below)
        elif await asyncio.to_thread(lambda: any(folder.iterdir())):
            return  # put there in one step, by an engine that could not tell of it
        elif await asyncio.to_thread(lambda: any(origin.iterdir())):
            job = imports.job_for(self._paths, "folder", str(origin), name=_name(source), target=str(folder))
            await imports.run_job(job, progress)
        elif not claims.is_archive(claim):
            await claimdisk.make(self._paths, folder, claims.size_bytes(claim))


def _layer(claim: Object) -> str:
    """The layer that a copy makes of its source: the same one when it is begun anew."""
    return sha256(f"{uid(claim)}/copy".encode()).hexdigest()[:32]


def _name(source: Object) -> str:
    return f"the claim {namespace(source)}/{name(source)}"


def _what(source: Object) -> str:
    return f"copy {_name(source)}"
