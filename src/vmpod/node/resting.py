"""Machines that rest: stopped with their memory kept, started with it again (the annotation vmpod.io/warm-start).

Whatever keeps the memory from being used is told, and the machine shuts down or boots as any other.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from vmpod.base import log
from vmpod.base.clock import rfc3339
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.drivers.disks import formats
from vmpod.drivers.host import facts as host
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.net.attachments import Attachment, MachineNic
from vmpod.drivers.qemu import saving
from vmpod.drivers.qemu.qmp import Gone, Monitor
from vmpod.drivers.qemu.spec import MachineSpec
from vmpod.kinds import PERSISTENTVOLUMECLAIM, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.snapshot_memory import GIVEN, RESTORED_BY
from vmpod.model.meta import Object, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.node import saves, warmstart
from vmpod.node.machine_watch import Watch
from vmpod.node.prepared import PreparedVolume
from vmpod.reconcile.actions import Note
from vmpod.reconcile.events import Recorder

_FLUSH_S = 10.0
_SAVE_S = 900.0
_REACH_S, _LOOK_S = 5.0, 0.05
_ROOM = 1.1
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_log = log.get("resting")


class Resting:
    """Keeps memory when a machine stops, and gives it back when it starts."""

    def __init__(self, cache: Cache, paths: Paths, events: Recorder, tasks: Tasks) -> None:
        self._cache = cache
        self._paths = paths
        self._events = events
        self._tasks = tasks

    def _note(self, kind: str, reason: str, message: str, *about: Object | None) -> None:
        for one in about:
            if one is not None:
                self._tasks.start(self._events.record(Note(kind, reason, message, one)), f"event {reason}")

    def _vm(self, vmi: Object) -> Object | None:
        called = warmstart.vm_of(vmi)
        return self._cache.get(VIRTUALMACHINE, namespace(vmi), called) if called else None

    def _saved(self, vmi: Object) -> saves.Saved | None:
        called = warmstart.vm_of(vmi)
        return saves.find(self._paths, namespace(vmi), called) if called else None

    def sweep(self) -> None:
        """Memory goes with its machine, unless disks that it belongs to stay."""
        saves.sweep(self._paths, self._is_needed)

    def _is_needed(self, record: saves.Record) -> bool:
        where = str(record.get("namespace"))
        if self._cache.get(VIRTUALMACHINE, where, str(record.get("machine"))) is not None:
            return True
        return any(self._cache.get(PERSISTENTVOLUMECLAIM, where, str(one)) for one in record.get("claims") or ())

    # starting --------------------------------------------------------------------------------------------

    def nic(self, vmi: Object, card: MachineNic | None) -> MachineNic | None:
        """The card that a guest which rests knows, at the address that its pod had."""
        restored = self._of_restore(vmi)
        found = restored[0] if restored else self._saved(vmi) if warmstart.is_wanted(vmi) else None
        if card is None or found is None:
            return card
        mac = card.mac or (str(found.record.get("mac", "")) if card.binding == "masquerade" else "")
        return replace(card, mac=mac, address=str(found.record.get("ip", "")))

    def awaken(
        self, vmi: Object, pod_uid: str, machine: MachineSpec, volumes: Mapping[str, PreparedVolume], facts: HostFacts
    ) -> MachineSpec:
        """The machine, made to await its memory where that fits. Raises Problem for an annotation that says nothing."""
        wanted = annotations_of(vmi).get(warmstart.ANNOTATION, "")
        if wanted not in ("", "true", "false"):
            why, fix = f"the annotation {warmstart.ANNOTATION} says {wanted!r}", "say true or false, or leave it out"
            raise Problem(f"start the machine {name(vmi)}", why, fix, "Unsupported")
        own = self._paths.pod(pod_uid)
        plain = {one.name for one in machine.disks}
        disks = {one: str(it.path) for one, it in volumes.items() if one in plain and not it.path.is_relative_to(own)}
        images = {source for it in volumes.values() for source, _, _ in it.binds if source != str(own / "disks")
                  and not Path(source).is_relative_to(own) and it.path.is_relative_to(own)}  # fmt: skip
        now = warmstart.features(machine, images, pod_uid, qemu=facts.qemu_version, processor=host.processor())
        saves.note_start(self._paths, pod_uid, {"features": now, "disks": disks})
        if machine.incoming:
            return machine  # its guest comes from another launcher
        if (saves.settle(self._paths, pod_uid) or self._is_lent(vmi, pod_uid, now, disks)
                or self._claimed(vmi, pod_uid, now, disks)):  # fmt: skip
            machine = replace(machine, incoming=True, start_paused=False)
        return machine

    def _of_restore(self, vmi: Object) -> tuple[saves.Saved, str] | None:
        """The memory that belongs to the disks a machine was restored with, and by which restore; until it is used."""
        vm = self._vm(vmi)
        if vm is None:
            return None
        told = annotations_of(vm)
        content = told.get(GIVEN, "")  # anybody may write it: it becomes a path only if it is a uid
        found = saves.of_snapshot(self._paths, content) if _UID.fullmatch(content) else None
        if found is None or found.record.get("namespace") != namespace(vmi):
            return None
        restore = sha256(f"{uid(vm)} {told.get(RESTORED_BY)}".encode()).hexdigest()[:16]
        return None if saves.is_used(found, restore) else (found, restore)

    def _is_lent(self, vmi: Object, pod_uid: str, now: Mapping[str, str], disks: Mapping[str, str]) -> bool:
        found = self._of_restore(vmi)
        if found is None:
            return False
        saved, restore = found
        saves.use(saved, restore)
        why = warmstart.difference(saved.record.get("features") or {}, now) or _written(saved.record, disks)
        if why:
            text = f"The guest boots anew, without what it had in memory at {saved.record.get('at')}: {why}"
            self._note("Warning", "WarmStartRefused", text, vmi, self._vm(vmi))
            return False
        saves.lend(self._paths, pod_uid, saved, restore)
        saves.drop(self._paths, namespace(vmi), name(vmi))
        return True

    def _claimed(self, vmi: Object, pod_uid: str, now: Mapping[str, str], disks: Mapping[str, str]) -> bool:
        found = self._saved(vmi)
        if found is None:
            return False
        why = "" if warmstart.is_wanted(vmi) else f"the annotation {warmstart.ANNOTATION} is gone"
        why = why or warmstart.difference(found.record.get("features") or {}, now)
        why = why or warmstart.changed_disk(found.record.get("marks") or {}, saves.marks(disks))
        if not why:
            saves.claim(self._paths, pod_uid, found)
            return True
        text = f"The guest boots anew, what it had in memory at {found.record.get('at')} is lost: {why}"
        self._note("Warning", "WarmStartRefused", text, vmi, self._vm(vmi))
        saves.drop(self._paths, namespace(vmi), name(vmi))
        return False

    # stopping --------------------------------------------------------------------------------------------

    async def rest(self, watch: Watch, attachment: Attachment | None) -> bool:
        """Keep the memory of a machine that is told to stop, and end it; False: it is to shut down instead."""
        pod_uid = watch.machine.pod_uid
        vmi = self._cache.get(VIRTUALMACHINEINSTANCE, watch.machine.namespace, watch.machine.name)
        vm = self._vm(vmi) if vmi is not None else None
        is_finished, is_begun = saves.is_finished(self._paths, pod_uid), saves.is_begun(self._paths, pod_uid)
        wanted = vmi is not None and warmstart.is_wanted(vmi) and warmstart.is_going_off(vm)
        if not (wanted or is_begun) or vmi is None:
            return False
        try:
            await reach(watch)
            if not wanted:
                raise Problem("keep the machine's memory", "it is to start again at once", reason="NotSaved")
            if not is_finished:
                self._check(vmi, vm, watch, is_begun=is_begun)
                async with asyncio.timeout(_SAVE_S):
                    await self._save(watch, vmi, attachment)
            await watch.qmp.quit()
        except (Problem, OSError) as problem:
            if is_finished and isinstance(problem, Gone):
                return True
            why = problem.why if isinstance(problem, Problem) else str(problem) or "it took too long"
            self._note("Warning", "MemoryNotKept", f"The guest is shut down, its memory is not kept: {why}", vmi, vm)
            await self._go_on(watch)
            return False
        return True

    def _check(self, vmi: Object, vm: Object | None, watch: Watch, *, is_begun: bool) -> None:
        """Raises Problem for what keeps the memory from being kept; an attempt of an earlier engine does not."""
        why = warmstart.obstacle(vmi, vm, watch.seen)
        if not why and watch.seen.run_state != "running" and not is_begun:
            why = f"the machine is {watch.seen.run_state or 'not there'}"
        if why:
            raise Problem("keep the machine's memory", why, reason="NotSaved")

    async def _save(self, watch: Watch, vmi: Object, attachment: Attachment | None) -> None:
        """First what the guest has not written out yet: should the memory never be used, its disks are whole."""
        watch.observe(stop_wished=True)
        pod_uid = watch.machine.pod_uid
        await saving.break_off(watch.qmp)
        await flush(watch)
        await check_room(self._paths, watch.qmp)
        begin = time.monotonic()
        await watch.qmp.stop()
        moment = datetime.now(UTC)
        file = saves.begin(self._paths, pod_uid)
        await saving.save(watch.qmp, file)
        size, took_s = file.stat().st_size, time.monotonic() - begin
        saves.finish(self._paths, pod_uid, {
            "namespace": namespace(vmi), "machine": name(vmi), "at": rfc3339(moment),
            "claims": warmstart.claims_of(vmi), "mac": attachment.guest_mac if attachment else "",
            "ip": attachment.ip if attachment else "",
        })  # fmt: skip
        text = f"The memory of the guest was kept: {size >> 20} MiB in {took_s:.1f} s; it goes on at the next start"
        self._note("Normal", "MemoryKept", text, vmi, self._vm(vmi))

    async def _go_on(self, watch: Watch) -> None:
        try:
            await saving.break_off(watch.qmp)
            await watch.qmp.cont()
        except Problem as problem:
            _log.debug("machine %s: %s", watch.machine.name, problem)
        saves.give_up(self._paths, watch.machine.pod_uid)

    async def keep(self, pod: Object, vmi: Object | None, *, failed: bool) -> None:
        """QEMU has ended: what it left for its next start is put aside. One that could not read what it began with
        shall not try again."""
        if await asyncio.to_thread(saves.keep, self._paths, uid(pod)) is None and failed:
            record = saves.forget_unread(self._paths, uid(pod))
            if record is not None and vmi is not None:
                text = f"What the guest had in memory at {record.get('at')} could not be read and is lost"
                self._note("Warning", "WarmStartFailed", text, vmi, self._vm(vmi))


def _written(record: saves.Record, disks: Mapping[str, str]) -> str:
    """A disk that is not as the restore made it; empty when all are."""
    for one, path in disks.items():
        if one not in record.get("volumes", ()) or not formats.is_unwritten(Path(path)):
            return f"its disk {one} was changed since it was restored"
    return ""


async def reach(watch: Watch) -> None:
    """A new engine takes a moment to be connected. Raises Gone."""
    for _ in range(int(_REACH_S / _LOOK_S)):
        if watch.is_fresh:
            break
        await asyncio.sleep(_LOOK_S)
    await watch.qmp.status()


async def flush(watch: Watch) -> None:
    """A guest without an agent, or one that knows no freezing, is kept as it is. Raises Problem: it stays frozen."""
    if watch.seen.guest.connected:
        try:
            await watch.freezer.freeze(_FLUSH_S)
        except Problem as problem:
            _log.debug("machine %s: %s", watch.machine.name, problem)
        else:
            await watch.freezer.thaw()


async def check_room(paths: Paths, qmp: Monitor) -> None:
    """Raises Problem when the memory of a machine may not fit on the disk of the home."""
    memory_bytes = int((await qmp.execute("query-memory-size-summary"))["base-memory"])
    free, wanted = shutil.disk_usage(paths.home).free, int(memory_bytes * _ROOM)
    if wanted > free:
        why = f"it may need {wanted >> 20} MiB on the disk of the home, which has {free >> 20} MiB left"
        raise Problem("keep the machine's memory", why, "free some space", "NoSpace")
