"""A snapshot with memory: disks and memory of one moment, while the machine stands still until they are written.

The record makes it whole. A machine whose engine is killed meanwhile is let go on by the next one (`release`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from vmpod.base import log
from vmpod.base.clock import parse, rfc3339
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.qemu import saving
from vmpod.model.meta import Object, name, namespace, uid
from vmpod.node import diskswitch, resting, saves, warmstart
from vmpod.node.machine_resume import HELD
from vmpod.node.machine_watch import Watch
from vmpod.node.translate.snapshot import Disk

_log = log.get("snapshots")
Keep = Callable[[], Awaitable[None]]


async def take(
    paths: Paths, content: Object, disks: tuple[Disk, ...], vmi: Object, watch: Watch, actions: list[dict[str, Any]],
    keep: Keep | None = None,
) -> datetime:
    """Let QEMU go over to the new disks and write its memory, as of the same moment; `keep` copies what the machine
    keeps beside its disks. Raises Problem."""
    known = saves.of_snapshot(paths, uid(content))
    if known is not None:
        return parse(str(known.record["at"]))
    await resting.reach(watch)
    started = saves.started(paths, watch.machine.pod_uid)
    _check(vmi, watch, disks, started, actions)
    await resting.flush(watch)
    await resting.check_room(paths, watch.qmp)
    file = saves.begin_snapshot(paths, uid(content))
    begin = time.monotonic()
    async with held(watch):
        moment = datetime.now(UTC)
        await diskswitch.go_over(watch.qmp, actions)
        if keep is not None:
            await keep()
        await saving.save(watch.qmp, file)
    _log.info("memory of %s written in %.2f s", watch.machine.name, time.monotonic() - begin)
    saves.finish_snapshot(paths, uid(content), (started or {}) | {
        "namespace": namespace(vmi), "machine": name(vmi), "at": rfc3339(moment), "content": uid(content),
        "volumes": [one.volume for one in disks], "mac": watch.seen.mac, "ip": watch.seen.ip,
    })  # fmt: skip
    return moment


@asynccontextmanager
async def held(watch: Watch) -> AsyncIterator[None]:
    """A machine that runs stands still meanwhile; one that stands still stays so. Raises Gone, Refused."""
    if watch.seen.run_state != "running":
        yield
        return
    mark, qmp = watch.machine.folder.parent / HELD, watch.qmp
    mark.touch()  # first: should this engine die now, the next one lets the guest go on
    watch.observe(held=True)
    try:
        await qmp.stop()
        yield
    finally:
        await saving.break_off(qmp)
        if await qmp.status() == "paused":
            await qmp.cont()
        mark.unlink(missing_ok=True)
        watch.observe(held=False, run_state=await qmp.status())


def _check(
    vmi: Object, watch: Watch, disks: tuple[Disk, ...], started: saves.Record | None, actions: list[dict[str, Any]]
) -> None:
    why = warmstart.obstacle(vmi, None, watch.seen)
    others = sorted(set(warmstart.writable_disks(vmi)) - {one.volume for one in disks})
    if watch.seen.run_state != "running":
        why = f"the machine is {watch.seen.run_state or 'not there'}"
    elif others:
        why = why or f"the disk {others[0]} is on no claim, and is not kept with the memory"
    elif started is None:
        why = why or "it was started by an older vmpod: restart it first"
    elif not actions:
        why = why or "its disks were frozen before its memory could be written: take another snapshot"
    if why:
        raise Problem("take a snapshot with memory", why, reason="NotSaved")
