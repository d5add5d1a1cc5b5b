"""Events: what happened to an object, for people. The same note again raises a count instead of a new Event.

Fields and counting as client-go's EventRecorder writes them (core/v1 Event; `kubectl describe` shows
"x3 over 5m" from count, firstTimestamp and lastTimestamp).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from vmpod.base import clock as clocks
from vmpod.base import log
from vmpod.base.clock import Clock, SystemClock
from vmpod.client.client import Client
from vmpod.kinds.event import EVENT
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError
from vmpod.reconcile.actions import Note

_log = log.get("events")
_REMEMBERED = 4096
_MESSAGE_LIMIT = 1024  # characters, as the API accepts
_QUIET_S = 10.0  # the same note within this time is counted, but written with a later one


@dataclass
class _Told:
    count: int
    first: datetime
    written: datetime


class Recorder:
    """Records notes as Events. Never raises: an Event that cannot be written is only logged."""

    def __init__(self, client: Client, component: str, host: str, clock: Clock | None = None) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock or SystemClock()
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()

    async def record(self, note: Note) -> None:
        """Write a note, or count it when it was written before."""
        key = (_namespace(note), _event_name(note))
        now = self._clock.now()
        told = self._told.get(key)
        try:
            if told is None:
                self._remember(key, await self._first(key, note, now))
                return
            told.count += 1
            if (now - told.written).total_seconds() >= _QUIET_S:
                told.written = now
                await self._count(key, told, now)
        except ApiError as error:
            self._told.pop(key, None)
            _log.debug("event %s of %s not recorded: %s", note.reason, meta.name(note.about), error)
        except Exception as error:
            _log.warning("event %s of %s not recorded: %s", note.reason, meta.name(note.about), error)

    def _remember(self, key: tuple[str, str], told: _Told) -> None:
        self._told[key] = told
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    async def _first(self, key: tuple[str, str], note: Note, now: datetime) -> _Told:
        """Create the Event, or go on counting the one that an earlier engine made of the same note."""
        try:
            await self._client.create(EVENT, self._event(key, note, now))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return await self._go_on(key, now)
        return _Told(1, now, now)

    async def _go_on(self, key: tuple[str, str], now: datetime) -> _Told:
        found = await self._client.get(EVENT, *key)
        first = found.get("firstTimestamp")
        told = _Told(int(found.get("count") or 1) + 1, clocks.parse(first) if first else now, now)
        await self._count(key, told, now)
        return told

    async def _count(self, key: tuple[str, str], told: _Told, now: datetime) -> None:
        patch = {"count": told.count, "lastTimestamp": clocks.rfc3339(now)}
        await self._client.patch(EVENT, *key, patch)

    def _event(self, key: tuple[str, str], note: Note, now: datetime) -> Object:
        stamp = clocks.rfc3339(now)
        return {
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"namespace": key[0], "name": key[1]},
            "involvedObject": _involved(note.about),
            "type": note.type, "reason": note.reason, "message": note.message[:_MESSAGE_LIMIT],
            "source": {"component": self._component, "host": self._host} if self._host
            else {"component": self._component},
            "firstTimestamp": stamp, "lastTimestamp": stamp, "count": 1, "eventTime": None,
            "reportingComponent": self._component, "reportingInstance": self._host,
        }  # fmt: skip


def _namespace(note: Note) -> str:
    return meta.namespace(note.about) or "default"


def _event_name(note: Note) -> str:
    """The object's name and a hash of the note, so that the same note has the same name after a restart."""
    said = "\0".join((meta.uid(note.about), note.type, note.reason, note.message))
    return f"{meta.name(note.about)[:230]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _involved(about: Object) -> Object:
    reference = {
        "apiVersion": about.get("apiVersion"), "kind": about.get("kind"), "namespace": meta.namespace(about),
        "name": meta.name(about), "uid": meta.uid(about), "resourceVersion": str(meta.revision(about) or ""),
    }  # fmt: skip
    return {key: value for key, value in reference.items() if value}
