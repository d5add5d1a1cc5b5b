"""File systems that the guest agent holds still. They are let go again by themselves: no guest stays frozen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.model import duration

DEFAULT_S = 300.0
_AGENT_S = 30.0
_AGAIN_S = 5.0
_DECLINED = ("Refused", "NoAgent")

Ask = Callable[[str, float], Awaitable[object]]


def timeout_s(text: str) -> float:
    """Seconds of Go's way to write a duration, such as 5m0s; five minutes when it says nothing."""
    try:
        return duration.seconds(text) or DEFAULT_S
    except ValueError:
        return DEFAULT_S


class Freezer:
    """Freezes and thaws one guest. When it is to be thawed stands in `file`, so that the next engine does it too."""

    def __init__(self, file: Path, ask: Ask, tell: Callable[[bool], None]) -> None:
        self._file = file
        self._ask = ask
        self._tell = tell
        self._news = asyncio.Event()

    @property
    def is_held(self) -> bool:
        return self._file.exists()

    async def freeze(self, seconds: float) -> None:
        """Hold the file systems still for so long at most. Raises Problem, and holds nothing then."""
        self._file.write_text(str(time.time() + seconds))  # first: a guest is never frozen without an end
        try:
            await self._ask("guest-fsfreeze-freeze", _AGENT_S)
        except Problem as problem:
            if problem.reason in _DECLINED:
                self._file.unlink(missing_ok=True)
            else:
                self.release()  # it may have frozen all the same
            raise
        self._tell(True)
        self._news.set()

    async def thaw(self) -> None:
        """Let them go; nothing happens to those that are not held. Raises Problem."""
        await self._ask("guest-fsfreeze-thaw", _AGENT_S)
        self._file.unlink(missing_ok=True)
        self._tell(False)
        self._news.set()

    def release(self) -> None:
        """Let them go as soon as the agent obeys; `follow` sees to it."""
        if self.is_held:
            self._file.write_text(str(time.time()))
            self._news.set()

    async def follow(self) -> None:
        """Thaw when the time has come, again and again until the agent obeys."""
        while True:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), self._left_s())
                continue
            except TimeoutError:
                pass
            try:
                await self.thaw()
            except Problem:
                await asyncio.sleep(_AGAIN_S)

    def _left_s(self) -> float | None:
        try:
            return max(0.0, float(self._file.read_text()) - time.time())
        except (OSError, ValueError):
            return 0.0 if self._file.exists() else None
