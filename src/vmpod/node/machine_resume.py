"""A machine goes on with the memory that was kept of it: read in by QEMU, then used up; its clock is put right."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.qemu import saving
from vmpod.drivers.qemu.qmp import Monitor
from vmpod.node import saves

HELD = "held"
"""A file in the pod's folder while its machine stands still for a snapshot"""
_AGENT_S, _LOOK_S = 60.0, 0.1
_NEAR_S, _TRIES = 1.5, 3
_RUN_S = 5.0
_SECOND = 1_000_000_000

Ask = Callable[..., Awaitable[Any]]
Run = Callable[[list[str], float], Awaitable[int]]


async def resume(qmp: Monitor, pod_folder: Path) -> saves.Record | None:
    """Bring a machine back to what was kept, where it starts with that. The file is gone before the guest goes on.

    None when it boots. Raises Gone, Refused, OSError when the memory cannot be read: QEMU ends then.
    """
    record, folder = saves.taken(pod_folder), saves.resuming(pod_folder)
    if record is None:
        return None
    if await qmp.status() == saving.AWAITS:
        if await saving.has_begun(qmp):
            await saving.loaded(qmp)
        else:
            await saving.load(qmp, folder / saves.STATE)
    (folder / saves.STATE).unlink(missing_ok=True)
    if await qmp.status() == "paused":
        await qmp.cont()
    await asyncio.to_thread(shutil.rmtree, folder, True)
    return record


async def release(qmp: Monitor, pod_folder: Path) -> None:
    """Let a machine go on that an engine held and then died. Raises Gone, Refused."""
    if (pod_folder / HELD).exists():
        await saving.break_off(qmp)
        if await qmp.status() == "paused":
            await qmp.cont()
        (pod_folder / HELD).unlink(missing_ok=True)


async def set_clock(ask: Ask, run: Run, has_agent: Callable[[], bool]) -> str:
    """Let the guest's agent set its clock to now; why not, empty when it did. It may take a moment to be there.

    Where the agent does not set it itself, for want of /sbin/hwclock say, it is let run `date`.
    """
    deadline = time.monotonic() + _AGENT_S
    while not has_agent():
        if time.monotonic() > deadline:
            return "it has no guest agent to set it"
        await asyncio.sleep(_LOOK_S)
    for _ in range(_TRIES):  # a guest that is slow to obey has a clock that is late by so much
        why = await _set_once(ask, run)
        if why or await _is_near(ask):
            return why
    return ""


async def _set_once(ask: Ask, run: Run) -> str:
    try:
        await ask("guest-set-time", time=int(time.time() * _SECOND))
    except Problem as problem:
        if await _is_near(ask) or await run(["date", "-u", "-s", f"@{round(time.time())}"], _RUN_S) == 0:
            return ""
        return problem.why
    return ""


async def _is_near(ask: Ask) -> bool:
    try:
        return abs(int(await ask("guest-get-time")) / _SECOND - time.time()) < _NEAR_S
    except Problem:
        return False
