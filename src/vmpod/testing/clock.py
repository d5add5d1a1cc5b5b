"""Virtual time: an event loop that jumps to the next timer instead of waiting, and the clock that goes with it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_T = TypeVar("_T")
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class _Jumping(selectors.SelectSelector):
    """Instead of waiting for a timer, moves time to it. A wait without a timer would never end: it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits for something that will not happen")
        self.passed_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is virtual. For code without threads, sockets and subprocesses."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed_s


class VirtualClock:
    """The clock of the running virtual loop: starts at EPOCH."""

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run in virtual time; an hour of sleeping takes no time. Raises AssertionError when a task is left over."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_alone(work))


async def _alone(work: Coroutine[Any, Any, _T]) -> _T:
    from vmpod.testing.leaks import assert_no_tasks

    result = await work
    await assert_no_tasks()
    return result
