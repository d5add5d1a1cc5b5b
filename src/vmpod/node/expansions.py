"""The loop of claims that grow: their disks do, also under a running machine, which sees it at once."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from vmpod.base import proc
from vmpod.base.clock import SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from vmpod.model.meta import Object, get, name, namespace
from vmpod.node import claimdisk, disksizes
from vmpod.node.claimdisk import ClaimDisk
from vmpod.node.diskusers import machine_on
from vmpod.node.machines import Machines
from vmpod.node.translate import claim as claims
from vmpod.node.translate import expansion
from vmpod.node.translate.expansion import Grow, GrowthPlan, Seen
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Note, Patch
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Watch, Written, own


class Expansions:
    """Lets volumes follow what their claims ask for."""

    def __init__(
        self, client: Client, cache: Cache, paths: Paths, machines: Machines, recorder: Recorder
    ) -> None:
        self._client = client
        self._cache = cache
        self._paths = paths
        self._machines = machines
        self._recorder = recorder
        watches = (own(PERSISTENTVOLUMECLAIM), Watch(PERSISTENTVOLUME, _claim_of))
        self._loop: Loop[Seen, GrowthPlan] = Loop(
            "expansions", PERSISTENTVOLUMECLAIM, watches, _gather, expansion.plan, None, self._apply, cache, client,
            recorder, SystemClock(),
        )  # fmt: skip

    async def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def _apply(self, action: Any) -> Written | None:
        if not isinstance(action, Grow):
            return await shell.apply(self._client, action)
        try:
            await self._grow(action)
        except (Problem, OSError) as problem:
            why = problem.why if isinstance(problem, Problem) else str(problem)
            await self._recorder.record(Note("Warning", "VolumeResizeFailed", why, action.claim))
            return None
        size = get(action.claim, "spec", "resources", "requests", "storage")
        await self._recorder.record(
            Note("Normal", "VolumeResizeSuccessful", f"Resize volume succeeded: {size}", action.claim))  # fmt: skip
        patch = {"spec": {"capacity": {"storage": size}}}
        return await shell.apply(self._client, Patch(PERSISTENTVOLUME, "", name(action.volume), patch))

    async def _grow(self, wanted: Grow) -> None:
        """Files need nothing: a volume is a folder. Raises Problem."""
        if pending := claims.is_import_pending(wanted.claim):
            raise Problem("grow a disk", pending, reason="Pending")
        folder = self._paths.volume(name(wanted.volume))
        disk = await asyncio.to_thread(claimdisk.find, self._paths, folder)
        if disk is None or await claimdisk.virtual_bytes(disk) >= wanted.size_bytes:
            return
        used = machine_on(self._cache, namespace(wanted.claim), name(wanted.claim))
        if used is None:
            await _grow_file(disk, wanted.size_bytes)
        else:
            await self._grow_running(*used, wanted.size_bytes)

    async def _grow_running(self, vmi: Object, volume: str, size_bytes: int) -> None:
        watch = self._machines.up(vmi)
        if watch is None:
            raise Problem("grow a disk", f"the machine {name(vmi)} is starting or stopping", reason="Gone")
        for one in await watch.qmp.block_devices():
            if f"ua-{volume}" in str(one.get("qdev")).split("/") and one.get("inserted"):
                node = one["inserted"]["node-name"]
                await watch.qmp.execute("block_resize", **{"node-name": node, "size": size_bytes})
                watch.observe(disks=await disksizes.measure(watch.qmp))
                return
        raise Problem("grow a disk", f"the machine {name(vmi)} has no disk {volume}", reason="NotFound")


async def _grow_file(disk: ClaimDisk, size_bytes: int) -> None:
    """QEMU's lock keeps this from a disk that somebody has opened meanwhile."""
    argv = ["qemu-img", "resize", "-q", "-f", disk.format, str(disk.path), str(size_bytes)]
    await proc.run(argv, what=f"grow the disk {disk.path}")


def _gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    claim = cache.get(PERSISTENTVOLUMECLAIM, *key)
    if claim is None:
        return None
    volume = cache.get(PERSISTENTVOLUME, "", get(claim, "spec", "volumeName") or "")
    return Seen(claim, volume, tuple(cache.list(STORAGECLASS)))


def _claim_of(volume: Object) -> list[Key]:
    reference = get(volume, "spec", "claimRef", default={})
    return [(str(reference.get("namespace") or ""), str(reference.get("name") or ""))]
