"""A machine's memory and devices, written to an open file and read again: QEMU's own migration, with a file between.

Disks are no part of it. The file belongs to one very machine: the same QEMU, processor, board and devices.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.qmp import Monitor

_FILE = "memory"
_UNLIMITED = 1 << 40
_LOOK_S = 0.02
_RUNS = ("setup", "active", "device", "pre-switchover", "cancelling")
LEFT, AWAITS = "postmigrate", "inmigrate"


async def save(qmp: Monitor, file: Path) -> None:
    """Write a stopped machine to a new file. Its disks are closed then; `cont` opens them again.

    Raises Problem when it cannot be saved, and nothing is changed.
    """
    await qmp.execute("migrate-set-parameters", max_bandwidth=_UNLIMITED)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        await qmp.pass_fd(handle, _FILE)
        await qmp.execute("migrate", uri=f"fd:{_FILE}")
        await _ended(qmp, "save the machine's memory")
        await asyncio.to_thread(os.fsync, handle)
    finally:
        os.close(handle)


async def load(qmp: Monitor, file: Path) -> None:
    """Read the file into a machine that awaits it; it is paused afterwards. A machine that cannot read it ends.

    Raises Refused, Gone, OSError.
    """
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        await qmp.pass_fd(handle, _FILE)
        await qmp.execute("migrate-incoming", uri=f"fd:{_FILE}")
    finally:
        os.close(handle)
    await loaded(qmp)


async def loaded(qmp: Monitor) -> None:
    """Wait until a load that has begun is over. Raises Gone when the machine could not read it."""
    while await qmp.status() == AWAITS:
        await asyncio.sleep(_LOOK_S)


async def has_begun(qmp: Monitor) -> bool:
    """Whether a machine that awaits its memory reads it already."""
    return bool((await qmp.execute("query-migrate")).get("status"))


async def break_off(qmp: Monitor) -> None:
    """End a save that was begun, and let the machine be as before it: its disks are its own again."""
    if await _state(qmp) in _RUNS:
        await qmp.execute("migrate_cancel")
        while await _state(qmp) in _RUNS:
            await asyncio.sleep(_LOOK_S)
    if await qmp.status() == LEFT:
        await qmp.cont()


async def _state(qmp: Monitor) -> str:
    return str((await qmp.execute("query-migrate")).get("status") or "")


async def _ended(qmp: Monitor, what: str) -> None:
    while (state := await _state(qmp)) in _RUNS:
        await asyncio.sleep(_LOOK_S)
    if state != "completed":
        told = await qmp.execute("query-migrate")
        why = str(told.get("error-desc") or ", ".join(told.get("blocked-reasons") or ()) or f"it {state}")
        raise Problem(what, why, reason="NotSaved")
