"""Background tasks that are never lost: each has a name, its failure is logged, all end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from vmpod.base import log

_log = log.get("tasks")
_CANCEL_AGAIN_S = 0.5


class Tasks:
    """A set of background tasks of one owner."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` in the background; an exception in it is logged under `name`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("task %s failed", task.get_name(), exc_info=task.exception())

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended.

        More than once where needed: `asyncio.wait_for` of Python 3.11 can swallow a cancellation that arrives just
        as what it waits for ends (cpython issue 86296).
        """
        running = self._running - {asyncio.current_task()}
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
