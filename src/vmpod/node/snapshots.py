"""The loop of VirtualMachineSnapshotContents: freezes the disks of all volumes of one machine.

A machine that does not run: each disk becomes a layer. One that runs: QEMU is handed the new disks and goes over to all
of them in one transaction, with the guest's file systems frozen by its agent meanwhile where it has one. Every step may
be repeated: an engine that is killed in between leaves it to the next one to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from vmpod.base.clock import SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.kinds import (
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINESNAPSHOTCONTENT,
)
from vmpod.kinds.parts.machine_state import volume_name
from vmpod.kinds.parts.migration import is_active, is_migrating
from vmpod.kinds.parts.snapshot_memory import is_wanted
from vmpod.kinds.virtualmachinesnapshotcontent import PROTECTION
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.node import claimdisk, diskswitch, layers, saves, snapshot_memory, statelayers
from vmpod.node.bases import Bases
from vmpod.node.claims import plugged_claims_of
from vmpod.node.diskswitch import Switch
from vmpod.node.exporters import is_exporter
from vmpod.node.machine_watch import Watch as MachineWatch
from vmpod.node.machines import Machines
from vmpod.node.snapshot_memory import Keep
from vmpod.node.translate import claim as claims
from vmpod.node.translate import snapshot
from vmpod.node.translate.snapshot import ContentPlan, Disk, LetGo, Seen, Take
from vmpod.node.volumes import Volumes
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Note, Patch
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Watch, Written, key_of, own

KIND = VIRTUALMACHINESNAPSHOTCONTENT
_FREEZE_S = 30.0  # at most: it takes some milliseconds, and a guest is thawed then should this engine die meanwhile


class Snapshots:
    """Takes snapshots, and gives their layers up when they are deleted."""

    def __init__(
        self, client: Client, cache: Cache, paths: Paths, volumes: Volumes, machines: Machines, bases: Bases,
        recorder: Recorder,
    ) -> None:  # fmt: skip
        self._client = client
        self._cache = cache
        self._paths = paths
        self._volumes = volumes
        self._machines = machines
        self._bases = bases
        self._recorder = recorder
        self._clock = SystemClock()
        watches = (own(KIND), Watch(VIRTUALMACHINEINSTANCE, found=_of_machine))
        self._loop: Loop[Seen, ContentPlan] = Loop(
            "snapshots", KIND, watches, self._gather, snapshot.plan, None, self._apply, cache, client, recorder,
            self._clock,
        )  # fmt: skip

    async def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    def _gather(self, key: Key, cache: Cache, now: datetime) -> Seen | None:
        content = cache.get(KIND, *key)
        return None if content is None else self.look(content, now)

    def look(self, content: Object, now: datetime) -> Seen:
        """The disks that a content backs up, and the machine that has them."""
        vmi = self._machine(content)
        launchers = self._cache.owned(POD, uid(vmi)) if vmi else []
        launcher = next((name(pod) for pod in launchers if is_active(vmi, pod) and _is_active(pod)), "")
        disks = tuple(self._disk(content, one, vmi, launcher) for one in snapshot.backups(content))
        return Seen(content, disks, launcher, vmi is not None and self._up(vmi) is not None, now)

    def _machine(self, content: Object) -> Object | None:
        source = get(content, "spec", "source", "virtualMachine", "metadata", "name", default="")
        return self._cache.get(VIRTUALMACHINEINSTANCE, namespace(content), str(source))

    def _up(self, vmi: Object) -> MachineWatch | None:
        return None if is_migrating(vmi) or get(vmi, "status", "phase") != "Running" else self._machines.up(vmi)

    def _disk(self, content: Object, backup: Object, vmi: Object | None, launcher: str) -> Disk:
        where = namespace(content)
        wanted = str(get(backup, "persistentVolumeClaim", "metadata", "name", default=""))
        claim = self._cache.get(PERSISTENTVOLUMECLAIM, where, wanted)
        bound = self._cache.get(PERSISTENTVOLUME, "", get(claim, "spec", "volumeName") or "")
        if claim is None or bound is None or not claims.is_bound_to(bound, claim):
            return Disk(backup["volumeName"], wanted, 0, None, (), False)
        found = (pod for pod in self._cache.list(POD, where) if not is_exporter(pod))  # these read, and may go on
        users = tuple(name(pod) for pod in found if _is_active(pod) and _uses(pod, wanted))
        busy = name(bound) in self._volumes.freezing
        plugged = [one for one in self._cache.list(VIRTUALMACHINEINSTANCE, where)
                   if (where, wanted) in plugged_claims_of(one)]  # fmt: skip
        others = [name(one) for one in plugged if vmi is None or uid(one) != uid(vmi)]
        if len(others) < len(plugged) and launcher and launcher not in users:
            users = (*users, launcher)  # which was made without it
        state = volume_name(str(get(content, "spec", "source", "virtualMachine", "metadata", "name", default="")))
        return Disk(backup["volumeName"], wanted, claims.size_bytes(claim), bound, users, busy,
                    next(iter(others), ""), str(backup.get("mark") or ""), backup["volumeName"] == state)  # fmt: skip

    async def _apply(self, action: Any) -> Written | None:
        match action:
            case Take(seen):
                return await self._take(seen)
            case LetGo(content):
                return await self._let_go(content)
            case _:
                return await shell.apply(self._client, action)

    async def _take(self, seen: Seen) -> Written | None:
        try:
            moment = await self.freeze(seen)
        except (Problem, OSError) as problem:
            why = problem.why if isinstance(problem, Problem) else str(problem)
            await self._recorder.record(Note("Warning", "VolumeSnapshotFailed", str(problem), seen.content))
            told = snapshot.failure(seen, why)
            return await shell.apply(self._client, told[0]) if told else None
        return await shell.apply(self._client, snapshot.success(seen.content, moment))

    async def freeze(self, seen: Seen) -> datetime:
        """Make the disks layers; when that was. Whoever begins to use one meanwhile waits. Raises Problem, OSError."""
        names = {name(disk.bound) for disk in seen.disks if disk.bound is not None}
        self._volumes.freezing |= names
        try:
            return await self._freeze(seen)
        finally:
            self._volumes.freezing -= names

    async def _freeze(self, seen: Seen) -> datetime:
        """When the disks were frozen. What is recorded holds the same data before and after QEMU's change."""
        switches, kept = [], []
        for disk in seen.disks:
            layer, folder = snapshot.layer_of(seen.content, disk.key), self._folder(disk)
            layers.hold(self._paths, layer)
            if disk.is_state:
                kept.append((layer, folder))
                continue
            head = await claimdisk.freeze(self._paths, folder, disk.size_bytes, layer)
            if disk.users:
                switches.append(Switch(disk.volume, layer, head))
        if not switches and is_wanted(seen.content):
            why = "the machine does not run, or none of its disks is on a claim"
            raise Problem("take a snapshot with memory", why, reason="NotSaved")
        async def keep() -> None:
            for layer, folder in kept:
                await asyncio.to_thread(statelayers.take, self._paths, layer, folder)

        if switches or any(disk.users for disk in seen.disks):
            moment = await self._go_over(seen, switches, keep if kept else None)
        else:
            await keep()
            moment = self._clock.now()
        for disk in seen.disks:
            if not disk.is_state:
                claimdisk.forget_old(self._paths, self._folder(disk))
        return moment

    def _folder(self, disk: Disk) -> Path:
        return self._paths.volume(name(disk.bound or {}))

    async def _go_over(self, seen: Seen, switches: list[Switch], keep: Keep | None) -> datetime:
        vmi = self._machine(seen.content)
        watch = self._up(vmi) if vmi is not None else None
        if watch is None:
            raise Problem("take a snapshot", "the machine is starting or stopping", reason="Gone")
        actions = await diskswitch.ready(watch.qmp, switches)
        if vmi is not None and is_wanted(seen.content):
            disks = tuple(one for one in seen.disks if not one.is_state)
            moment = await snapshot_memory.take(self._paths, seen.content, disks, vmi, watch, actions, keep)
        else:
            moment = await self._freeze_running(watch, actions, keep)
        await diskswitch.close_frozen(watch.qmp, switches)
        return moment

    async def _freeze_running(
        self, watch: MachineWatch, actions: list[dict[str, Any]], keep: Keep | None
    ) -> datetime:
        """The machine stands still while what it keeps beside its disks is copied, if that is to be."""
        if not actions and keep is None:
            return self._clock.now()
        stands = watch.freezer.is_held  # somebody holds it still already, and it is not ours to let go
        is_ours = watch.seen.guest.connected and not watch.seen.is_paused and not stands
        try:
            if is_ours:
                await watch.freezer.freeze(_FREEZE_S)
            if keep is None:
                await diskswitch.go_over(watch.qmp, actions)
            else:
                async with snapshot_memory.held(watch):
                    await diskswitch.go_over(watch.qmp, actions)
                    await keep()
            return self._clock.now()
        finally:
            if is_ours:
                watch.freezer.release()

    async def _let_go(self, content: Object) -> Written | None:
        for layer in snapshot.layers_of(content):
            layers.let_go(self._paths, layer)
        await asyncio.to_thread(saves.drop_snapshot, self._paths, uid(content))
        await self._bases.sweep()
        kept = [one for one in get(content, "metadata", "finalizers", default=[]) if one != PROTECTION]
        meta = {"finalizers": kept or None, "resourceVersion": content["metadata"]["resourceVersion"]}
        return await shell.apply(self._client, Patch(KIND, namespace(content), name(content), {"metadata": meta}))


def _of_machine(vmi: Object, cache: Cache) -> Iterable[Key]:
    """The contents of a machine that wait to be taken."""
    return [key_of(one) for one in cache.list(KIND, namespace(vmi)) if not get(one, "status", "creationTime")
            and get(one, "spec", "source", "virtualMachine", "metadata", "name") == name(vmi)]  # fmt: skip


def _is_active(pod: Object) -> bool:
    return get(pod, "status", "phase") not in ("Succeeded", "Failed")


def _uses(pod: Object, claim: str) -> bool:
    return any(get(one, "persistentVolumeClaim", "claimName") == claim
               for one in get(pod, "spec", "volumes", default=()))  # fmt: skip
