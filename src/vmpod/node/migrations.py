"""Moves running machines from one launcher to another: QEMU's own migration, the network handed over in between.

The state of a move is in the two QEMUs and in the VMI's status.migrationState, nothing is remembered here: an engine
that is killed leaves a move to the next one, which asks both QEMUs how far it is. One of them runs the guest at any
moment: the one that is left stops before the other starts, and goes on when the move fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from vmpod.base import log
from vmpod.base.clock import Clock, SystemClock, parse, rfc3339
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.drivers.net.attachments import Attachment
from vmpod.drivers.qemu import migration as qemu
from vmpod.drivers.qemu.lookout import Lookout
from vmpod.drivers.qemu.migration import Progress
from vmpod.drivers.qemu.qmp import Gone, Refused
from vmpod.kinds import POD, VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.kinds.parts.migration import DOWNTIME, FINAL, is_active, is_migrating, is_moving_unpaused
from vmpod.model import conditions, quantity
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.model.status import ApiError
from vmpod.node.machine_watch import Watch
from vmpod.node.machines import Machines
from vmpod.reconcile.actions import Note
from vmpod.reconcile.events import Recorder

KIND = VIRTUALMACHINEINSTANCEMIGRATION
_GIB = 1 << 30
_UNBEGUN = "the engine ended while it began the migration"
_LOOK_S = 0.5
_ARRIVAL_LOOKS, _ARRIVAL_S = 250, 0.02
_AGAIN_S = 1.0
_log = log.get("migrations")


class Net(Protocol):
    """What is asked of the network."""

    def attachments(self) -> list[Attachment]: ...

    async def hand_over(self, from_uid: str, to_uid: str) -> None: ...


@dataclass(frozen=True)
class Limits:
    """How long a move may take in all, and without coming nearer to its end, in seconds (0: no limit)."""

    total_s: float
    stuck_s: float


class Failed(Exception):
    """The move is over and the guest goes on where it was; why, in words for people."""


class Migrations:
    """Every move of a machine between launchers of this host."""

    def __init__(
        self, client: Client, cache: Cache, machines: Machines, network: Net, recorder: Recorder,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self._cache = cache
        self._machines = machines
        self._network = network
        self._recorder = recorder
        self._clock = clock or SystemClock()
        self._moving: set[str] = set()
        self._still: dict[str, datetime] = {}
        self._tasks = Tasks()

    async def start(self) -> None:
        """Go on with the moves that an earlier engine has left, then follow the instances."""
        self._cache.subscribe(VIRTUALMACHINEINSTANCE, self._changed)
        for vmi in self._cache.list(VIRTUALMACHINEINSTANCE):
            self._changed("ADDED", vmi)

    async def stop(self) -> None:
        """Leave the moves under way to the next engine."""
        await self._tasks.stop()

    def _changed(self, kind: str, vmi: Object) -> None:
        if kind == "DELETED" or uid(vmi) in self._moving or get(vmi, "status", "phase") in FINAL:
            return
        work = self._move(vmi) if is_migrating(vmi) else self._settle(vmi) if self._is_astray(vmi) else None
        if work is not None:
            self._moving.add(uid(vmi))
            self._tasks.start(work, f"migration of {name(vmi)}")

    # a machine that does not move --------------------------------------------------------------------------

    def _is_astray(self, vmi: Object) -> bool:
        """Whether the pod that the guest lives in is off the network, as an engine leaves it that dies just then."""
        standby = {one.pod_uid for one in self._network.attachments() if one.standby}
        return bool(standby) and any(uid(pod) in standby for pod in self._launchers(vmi) if is_active(vmi, pod))

    async def _settle(self, vmi: Object) -> None:
        try:
            pods = self._launchers(vmi)
            here = next(uid(pod) for pod in pods if is_active(vmi, pod))
            await self._network.hand_over(next((uid(pod) for pod in pods if uid(pod) != here), ""), here)
        except Problem as problem:
            _log.warning("network of %s: %s", name(vmi), problem)
        finally:
            self._moving.discard(uid(vmi))

    def _launchers(self, vmi: Object) -> list[Object]:
        return list(self._cache.owned(POD, uid(vmi)))

    # a machine that moves ----------------------------------------------------------------------------------

    async def _move(self, vmi: Object) -> None:
        """Again and again until it is told how the move ended."""
        try:
            while (now := self._now(vmi)) is not None and is_migrating(now):
                try:
                    await self._move_once(now)
                except Failed as failed:
                    await self._settled(self._give_up(now, str(failed)), vmi)
                except (ApiError, Problem) as problem:
                    _log.warning("migration of %s: %s", name(vmi), problem)
                    await asyncio.sleep(_AGAIN_S)
        finally:
            self._moving.discard(uid(vmi))
            if (now := self._now(vmi)) is not None and is_migrating(now):
                self._changed("MODIFIED", now)

    async def _settled(self, work: Coroutine[Any, Any, None], vmi: Object) -> None:
        """What cannot be told now is told a little later."""
        try:
            await work
        except (ApiError, Problem) as problem:
            _log.warning("migration of %s: %s", name(vmi), problem)
            await asyncio.sleep(_AGAIN_S)

    def _now(self, vmi: Object) -> Object | None:
        """The instance as it is; None when it is gone or has ended."""
        found = self._cache.get(VIRTUALMACHINEINSTANCE, namespace(vmi), name(vmi))
        is_same = found is not None and uid(found) == uid(vmi)
        return found if is_same and get(found, "status", "phase") not in FINAL else None

    async def _move_once(self, vmi: Object) -> None:
        """One move from wherever it stands to its end. Raises Failed, Problem, ApiError."""
        source, target = await self._both(vmi)
        lookout = self._lookout(vmi, source, target)
        try:
            seen = await qemu.look(source.qmp)
            if not seen.status or get(vmi, "status", "migrationState", "startTimestamp") is None:
                await self._begin(vmi, source, target)
            await self._follow(vmi, source, target)
        except asyncio.CancelledError:
            lookout.leave(call_off=True)
            raise
        except BaseException:
            self._tasks.start(lookout.dismiss(), f"end of the lookout of {name(vmi)}")
            raise
        self._tasks.start(lookout.dismiss(), f"end of the lookout of {name(vmi)}")

    def _lookout(self, vmi: Object, source: Watch, target: Watch) -> Lookout:
        folder = source.machine.folder
        return Lookout(folder / "qmp.sock", target.machine.folder / "qmp.sock", folder.parent / "lookout.log",
                       resume=is_moving_unpaused(vmi))  # fmt: skip

    async def _both(self, vmi: Object) -> tuple[Watch, Watch]:
        """Both machines, once both answer. Raises Failed when one of them is gone, or the move was cancelled."""
        state = vmi["status"]["migrationState"]
        while True:
            now = self._now(vmi)
            by_pod = {watch.machine.pod: watch for watch in self._machines.watches(vmi)}
            source, target = by_pod.get(state.get("sourcePod")), by_pod.get(state.get("targetPod"))
            if source and target and source.seen.run_state and target.seen.run_state:
                return source, target
            self._check_there(vmi, str(state.get("targetPod")))
            if now is None or get(now, "status", "migrationState", "abortRequested"):
                raise Failed("Live migration aborted")
            await asyncio.sleep(_LOOK_S / 5)

    def _check_there(self, vmi: Object, pod: str) -> None:
        found = self._cache.get(POD, namespace(vmi), pod)
        if found is None or get(found, "status", "phase") in FINAL or "deletionTimestamp" in found["metadata"]:
            raise Failed("Target pod is down")

    async def _begin(self, vmi: Object, source: Watch, target: Watch) -> None:
        """Raises Failed for a move that an earlier engine has begun and not finished to begin."""
        state = vmi["status"]["migrationState"]
        if state.get("startTimestamp"):
            raise Failed(_UNBEGUN)
        while source.seen.frozen:
            self._check_there(vmi, target.machine.pod)
            await asyncio.sleep(_LOOK_S)
        try:
            await self._machines.replug(source, target, vmi)
        except Problem as problem:
            raise Failed(problem.why) from None
        node = str(state.get("targetNode"))
        now = rfc3339(self._clock.now())
        await self._tell(vmi, {"targetNodeAddress": "unix", "targetNodeDomainDetected": True})
        await self._note(vmi, "PreparingTarget", "VirtualMachineInstance Migration Target Prepared.")
        await self._tell(vmi, {"startTimestamp": now})
        await self._note(vmi, "Migrating", f"VirtualMachineInstance is migrating to node {node}.")
        given = state.get("migrationConfiguration") or {}
        bandwidth = quantity.to_bytes(given.get("bandwidthPerMigration") or 0)
        try:
            still = await qemu.is_emulated(source.qmp)
            source.held = still and is_moving_unpaused(vmi)
            self._still[source.machine.pod_uid] = self._clock.now()
            await qemu.begin(source.qmp, target.qmp, bandwidth=bandwidth,
                             converge=bool(given.get("allowAutoConverge")), still=still)  # fmt: skip
        except Problem as problem:
            raise Failed(f"the migration did not begin: {problem.why}") from None

    async def _tell(self, vmi: Object, state: Object, **more: Any) -> None:
        change = {"status": {"migrationState": state, **more}}
        await self._client.patch(VIRTUALMACHINEINSTANCE, namespace(vmi), name(vmi), change, subresource="status")

    async def _note(self, vmi: Object, reason: str, message: str, kind: str = "Normal") -> None:
        await self._recorder.record(Note(kind, reason, message, vmi))

    async def _follow(self, vmi: Object, source: Watch, target: Watch) -> None:
        """Until QEMU says that it is over. Raises Failed, Problem."""
        limits, nearest, since = limits_of(vmi), -1, self._clock.now()
        cancelled = ""
        while True:
            source.migration_news.clear()
            seen = await self._look(source, target)
            if seen.status == qemu.DONE:
                if not await self._has_left(source):
                    raise Failed(_UNBEGUN)
                await self._awaken(vmi, target)
                await self._commit(vmi, self._timed(source, seen))
                return
            if seen.status in qemu.LOST:
                raise Failed(cancelled or seen.error or f"QEMU gave the migration up ({seen.status})")
            if not cancelled and (cancelled := self._objection(vmi, limits, since)):
                await qemu.cancel(source.qmp)
            elif seen.status == qemu.WAITS:
                await self._hand_over(source, target)
            if nearest < 0 or seen.remaining < nearest:
                nearest, since = seen.remaining, self._clock.now()
            try:
                await asyncio.wait_for(source.migration_news.wait(), _LOOK_S)
            except TimeoutError:
                pass

    async def _has_left(self, source: Watch) -> bool:
        """Whether the guest is gone from here; QEMU tells also of an earlier move, in which it came."""
        try:
            return await source.qmp.status() == "postmigrate"
        except Gone:
            return True

    async def _awaken(self, vmi: Object, target: Watch) -> None:
        """A guest that came and does not run is started, unless it was paused before. Where that fails it is paused."""
        try:
            if is_moving_unpaused(vmi) and await self._arrived(target) in ("paused", "prelaunch"):
                await target.qmp.cont()
        except Problem as problem:
            _log.warning("machine %s after its move: %s", name(vmi), problem)

    async def _arrived(self, target: Watch) -> str:
        """QEMU's run state once all of the guest is there: the other QEMU may say before that it is."""
        for _ in range(_ARRIVAL_LOOKS):
            if (state := await target.qmp.status()) != "inmigrate":
                return state
            await asyncio.sleep(_ARRIVAL_S)
        return "inmigrate"

    def _timed(self, source: Watch, seen: Progress) -> Progress:
        """QEMU counts from its own stop of the guest, not from ours."""
        if not source.held:
            return seen
        since = self._still.pop(source.machine.pod_uid, None)
        stood_ms = (self._clock.now() - since).total_seconds() * 1000 if since else seen.total_ms
        return replace(seen, downtime_ms=round(stood_ms))

    async def _look(self, source: Watch, target: Watch) -> Progress:
        """How far it is. A machine that has ended just after its guest had left it is no loss."""
        try:
            return await qemu.look(source.qmp)
        except Gone:
            try:
                arrived = await target.qmp.status() in ("running", "paused")
            except Problem:
                arrived = False
            return Progress(qemu.DONE if arrived else qemu.LOST[0], "the machine ended")

    def _objection(self, vmi: Object, limits: Limits, since: datetime) -> str:
        """Why a move under way is to be given up, in KubeVirt's words; empty when it goes on."""
        state = get(self._now(vmi) or vmi, "status", "migrationState", default={})
        if state.get("abortRequested"):
            return "Live migration aborted"
        now, begun = self._clock.now(), state.get("startTimestamp")
        if limits.total_s and begun and (now - parse(begun)).total_seconds() > limits.total_s:
            return f"Live migration is not completed after {limits.total_s:.0f} seconds and has been aborted"
        if limits.stuck_s and (now - since).total_seconds() > limits.stuck_s:
            return f"Live migration stuck for {limits.stuck_s:.0f} seconds and has been aborted"
        return ""

    async def _hand_over(self, source: Watch, target: Watch) -> None:
        """The guest stands still: what is sent to it from here on waits at the other launcher."""
        try:
            await self._network.hand_over(source.machine.pod_uid, target.machine.pod_uid)
        except Problem as problem:
            _log.warning("network of %s: %s", source.machine.name, problem)
            await qemu.cancel(source.qmp)
            return
        try:
            await qemu.go_on(source.qmp)
        except Refused:
            pass  # it has failed meanwhile, which is seen next

    # the end -----------------------------------------------------------------------------------------------

    async def _commit(self, vmi: Object, seen: Progress) -> None:
        """The guest is there: it is told first what that took, then that it lives there. Raises ApiError."""
        state = vmi["status"]["migrationState"]
        node, pods = str(state.get("targetNode")), {name(pod): uid(pod) for pod in self._launchers(vmi)}
        await self._tell_downtime(vmi, seen)
        ended: Object = {"completed": True, "endTimestamp": rfc3339(self._clock.now())}
        if get(self._now(vmi), "status", "migrationState", "abortRequested"):
            ended["abortStatus"] = "Failed"
        ended["targetNodeDomainReadyTimestamp"] = ended["endTimestamp"]
        active = {pods.get(str(state.get("sourcePod")), ""): None, pods.get(str(state.get("targetPod")), ""): node}
        active.pop("", None)
        await self._tell(vmi, ended, nodeName=node, evacuationNodeName=None, activePods=active)
        await self._note(vmi, "Migrated", f"The VirtualMachineInstance migrated to node {node}.")
        _log.info("%s moved in %d ms, %d ms of it without a guest", name(vmi), seen.total_ms, seen.downtime_ms)

    async def _tell_downtime(self, vmi: Object, seen: Progress) -> None:
        job = str(get(vmi, "status", "migrationState", "migrationUid"))
        found = next((one for one in self._cache.list(KIND, namespace(vmi)) if uid(one) == job), None)
        if found is None:
            return
        text = downtime_text(seen)
        told = conditions.set_condition(get(found, "status", "conditions"), DOWNTIME, True, "Measured", text,
                                        self._clock.now())  # fmt: skip
        change = {"status": {"conditions": told}}
        await self._client.patch(KIND, namespace(found), name(found), change, subresource="status")

    async def _give_up(self, vmi: Object, why: str) -> None:
        """The guest goes on where it was, on the network and awake; what waited for it ends with its pod."""
        state = vmi["status"]["migrationState"]
        by_pod = {watch.machine.pod: watch for watch in self._machines.watches(vmi)}
        source, target = by_pod.get(state.get("sourcePod")), by_pod.get(state.get("targetPod"))
        if source is not None and await self._is_over(source):
            await self._commit(vmi, await qemu.look(source.qmp))
            return
        if target is not None:
            await target.end()
        if source is not None:
            await self._go_back(source, target)
            source.held = False
        aborted = get(self._now(vmi), "status", "migrationState", "abortRequested")
        now = rfc3339(self._clock.now())
        ended: Object = {"completed": True, "failed": True, "failureReason": why, "endTimestamp": now}
        ended |= {"abortStatus": "Succeeded"} if aborted else {}
        ended |= {"startTimestamp": now} if not state.get("startTimestamp") else {}
        await self._tell(vmi, ended)
        told = f"VirtualMachineInstance migration uid {state.get('migrationUid')} failed. reason: {why}"
        await self._note(vmi, "FailedMigration", told, "Warning")

    async def _is_over(self, source: Watch) -> bool:
        """Whether the guest had reached the other launcher, whatever became of that: it must not live a second time."""
        try:
            return (await qemu.look(source.qmp)).status == qemu.DONE and await source.qmp.status() == "postmigrate"
        except Problem:
            return False

    async def _go_back(self, source: Watch, target: Watch | None) -> None:
        try:
            if any(one.standby for one in self._network.attachments() if one.pod_uid == source.machine.pod_uid):
                await self._network.hand_over(target.machine.pod_uid if target else "", source.machine.pod_uid)
            waits = ("postmigrate", "finish-migrate", *(("paused",) if source.held else ()))
            if await source.qmp.status() in waits:
                await source.qmp.cont()
        except Problem as problem:
            _log.warning("machine %s: %s", source.machine.name, problem)


def limits_of(vmi: Object) -> Limits:
    """By the memory of the machine, as KubeVirt counts: so many seconds for each GiB, at least for one. Pure."""
    given = get(vmi, "status", "migrationState", "migrationConfiguration", default={})
    size = get(vmi, "status", "memory", "guestCurrent") or get(vmi, "spec", "domain", "memory", "guest") or "1Gi"
    gib = max(1, -(-quantity.to_bytes(size) // _GIB))
    return Limits(float(given.get("completionTimeoutPerGiB", 150)) * gib, float(given.get("progressTimeout", 150)))


def downtime_text(seen: Progress) -> str:
    """What a move took, for people. Pure."""
    sent = seen.transferred / (1 << 20)
    return f"the guest stood still for {seen.downtime_ms} ms; {sent:.1f} MiB were sent in {seen.total_ms} ms"
