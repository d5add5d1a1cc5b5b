"""Probes of running containers: one task each; what they find goes into the next look at the pod."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vmpod.base.tasks import Tasks
from vmpod.drivers.podman.client import Podman
from vmpod.model.meta import Object
from vmpod.node import hooks
from vmpod.node.hooks import HookFailed
from vmpod.node.notices import Notices
from vmpod.node.seen import ProbeState

_AGENT = "kube-probe/1.35"
_WORDS = {"startup": "Startup", "liveness": "Liveness", "readiness": "Readiness"}


@dataclass(frozen=True)
class Subject:
    """A running container under probes."""

    pod: Object
    container: Object
    id: str
    ip: str


@dataclass(frozen=True)
class Timing:
    """The numbers of a probe, in seconds and times, with core/v1's defaults."""

    delay_s: float
    period_s: float
    timeout_s: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Mapping[str, Any]) -> Timing:
        return cls(
            float(probe.get("initialDelaySeconds") or 0), float(probe.get("periodSeconds") or 10),
            float(probe.get("timeoutSeconds") or 1), int(probe.get("successThreshold") or 1),
            int(probe.get("failureThreshold") or 3),
        )  # fmt: skip


class Probes:
    """All probes of this node. `changed(pod)` is called when a probe says something new."""

    def __init__(self, podman: Podman, notices: Notices, changed: Callable[[Object], None]) -> None:
        self._podman = podman
        self._notices = notices
        self._changed = changed
        self._states: dict[str, ProbeState] = {}
        self._tasks: dict[str, Tasks] = {}

    def states(self, ids: list[str]) -> dict[str, ProbeState]:
        """What is known of those of these containers that are probed."""
        return {id: self._states[id] for id in ids if id in self._states}

    def start(self, subject: Subject, *, was_ready: bool) -> None:
        """Begin; a container that an earlier engine saw ready counts so until a probe says otherwise."""
        if subject.id in self._tasks:
            return
        given = {kind: subject.container.get(f"{kind}Probe") for kind in _WORDS}
        self._states[subject.id] = ProbeState(
            started=was_ready or not given["startup"], ready=was_ready or not given["readiness"]
        )
        tasks = self._tasks[subject.id] = Tasks()
        tasks.start(self._all(subject, given, tasks, was_ready), f"probes of {subject.container.get('name')}")

    async def stop(self, id: str) -> None:
        """Probe no more."""
        self._states.pop(id, None)
        tasks = self._tasks.pop(id, None)
        if tasks is not None:
            await tasks.stop()

    async def stop_all(self) -> None:
        for id in list(self._tasks):
            await self.stop(id)

    async def _all(
        self, subject: Subject, given: Mapping[str, Any], tasks: Tasks, was_ready: bool
    ) -> None:
        """The startup probe comes first; the others wait for it."""
        if given["startup"] and not was_ready and not await self._startup(subject, given["startup"]):
            return
        for kind in ("liveness", "readiness"):
            if given[kind]:
                tasks.start(self._follow(subject, kind, given[kind], was_ready), f"{kind} probe")

    def _set(self, subject: Subject, **news: Any) -> None:
        before = self._states.get(subject.id)
        if before is None:
            return
        after = replace(before, **news)
        if after != before:
            self._states[subject.id] = after
            self._changed(subject.pod)

    async def _startup(self, subject: Subject, probe: Mapping[str, Any]) -> bool:
        times, failures = Timing.of(probe), 0
        await asyncio.sleep(times.delay_s)
        while True:
            if await self._attempt(subject, "startup", probe, times):
                self._set(subject, started=True)
                return True
            failures += 1
            if failures >= times.failures:
                self._set(subject, unhealthy="startup")
                return False
            await asyncio.sleep(times.period_s)

    async def _follow(self, subject: Subject, kind: str, probe: Mapping[str, Any], was_ready: bool) -> None:
        times, good, bad = Timing.of(probe), 0, 0
        if was_ready:
            await asyncio.sleep(random.uniform(0, times.period_s))
        else:
            await asyncio.sleep(times.delay_s)
        while True:
            ok = await self._attempt(subject, kind, probe, times)
            good, bad = (good + 1, 0) if ok else (0, bad + 1)
            if kind == "readiness":
                if good >= times.successes:
                    self._set(subject, ready=True)
                elif bad >= times.failures:
                    self._set(subject, ready=False)
            elif bad >= times.failures:
                self._set(subject, unhealthy="liveness")
                return
            await asyncio.sleep(times.period_s)

    async def _attempt(self, subject: Subject, kind: str, probe: Mapping[str, Any], times: Timing) -> bool:
        try:
            await attempt(self._podman, subject, probe, times.timeout_s)
        except HookFailed as failed:
            if subject.id in self._states:
                self._notices.warn(subject.pod, "Unhealthy", f"{_WORDS[kind]} probe failed: {failed}")
            return False
        return True


async def attempt(podman: Podman, subject: Subject, probe: Mapping[str, Any], timeout_s: float) -> None:
    """One probe. Raises HookFailed. A kind that is not known here succeeds (an event has told so)."""
    if "httpGet" in probe:
        await hooks.http_get(probe["httpGet"], subject.container, subject.ip, timeout_s, _AGENT)
    elif "tcpSocket" in probe:
        await hooks.tcp_connect(probe["tcpSocket"], subject.container, subject.ip, timeout_s)
    elif "exec" in probe:
        command = [str(word) for word in probe["exec"].get("command") or ()]
        await hooks.run_command(podman, subject.id, command, timeout_s)
