"""Events end an hour after they were last seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vmpod.base.clock import parse
from vmpod.client.cache import Cache
from vmpod.controllers.children import delete
from vmpod.kinds import EVENT
from vmpod.model.meta import Object, get
from vmpod.reconcile.actions import Plan
from vmpod.reconcile.loop import Key, own

KIND = EVENT
WATCHES = (own(EVENT),)
_TTL_S = 3600.0  # kube-apiserver's --event-ttl


@dataclass(frozen=True)
class Seen:
    """An Event."""

    event: Object
    now: datetime


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    event = cache.get(EVENT, *key)
    return None if event is None else Seen(event, now)


def plan(seen: Seen) -> Plan:
    last = _last_seen(seen.event)
    left = _TTL_S - (seen.now - last).total_seconds() if last is not None else _TTL_S
    return Plan((delete(EVENT, seen.event),)) if left <= 0 else Plan(again_in=left)


def _last_seen(event: Object) -> datetime | None:
    texts = (get(event, "series", "lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"),
             get(event, "metadata", "creationTimestamp"))
    return max((parse(text) for text in texts if text), default=None)


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: Events have no status."""
    return None
