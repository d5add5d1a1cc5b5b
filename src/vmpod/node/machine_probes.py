"""Readiness and liveness of what runs in a machine: asked from outside at its pod's address, or of its agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vmpod.model.meta import get
from vmpod.node import hooks
from vmpod.node.hooks import HookFailed
from vmpod.node.probes import Timing

_AGENT = "kube-probe/1.35"
AgentPing = Callable[[float], Awaitable[bool]]
AgentExec = Callable[[list[str], float], Awaitable[int]]
Say = Callable[[bool, str], None]


@dataclass(frozen=True)
class Doors:
    """How a probe reaches the machine: its address, its agent's ping and exec (exit code; -1: not run)."""

    ip: str
    ping: AgentPing
    execute: AgentExec


async def follow(probe: Mapping[str, Any], doors: Doors, say: Say) -> None:
    """Probe for ever; `say(ok, why)` at each attempt that leaves a threshold reached."""
    times = Timing.of(probe)
    await asyncio.sleep(times.delay_s)
    good = bad = 0
    while True:
        why = await trouble(probe, doors, times.timeout_s)
        good, bad = (0, bad + 1) if why else (good + 1, 0)
        if good >= times.successes:
            say(True, "")
        elif bad >= times.failures:
            say(False, why)
        await asyncio.sleep(times.period_s)


async def trouble(probe: Mapping[str, Any], doors: Doors, timeout_s: float) -> str:
    """One attempt: empty when it succeeded, else why not. A kind that is not known succeeds."""
    try:
        if "tcpSocket" in probe:
            await hooks.tcp_connect(probe["tcpSocket"], {}, doors.ip, timeout_s)
        elif "httpGet" in probe:
            await hooks.http_get(probe["httpGet"], {}, doors.ip, timeout_s, _AGENT)
        elif "guestAgentPing" in probe:
            return "" if await doors.ping(timeout_s) else "the guest agent does not answer"
        elif "exec" in probe:
            code = await doors.execute(list(get(probe, "exec", "command", default=[])), timeout_s)
            return f"the command in the guest exited with {code}" if code else ""
    except HookFailed as failed:
        return str(failed) or "failed"
    return ""
