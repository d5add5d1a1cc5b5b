"""The queue of a loop: each key at most once, never two workers on one key, delays and back-off per key."""

from __future__ import annotations

import asyncio
from collections import deque

Key = tuple[str, str]

_FIRST_S = 0.05
_LONGEST_S = 60.0


class Queue:
    """Keys that want attention. One that is asked for while a worker has it comes again when that one is done."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()  # in `_ready`
        self._busy: set[Key] = set()
        self._again: set[Key] = set()  # busy, and asked for meanwhile
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: Key, after_s: float = 0.0) -> None:
        """Ask for attention now or in `after_s` seconds; of several future times the earliest counts."""
        if after_s > 0:
            self._add_later(key, after_s)
        elif key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def _add_later(self, key: Key, after_s: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + after_s
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def add_after_failure(self, key: Key) -> float:
        """Ask for attention after a pause that doubles with each failure in a row; the pause in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause_s = min(_FIRST_S * float(1 << min(failures, 20)), _LONGEST_S)
        self.add(key, pause_s)
        return pause_s

    def forget_failures(self, key: Key) -> None:
        self._failures.pop(key, None)

    async def take(self) -> Key:
        """The next key; its worker must call `done`."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: Key) -> None:
        """The worker is through with the key."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked for now (delayed keys do not count)."""
        return not (self._ready or self._busy or self._again)

    def close(self) -> None:
        """Forget what is delayed."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
