"""The loop, written once: queue → gather → plan → apply → status.

Rules it keeps for every controller: one worker per key; a plan made on an old view is thrown away; what was
written is read before the key is looked at again; status is written last and only if different; an unexpected
exception becomes an event and a pause, and other keys go on.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from vmpod.base import log
from vmpod.base.clock import Clock
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache, Change
from vmpod.client.client import Client
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError
from vmpod.reconcile import apply as shell
from vmpod.reconcile.actions import Note, Planned, Replace
from vmpod.reconcile.apply import Written
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.queue import Queue
from vmpod.reconcile.watches import Key, Watch, key_of, own, owned_by

__all__ = ["Apply", "Key", "Loop", "Watch", "Written", "key_of", "own", "owned_by"]

_log = log.get("loop")
S = TypeVar("S")
P = TypeVar("P", bound=Planned)
Apply = Callable[[Any], Awaitable[Written | None]]
Gather = Callable[[Key, Cache, datetime], "S | Awaitable[S | None] | None"]


class Loop(Generic[S, P]):
    """One controller at work. Every function it is given is the controller's own.

    `gather` may be a coroutine function where it has to ask the host. `apply` executes one action; without
    one, the actions are those of `reconcile.actions`. `status` (or None) gives the whole new `.status`.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        watches: Sequence[Watch],
        gather: Gather[S],
        plan: Callable[[S], P],
        status: Callable[[S, P], Object | None] | None,
        apply: Apply | None,
        cache: Cache,
        client: Client,
        events: Recorder,
        clock: Clock,
        workers: int = 4,
        resync_s: float = 600.0,
    ) -> None:
        self.name = name
        self.kind = kind
        self._watches = tuple(watches)
        self._gather = gather
        self._plan = plan
        self._status = status
        self._apply = apply or self._apply_object
        self._cache = cache
        self._client = client
        self._events = events
        self._clock = clock
        self._workers = workers
        self._resync_s = resync_s
        self._queue = Queue()
        self._tasks = Tasks()
        self._stopped = False
        self.turns = 0

    # life

    def start(self) -> None:
        """Look at everything there is, then at what changes. The cache must have been started."""
        for watch in self._watches:
            self._cache.observe(watch.kind, lambda change, watch=watch: self._noticed(watch, change))  # type: ignore[misc]
            for obj in self._cache.list(watch.kind):
                self._enqueue_all(watch.concerned(obj, self._cache))
        for number in range(self._workers):
            self._tasks.start(self._work(), f"{self.name} worker {number}")
        self._tasks.start(self._resync(), f"{self.name} resync")

    async def stop(self) -> None:
        """Stop the workers; a plan that is being applied is cut short, to be made anew by the next engine."""
        self._stopped = True
        self._queue.close()
        await self._tasks.stop()

    def enqueue(self, key: Key, after_s: float = 0.0) -> None:
        """Look at a key, now or in `after_s` seconds."""
        if not self._stopped:
            self._queue.add(key, after_s)

    @property
    def is_idle(self) -> bool:
        """Whether no key waits or is worked on (delayed ones do not count)."""
        return self._queue.is_idle

    def _enqueue_all(self, keys: set[Key]) -> None:
        for key in sorted(keys):
            self.enqueue(key)

    def _noticed(self, watch: Watch, change: Change) -> None:
        keys = watch.concerned(change.obj, self._cache)
        if change.previous is not None:
            keys |= watch.concerned(change.previous, self._cache)
        self._enqueue_all(keys)

    async def _resync(self) -> None:
        """Look at every key now and then, spread over time: the net below all missed causes."""
        while True:
            await asyncio.sleep(self._resync_s)
            for key in self._cache.keys(self.kind):
                self.enqueue(key, after_s=random.uniform(0, self._resync_s / 10))

    # work

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._attempt(key)
            finally:
                self._queue.done(key)

    async def _attempt(self, key: Key) -> None:
        started = self._clock.monotonic()
        try:
            said = await self._turn(key)
        except ApiError as error:
            said = await self._refused(key, error)
        except Exception as error:
            said = await self._failed(key, error)
        else:
            self._queue.forget_failures(key)
        self.turns += 1
        spent_ms = (self._clock.monotonic() - started) * 1000
        _log.debug("%s %s/%s ⇒ %s, %.1f ms", self.name, *key, said, spent_ms)

    async def _turn(self, key: Key) -> str:
        """Once through gather, plan, apply and status; what happened, in words."""
        before = self._cache.get(self.kind, *key)
        found = self._gather(key, self._cache, self._clock.now())
        seen = await found if inspect.isawaitable(found) else found
        if seen is None:
            return "nothing to see"
        plan = self._plan(seen)
        written: list[Written] = []
        try:
            await self._apply_all(plan, written)
            if before is not None:
                await self._write_status(key, before, seen, plan, written)
        except Exception:
            await self._read_own(written)
            raise
        await self._read_own(written)
        if plan.again_in is not None:
            self.enqueue(key, max(plan.again_in, 0.001))
        return _trace(before, plan, written)

    async def _apply_all(self, plan: P, written: list[Written]) -> None:
        for note in plan.events:
            await self._events.record(note)
        for action in plan.actions:
            done = await self._apply(action)
            if done is not None:
                written.append(done)

    async def _apply_object(self, action: Any) -> Written | None:
        return await shell.apply(self._client, action)

    async def _write_status(
        self, key: Key, before: Object, seen: S, plan: P, written: list[Written]
    ) -> None:
        """Write the new status onto the very revision that was gathered.

        When the plan changed the object itself, its status waits for the next turn, which that change causes.
        """
        status = self._status(seen, plan) if self._status is not None else None
        if status is None or status == (before.get("status") or {}):
            return
        if any(one.kind is self.kind and one.key == key and _moved(one, before) for one in written):
            self.enqueue(key)
            return
        action = Replace(self.kind, {**before, "status": status}, "status")
        done = await shell.apply(self._client, action)
        written += [done] if done is not None else []

    async def _read_own(self, written: Sequence[Written]) -> None:
        """Wait until the local view shows what was written, so that the next plan does not repeat it."""
        for one in written:
            if one.revision:
                await self._cache.reached(one.kind, one.revision)
            else:
                await self._cache.gone(one.kind, one.namespace, one.name, one.uid)

    # trouble

    async def _refused(self, key: Key, error: ApiError) -> str:
        """A conflict, or an object that is gone, only means that the view was old: plan anew."""
        if error.reason not in ("Conflict", "NotFound"):
            return await self._failed(key, error)
        pause_s = self._queue.add_after_failure(key)
        return f"{error.reason}: {error.message}, again in {pause_s:g} s"

    async def _failed(self, key: Key, error: Exception) -> str:
        pause_s = self._queue.add_after_failure(key)
        expected = isinstance(error, Problem)
        _log.warning("%s %s/%s failed: %s", self.name, *key, error, exc_info=None if expected else error)
        about = self._cache.get(self.kind, *key)
        if about is not None:
            await self._events.record(Note("Warning", "ReconcileError", f"{self.name}: {error}", about))
        return f"failed: {error}, again in {pause_s:g} s"


def _moved(one: Written, before: Object) -> bool:
    return one.revision != meta.revision(before)


def _trace(before: Object | None, plan: Planned, written: Sequence[Written]) -> str:
    revision = meta.revision(before) if before is not None else 0
    names = " ".join(type(action).__name__ for action in plan.actions) or "nothing"
    return f"rev {revision}: {names}, {len(written)} written, again in {plan.again_in}"
