"""The one thread that writes. It drains its queue into one transaction: many writers share one fsync."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from vmpod.base import log as logs
from vmpod.base.errors import Problem
from vmpod.store import compact
from vmpod.store.compact import Retention
from vmpod.store.log import Log, Outcome, Write
from vmpod.store.record import Record

_log = logs.get("store")
_T = TypeVar("_T")
_GROUP = 512  # writes in one transaction
_IDLE_S = 0.5  # without a write: time to checkpoint
_BOUND = 4_000  # writes after which a checkpoint cannot wait for idleness

Answer = tuple["asyncio.Future[Any]", Outcome]
Deliver = Callable[[Sequence[Answer], int], None]
_Job = tuple["asyncio.Future[Any]", Write | Callable[[Log], Any]]


class Writer:
    """Owns the log and its thread. `deliver` gets each committed group on the event loop, in order."""

    def __init__(self, log: Log, retention: Retention, deliver: Deliver) -> None:
        self._log = log
        self._retention = retention
        self._deliver = deliver
        self._compacted_at = log.revision
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._thread.start()

    async def write(self, write: Write) -> Record:
        """Store durably. Raises the Problem of the write."""
        record: Record = await self._submit(write)
        return record

    async def call(self, call: Callable[[Log], _T]) -> _T:
        """Make a call on the writer's thread, between transactions."""
        result: _T = await self._submit(call)
        return result

    def _submit(self, job: Write | Callable[[Log], Any]) -> asyncio.Future[Any]:
        if self._closed:
            raise Problem("use the store", "it is closed", "", "StoreClosed")
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put((future, job))
        return future

    async def close(self) -> None:
        """Commit what is queued, then end the thread and close the file."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going = True
        while going:
            jobs = self._take()
            going = None not in jobs
            self._work([job for job in jobs if job is not None])
            self._tidy(idle=not jobs)
        self._log.close()

    def _take(self) -> list[_Job | None]:
        """The queued jobs, after waiting for one; none when it is time to tidy up."""
        jobs: list[_Job | None] = []
        timeout_s = _IDLE_S if self._log.unchecked else None
        try:
            jobs.append(self._queue.get(timeout=timeout_s))
            while len(jobs) < _GROUP:
                jobs.append(self._queue.get_nowait())
        except Empty:
            pass
        return jobs

    def _work(self, jobs: list[_Job]) -> None:
        writes = [(future, job) for future, job in jobs if isinstance(job, Write)]
        if writes:
            outcomes = self._commit([write for _, write in writes])
            answers = [(future, outcome) for (future, _), outcome in zip(writes, outcomes, strict=True)]
            self._post(self._deliver, answers, self._log.floor)
        for future, job in jobs:
            if not isinstance(job, Write):
                self._call(future, job)

    def _commit(self, writes: list[Write]) -> list[Outcome]:
        try:
            return self._log.commit(writes)
        except Exception as error:  # the thread must live: later writes and reads depend on it
            _log.exception("commit failed")
            return [Problem(f"store {write.title}", str(error), "", "StoreUnusable") for write in writes]

    def _call(self, future: asyncio.Future[Any], call: Callable[[Log], Any]) -> None:
        try:
            result = call(self._log)
        except Exception as error:
            self._post(_fail, future, error)
        else:
            self._post(_succeed, future, result)

    def _tidy(self, *, idle: bool) -> None:
        if self._log.revision - self._compacted_at >= self._retention.every:
            self._compact()
        if idle or self._log.unchecked >= _BOUND:
            self._log.checkpoint()

    def _compact(self) -> None:
        """Forget one chunk; when more is left, the next turn goes on."""
        try:
            more = self._log.compact(self._log.retained(self._retention, time.time()), compact.CHUNK_ROWS)
        except Problem as problem:
            _log.warning("%s", problem)
            more = False
        if not more:
            self._compacted_at = self._log.revision
        self._post(self._deliver, [], self._log.floor)

    def _post(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            _log.debug("the event loop ended before an answer")


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
