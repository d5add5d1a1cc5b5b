"""Snapshots that let a list be read in pages, all of one revision.

A snapshot holds references to immutable records, so it costs little beyond what changed since.
"""

from __future__ import annotations

import base64
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from vmpod.model import status
from vmpod.store import Record

_KEEP = 32
_KEEP_S = 300.0


@dataclass(frozen=True)
class Token:
    """Where a page starts: in the snapshot of `revision`, at position `start` of a query."""

    revision: int
    start: int

    def encode(self) -> str:
        text = orjson.dumps({"v": "vmpod/v1", "rv": self.revision, "start": self.start})
        return base64.urlsafe_b64encode(text).decode()

    @classmethod
    def decode(cls, text: str) -> Token:
        """Raises ApiError 400 for anything that `encode` did not make."""
        try:
            data = orjson.loads(base64.urlsafe_b64decode(text))
            return cls(int(data["rv"]), int(data["start"]))
        except (ValueError, KeyError, TypeError):
            raise status.bad_request("continue key is not valid: unknown format") from None


class Pages:
    """The snapshots of lists that are being read in pages, for five minutes each."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._held: OrderedDict[tuple[str, int], tuple[float, Sequence[Record]]] = OrderedDict()
        self._monotonic = monotonic

    def hold(self, query: str, revision: int, records: Sequence[Record]) -> None:
        """Keep what the query found at the revision."""
        self._held[query, revision] = (self._monotonic() + _KEEP_S, records)
        while len(self._held) > _KEEP:
            self._held.popitem(last=False)

    def find(self, query: str, revision: int) -> Sequence[Record]:
        """What was kept. Raises ApiError 410 when it no longer is."""
        until, records = self._held.get((query, revision), (0.0, ()))
        if until < self._monotonic():
            self._held.pop((query, revision), None)
            raise status.gone(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            )
        return records
