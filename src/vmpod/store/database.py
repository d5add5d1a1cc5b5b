"""The store as the API sees it: reads from committed memory, writes through the one writer thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vmpod.store import compact, log, reads
from vmpod.store.compact import Retention
from vmpod.store.log import Appended, Log, Write
from vmpod.store.reads import Present
from vmpod.store.record import Event, Record
from vmpod.store.watch import Hub, Subscription
from vmpod.store.writer import Answer, Writer

Records = list[Record]
Events = list[Event]


class Store:
    """All objects of one engine. Made by `open`; used from one event loop."""

    def __init__(self, log: Log, present: Present, resources: frozenset[str], retention: Retention) -> None:
        self.resources = resources
        self._present = present
        self._hub = Hub(log.revision, log.floor, self._past)
        self._writer = Writer(log, retention, self._committed)

    @classmethod
    def open(
        cls, path: Path | str, *, resources: Iterable[str] = (), retention: Retention | None = None
    ) -> Store:
        """Open or make the file. Objects of a resource not among `resources` are kept as well.

        Raises Problem when the file is in use, damaged, or of a newer vmpod.
        """
        connection = log.connect(Path(path))
        present = reads.load(connection)
        return cls(Log(connection), present, frozenset(resources), retention or Retention())

    async def close(self) -> None:
        """Finish the writes that were asked for, end all subscriptions, close the file."""
        self._hub.close()
        await self._writer.close()

    @property
    def revision(self) -> int:
        """The newest committed revision that watchers were told of."""
        return self._hub.revision

    def get(self, resource: str, namespace: str, name: str) -> Record | None:
        """The committed object, None when there is none."""
        return self._present.get(resource, namespace, name)

    def list(self, resource: str, namespace: str | None = None) -> tuple[Records, int]:
        """The committed objects, of one namespace or all, sorted by key, and the revision of the list."""
        return self._present.list(resource, namespace), self.revision

    async def create(self, resource: str, namespace: str, name: str, obj: dict[str, Any]) -> Record:
        """Store a new object. Raises Exists, or Problem when the disk refuses."""
        return await self._write(Write("create", resource, namespace, name, obj, 0))

    async def update(
        self, resource: str, namespace: str, name: str, obj: dict[str, Any], expect: int
    ) -> Record:
        """Replace the object that is at revision `expect`. Raises Conflict, Missing, or Problem."""
        return await self._write(Write("update", resource, namespace, name, obj, expect))

    async def delete(self, resource: str, namespace: str, name: str, expect: int) -> Record:
        """Remove the object that is at revision `expect`; its last state, at the revision of the deletion.

        Raises Conflict, Missing, or Problem.
        """
        return await self._write(Write("delete", resource, namespace, name, {}, expect))

    def watch(self, resource: str, namespace: str | None = None, since: int = 0) -> Subscription:
        """Follow what happens after revision `since`. Raises Compacted, here or while iterating."""
        return self._hub.subscribe(resource, namespace or "", since)

    async def compact(self, keep: int = 0) -> int:
        """Forget all but the newest `keep` revisions; the oldest revision to resume from."""
        floor = self.revision - keep
        while await self._writer.call(lambda log: log.compact(floor, compact.CHUNK_ROWS)):
            pass
        self._hub.floor = max(self._hub.floor, floor)
        return self._hub.floor

    async def _write(self, write: Write) -> Record:
        return await self._writer.write(write)

    async def _past(self, resource: str, namespace: str, since: int, until: int) -> Events:
        return await self._writer.call(lambda log: log.events(resource, namespace, since, until))

    def _committed(self, answers: Sequence[Answer], floor: int) -> None:
        """A group is on the disk: show it, tell watchers, then answer the writers."""
        self._hub.floor = max(self._hub.floor, floor)
        for future, outcome in answers:
            if isinstance(outcome, Appended):
                self._show(outcome)
            if future.done():
                continue
            if isinstance(outcome, Appended):
                future.set_result(outcome.record)
            else:
                future.set_exception(outcome)

    def _show(self, written: Appended) -> None:
        record = written.record
        previous = self._present.get(record.resource, record.namespace, record.name)
        event = Event(written.type, record, previous, record.revision)
        self._present.take(event)
        self._hub.publish(event)
