"""Ends of containers: pre-stop hook, stop signal, and KILL when the time is over. Each is one background task."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from vmpod.base import log
from vmpod.base.clock import Clock
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.container import Container
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node.actions import StopContainer
from vmpod.node.hooks import HookFailed, run_hook
from vmpod.node.memory import Memories
from vmpod.node.notices import Notices
from vmpod.node.observed import Observed
from vmpod.node.seen import find_container, is_launcher

_log = log.get("node")
_LEAST_S = 2  # what is left for the stop signal after a long pre-stop hook (kubelet)
_PIECE_S = 1.0


class Power(Protocol):
    """How a machine is asked to end."""

    async def power_down(self, pod_uid: str) -> None: ...


class Endings:
    """All ends under way. `finished(pod)` is called when one is through."""

    def __init__(
        self, podman: Podman, observed: Observed, memories: Memories, notices: Notices, power: Power, clock: Clock,
        finished: Callable[[Object], None],
    ) -> None:  # fmt: skip
        self._podman = podman
        self._observed = observed
        self._memories = memories
        self._notices = notices
        self._power = power
        self._clock = clock
        self._finished = finished
        self._tasks = Tasks()

    async def stop(self) -> None:
        """Leave the rest to the next engine."""
        await self._tasks.stop()

    def begin(self, action: StopContainer, ip: str) -> None:
        """End a container, or bring the deadline of an end under way forward."""
        notes = self._memories.of(meta.uid(action.pod))
        known = notes.stopping.get(action.id)
        notes.stopping[action.id] = action.deadline if known is None else min(known, action.deadline)
        if known is None:
            if action.message:
                self._notices.normal(action.pod, "Killing", action.message)
            self._tasks.start(self._end(action, ip), f"end {action.container}")

    def _left_s(self, action: StopContainer) -> float:
        deadline = self._memories.of(meta.uid(action.pod)).stopping.get(action.id, action.deadline)
        return (deadline - self._clock.now()).total_seconds()

    async def _end(self, action: StopContainer, ip: str) -> None:
        uid = meta.uid(action.pod)
        try:
            one = await self._podman.inspect(action.id)
            if one is not None and one.is_running:
                if self._left_s(action) > 0:
                    await self._gently(action, one, ip)
                await self._firmly(action)
            await self._observed.update(action.id)
        except Problem as problem:
            _log.warning("container %s of pod %s did not end: %s", action.container, meta.name(action.pod), problem)
        finally:
            self._memories.of(uid).stopping.pop(action.id, None)
            self._finished(action.pod)

    async def _gently(self, action: StopContainer, one: Container, ip: str) -> None:
        if is_launcher(action.pod):
            await self._power.power_down(meta.uid(action.pod))
        else:
            await self._pre_stop(action, one, ip)
            await self._podman.kill(one.id, one.stop_signal)
        while (left := self._left_s(action)) > 0:
            if await self._podman.ended(one.id, min(left, _PIECE_S)):
                return

    async def _pre_stop(self, action: StopContainer, one: Container, ip: str) -> None:
        container = find_container(action.pod, action.container)
        hook = meta.get(container, "lifecycle", "preStop")
        if not hook:
            return
        try:
            async with asyncio.timeout(max(self._left_s(action), 0.1)):
                await run_hook(self._podman, hook, container, one, ip, self._left_s(action))
        except (HookFailed, TimeoutError) as failed:
            why = str(failed) or "context deadline exceeded"
            self._notices.warn(action.pod, "FailedPreStopHook", f"PreStopHook failed: {why}")
        self._leave_time(action)

    def _leave_time(self, action: StopContainer) -> None:
        notes = self._memories.of(meta.uid(action.pod))
        least: datetime = self._clock.now() + timedelta(seconds=_LEAST_S)
        notes.stopping[action.id] = max(notes.stopping.get(action.id, least), least)

    async def _firmly(self, action: StopContainer) -> None:
        one = await self._podman.inspect(action.id)
        if one is not None and one.is_running:
            await self._podman.kill(action.id, signal.SIGKILL)
            await self._podman.ended(action.id, 10)
