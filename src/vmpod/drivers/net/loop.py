"""The resolver's event loop: epoll and timers. asyncio alone would cost the process 9 MB."""

from __future__ import annotations

import heapq
import select
import sys
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Loop:
    """Callbacks by file descriptor and by time. A callback that fails is reported and forgotten, never fatal."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def watch(self, fd: int, ready: Callable[[int], None], events: int = READ) -> None:
        """Call `ready(events)` when the descriptor is; replaces an earlier callback of the same descriptor."""
        if fd in self._ready:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._ready[fd] = ready

    def forget(self, fd: int) -> None:
        """Call before closing a descriptor."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + delay_s, self._count, call))

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for fd, events in self._epoll.poll(self._patience()):
                ready = self._ready.get(fd)
                if ready is not None:
                    _guarded(lambda ready=ready, events=events: ready(events))  # type: ignore[misc]
            while self._timers and self._timers[0][0] <= time.monotonic():
                _guarded(heapq.heappop(self._timers)[2])

    def _patience(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        traceback.print_exc(file=sys.stderr)
