"""Digests of content that is still coming."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor


class Beside:
    """A digest that is computed in a thread of its own while the next block comes; at most one block waits."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self._digest = hashlib.new(algorithm)
        self._worker = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def update(self, block: bytes) -> None:
        self._wait()
        self._last = self._worker.submit(self._digest.update, block)

    def hexdigest(self) -> str:
        """Of all blocks so far."""
        self._wait()
        return self._digest.hexdigest()

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()
