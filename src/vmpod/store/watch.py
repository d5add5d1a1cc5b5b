"""Telling watchers of committed writes in revision order; they may resume from an earlier revision."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

from vmpod.store.record import Compacted, Event

TAIL_EVENTS = 1024  # kept in memory for watches that resume
TAIL_BYTES = 4 << 20
BEHIND_EVENTS = 10_000  # a watcher that is further behind is dropped

History = Callable[[str, str, int, int], Awaitable[list[Event]]]


class Hub:
    """All subscriptions and the newest events. Lives on the event loop's thread."""

    def __init__(self, revision: int, floor: int, history: History) -> None:
        self.revision = revision
        self.floor = floor
        self._history = history
        self._tail: deque[Event] = deque()
        self._tail_bytes = 0
        self._tail_since = revision  # all events after it are in the tail
        self._subscriptions: dict[str, dict[Subscription, None]] = {}

    def publish(self, event: Event) -> None:
        """Tell of one committed write."""
        self.revision = event.revision
        self._remember(event)
        for subscription in list(self._subscriptions.get(event.record.resource, ())):
            if subscription.wants(event):
                subscription.push(event)

    def _remember(self, event: Event) -> None:
        self._tail.append(event)
        self._tail_bytes += len(event.record.value)
        while len(self._tail) > TAIL_EVENTS or self._tail_bytes > TAIL_BYTES:
            oldest = self._tail.popleft()
            self._tail_bytes -= len(oldest.record.value)
            self._tail_since = oldest.revision

    def subscribe(self, resource: str, namespace: str, since: int) -> Subscription:
        """Follow a resource after `since`. Raises Compacted."""
        self.check(since)
        subscription = Subscription(self, resource, namespace, since)
        self._subscriptions.setdefault(resource, {})[subscription] = None
        if since >= self._tail_since:
            for event in self._tail:
                if event.revision > since and subscription.wants(event):
                    subscription.push(event)
        else:
            subscription.owe(self.revision)
        return subscription

    def check(self, since: int) -> None:
        """Raise Compacted when nothing can resume from `since`, be it too old or not of this store."""
        if since < self.floor:
            why = f"the oldest revision to resume from is {self.floor}"
        elif since > self.revision:
            why = f"the newest revision is {self.revision}"
        else:
            return
        raise Compacted(f"watch from revision {since}", why, "list again", "Expired")

    async def past(self, subscription: Subscription, since: int, until: int) -> list[Event]:
        """The writes of a subscription out of the history table. Raises Compacted."""
        events = await self._history(subscription.resource, subscription.namespace, since, until)
        self.check(since)  # it may have been compacted before the table was read
        return events

    def leave(self, subscription: Subscription) -> None:
        self._subscriptions.get(subscription.resource, {}).pop(subscription, None)

    def close(self) -> None:
        """End all subscriptions."""
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()


class Subscription:
    """The events of one resource, as an async iterator that ends when it is closed."""

    def __init__(self, hub: Hub, resource: str, namespace: str, since: int) -> None:
        self.resource = resource
        self.namespace = namespace
        self.closed = False
        self._hub = hub
        self._seen = since
        self._owed_until: int | None = None
        self._queue: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._dropped: Compacted | None = None

    @property
    def position(self) -> int:
        """The revision up to which everything was handed out: what a bookmark may say."""
        if self._queue or self._owed_until is not None or self.closed:
            return self._seen
        return max(self._seen, self._hub.revision)

    def wants(self, event: Event) -> bool:
        record = event.record
        return record.resource == self.resource and self.namespace in ("", record.namespace)

    def owe(self, until: int) -> None:
        """The events up to `until` have to be read from the table first."""
        self._owed_until = until

    def push(self, event: Event) -> None:
        if len(self._queue) >= BEHIND_EVENTS:
            self._dropped = Compacted("go on watching", "the watcher is too slow", "list again", "Expired")
            self._queue.clear()
            self.close()
            return
        self._queue.append(event)
        self._ready.set()

    async def next(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None after `timeout_s` seconds without one, or when closed. Raises Compacted."""
        if self._owed_until is not None:
            await self._pay(self._owed_until)
        if not self._queue and not self.closed:
            self._ready.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._ready.wait()
            except TimeoutError:
                return None
        if self._dropped is not None:
            raise self._dropped
        return self._take() if self._queue else None

    async def _pay(self, until: int) -> None:
        events = await self._hub.past(self, self._seen, until)
        self._queue.extendleft(reversed(events))
        self._owed_until = None

    def _take(self) -> Event:
        event = self._queue.popleft()
        self._seen = event.revision
        return event

    def drain(self) -> list[Event]:
        """What is at hand without waiting; after `next`, so that many events can be sent at once."""
        if self._owed_until is not None or self._dropped is not None:
            return []
        return [self._take() for _ in range(len(self._queue))]

    def close(self) -> None:
        """Stop; who waits for the next event gets none."""
        self.closed = True
        self._hub.leave(self)
        self._ready.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event
