"""Nothing may be left running after a test."""

from __future__ import annotations

import asyncio
import threading


def other_tasks() -> list[asyncio.Task[object]]:
    """The tasks of the running loop besides the one that asks."""
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]


async def assert_no_tasks() -> None:
    """Raise AssertionError when tasks are left after those that are just ending have ended."""
    for _ in range(5):
        if not other_tasks():
            return
        await asyncio.sleep(0)
    left = [task.get_name() for task in other_tasks()]
    assert not left, f"tasks left behind: {', '.join(left)}"


def threads() -> set[str]:
    """The names of the threads of the store that are alive."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("store-writer")}
