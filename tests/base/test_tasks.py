"""Background tasks end together, also one that loses its first cancellation."""

from __future__ import annotations

import asyncio
import logging

import pytest

from vmpod.base.tasks import Tasks


async def test_all_end_together() -> None:
    tasks = Tasks()
    started = [tasks.start(asyncio.sleep(60), f"sleeper {n}") for n in range(3)]
    await asyncio.sleep(0)
    await tasks.stop()
    assert all(task.cancelled() for task in started)


async def test_a_swallowed_cancellation_is_repeated() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass  # as asyncio.wait_for of Python 3.11 may do
        await asyncio.sleep(60)

    tasks = Tasks()
    task = tasks.start(stubborn(), "stubborn")
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.stop(), 60)
    assert task.cancelled()


async def test_stopping_from_inside_does_not_wait_for_itself() -> None:
    tasks = Tasks()
    task = tasks.start(tasks.stop(), "stopper")
    await asyncio.wait_for(task, 60)


async def test_a_failure_is_logged_by_name(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    tasks = Tasks()
    with caplog.at_level(logging.ERROR, "vmpod.tasks"):
        await asyncio.wait([tasks.start(fail(), "failing")])
        await asyncio.sleep(0)
    assert "task failing failed" in caplog.text
