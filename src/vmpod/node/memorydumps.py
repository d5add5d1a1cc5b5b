"""The loop of memory dumps: what a VirtualMachine's status asks for is written into a claim by its QEMU.

QEMU is handed an open file, and the guest stands still until it is full. QEMU goes on with it when the engine ends; the
next engine finds the dump by the name that stands in the status, and asks QEMU how far it is.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vmpod.base import clock as clocks
from vmpod.base import log
from vmpod.base.clock import SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.drivers.disks import fetch
from vmpod.drivers.qemu.qmp import Monitor
from vmpod.kinds import PERSISTENTVOLUMECLAIM, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.memorydump import expected_bytes
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.node import claimdisk
from vmpod.node.claimfolder import folder_of
from vmpod.node.machines import Machines
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Note, Patch
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Watch, Written, key_of, own

KIND = VIRTUALMACHINE
ANNOTATION = "kubevirt.io/memory-dump"
_SUFFIX = ".memory.dump"
_FAILED = "Memory dump failed"
_LOOK_S = 0.2
_WAIT_S = 1.0
_WHAT = "dump the memory"
_log = log.get("memorydumps")


@dataclass(frozen=True)
class Seen:
    """A machine whose status asks for a dump, its instance while that runs, whether its QEMU answers, the claim, and
    whether this engine is at it."""

    vm: Object
    vmi: Object | None
    is_up: bool
    claim: Object | None
    is_busy: bool
    now: datetime

    @property
    def request(self) -> Object:
        return dict(get(self.vm, "status", "memoryDumpRequest", default={}))


@dataclass(frozen=True)
class Begin:
    """Write the memory of an instance into a claim, from the beginning or where QEMU is."""

    vm: Object
    vmi: Object
    request: Object


@dataclass(frozen=True)
class DumpPlan:
    """The next steps for one machine."""

    actions: tuple[Begin | Patch, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()


def plan(seen: Seen) -> DumpPlan:
    """One dump at a time; an association ends when nothing is written any more."""
    phase = seen.request.get("phase")
    is_new = phase == "Associating" and get(seen.claim, "status", "phase") == "Pending"
    if is_new or (phase == "InProgress" and not seen.is_busy and seen.vmi is not None and not seen.is_up):
        return DumpPlan(again_in=_WAIT_S)
    match phase:
        case "Associating" if seen.vmi is not None:
            moment = clocks.rfc3339(seen.now)
            begun = {**seen.request, "phase": "InProgress", "startTimestamp": moment, "endTimestamp": None,
                     "message": None, "fileName": file_name(seen.vm, seen.request, seen.now)}  # fmt: skip
            return DumpPlan((told(seen.vm, begun),))
        case "InProgress" if not seen.is_busy and seen.vmi is not None:
            return DumpPlan((Begin(seen.vm, seen.vmi, seen.request),))
        case ("Associating" | "InProgress") if not seen.is_busy:
            return DumpPlan((failed(seen, "the machine does not run"),), events=(_warning(seen.vm, "it does not run"),))
        case "Dissociating" if not seen.is_busy:
            return DumpPlan((told(seen.vm, None),))
    return DumpPlan()


def file_name(vm: Object, request: Object, now: datetime) -> str:
    return f"{name(vm)}-{request['claimName']}-{now:%Y%m%d-%H%M%S}{_SUFFIX}"


def told(vm: Object, request: Object | None) -> Patch:
    return Patch(KIND, namespace(vm), name(vm), {"status": {"memoryDumpRequest": request}}, "status")


def failed(seen: Seen, why: str) -> Patch:
    ended = {**seen.request, "phase": "Failed", "message": why, "endTimestamp": clocks.rfc3339(seen.now)}
    return told(seen.vm, ended)


def _warning(vm: Object, why: str) -> Note:
    return Note("Warning", "MemoryDumpError", f"{_FAILED}: {why}", vm)


class MemoryDumps:
    """Writes dumps, one for each machine at a time."""

    def __init__(self, client: Client, cache: Cache, paths: Paths, machines: Machines, recorder: Recorder) -> None:
        self._client = client
        self._cache = cache
        self._paths = paths
        self._machines = machines
        self._recorder = recorder
        self._clock = SystemClock()
        self._tasks = Tasks()
        self._busy: set[str] = set()
        watches = (own(KIND), Watch(VIRTUALMACHINEINSTANCE, lambda vmi: (key_of(vmi),)))
        self._loop: Loop[Seen, DumpPlan] = Loop(
            "memorydumps", KIND, watches, self._gather, plan, None, self._apply, cache, client, recorder, self._clock,
        )  # fmt: skip

    async def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        """QEMU goes on with what it writes."""
        await self._loop.stop()
        await self._tasks.stop()

    def _gather(self, key: Key, cache: Cache, now: datetime) -> Seen | None:
        vm = cache.get(KIND, *key)
        if vm is None or not get(vm, "status", "memoryDumpRequest"):
            return None
        vmi = cache.get(VIRTUALMACHINEINSTANCE, *key)
        lives = vmi is not None and get(vmi, "status", "phase") == "Running"
        claim = cache.get(PERSISTENTVOLUMECLAIM, key[0], str(get(vm, "status", "memoryDumpRequest", "claimName")))
        is_up = vmi is not None and lives and self._answers(vmi)
        return Seen(vm, vmi if lives else None, is_up, claim, uid(vm) in self._busy, now)

    def _answers(self, vmi: Object) -> bool:
        watch = self._machines.up(vmi)
        return watch is not None and watch.is_reached

    async def _apply(self, action: Any) -> Written | None:
        if isinstance(action, Begin):
            self._busy.add(uid(action.vm))
            self._tasks.start(self._see_through(action), f"memory dump of {name(action.vm)}")
            return None
        return await shell.apply(self._client, action)

    async def _see_through(self, begun: Begin) -> None:
        """One dump, to its end."""
        why = "it was given up"
        try:
            await self._dump(begun)
            why = ""
        except (Problem, OSError) as error:
            why = error.why if isinstance(error, Problem) else error.strerror or str(error)
            await self._recorder.record(_warning(begun.vm, why))
        try:
            await self._tell(begun, why)
        finally:
            self._busy.discard(uid(begun.vm))
            self._loop.enqueue(key_of(begun.vm))

    async def _tell(self, begun: Begin, why: str) -> None:
        """How it ended, unless the association is being removed meanwhile."""
        vm = self._cache.get(KIND, *key_of(begun.vm))
        if vm is None or get(vm, "status", "memoryDumpRequest", "phase") != "InProgress":
            return
        ended = {**begun.request, "phase": "Failed" if why else "Completed", "message": why or None,
                 "endTimestamp": clocks.rfc3339(self._clock.now())}  # fmt: skip
        mark = {"metadata": {"annotations": {ANNOTATION: _FAILED if why else str(begun.request["fileName"])}}}
        claim = (namespace(vm), str(begun.request["claimName"]))
        if self._cache.get(PERSISTENTVOLUMECLAIM, *claim) is not None:
            await shell.apply(self._client, Patch(PERSISTENTVOLUMECLAIM, *claim, mark))
        await shell.apply(self._client, told(vm, ended))

    async def _dump(self, begun: Begin) -> None:
        claim = (namespace(begun.vm), str(begun.request["claimName"]))
        folder = folder_of(self._cache, self._paths, claim, _WHAT)
        watch = self._machines.up(begun.vmi)
        if watch is None:
            raise Problem(_WHAT, "the machine does not answer", "kubectl describe vm", "Gone")
        leaf = Path(str(begun.request.get("fileName"))).name  # anybody may have written the status
        part, whole = folder / f".{leaf}.part", folder / leaf
        if (await watch.qmp.execute("query-dump"))["status"] != "active" or not part.exists():
            await asyncio.to_thread(_clear, folder, name(begun.vm), expected_bytes(begun.vmi))
            await self._begin(watch.qmp, part)
        while (state := (await watch.qmp.execute("query-dump"))["status"]) == "active":
            await asyncio.sleep(_LOOK_S)
        if state != "completed":
            part.unlink(missing_ok=True)
            raise Problem(_WHAT, "QEMU could not write all of it", f"df -h {folder}", "Failed")
        part.replace(whole)

    async def _begin(self, qmp: Monitor, part: Path) -> None:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        try:
            claimdisk.give_to_qemu(part)
            await qmp.pass_fd(handle, "memory-dump")
        finally:
            os.close(handle)
        await qmp.execute("dump-guest-memory", paging=False, protocol="fd:memory-dump", detach=True)


def _clear(folder: Path, machine: str, wanted_bytes: int) -> None:
    """A claim holds one dump of a machine: earlier ones, and what was broken off, go. Raises Problem without room."""
    for old in (*folder.glob(f"{machine}-*{_SUFFIX}"), *folder.glob(f".{machine}-*{_SUFFIX}.part")):
        old.unlink(missing_ok=True)
    fetch.check_room(_WHAT, folder, wanted_bytes)
