"""The committed present, in memory: bytes and a few indexed fields, sorted by namespace and name."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Any

import orjson

from vmpod.store.record import Event, EventType, Record


class Present:
    """What exists now. Only the event loop's thread touches it, after each commit."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}

    def get(self, resource: str, namespace: str, name: str) -> Record | None:
        table = self._tables.get(resource)
        return table.records.get((namespace, name)) if table else None

    def list(self, resource: str, namespace: str | None) -> list[Record]:
        table = self._tables.get(resource)
        return table.select(namespace) if table else []

    def put(self, record: Record) -> None:
        self._tables.setdefault(record.resource, _Table()).put(record)

    def take(self, event: Event) -> None:
        """Follow one committed write."""
        if event.type == "DELETED":
            self._tables[event.record.resource].remove(event.record.key)
        else:
            self.put(event.record)


class _Table:
    """The records of one resource and their keys in order."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self._keys: list[tuple[str, str]] = []

    def put(self, record: Record) -> None:
        if record.key not in self.records:
            insort(self._keys, record.key)
        self.records[record.key] = record

    def remove(self, key: tuple[str, str]) -> None:
        del self.records[key]
        del self._keys[bisect_left(self._keys, key)]

    def select(self, namespace: str | None) -> list[Record]:
        if not namespace:
            return [self.records[key] for key in self._keys]
        low = bisect_left(self._keys, (namespace, ""))
        high = bisect_left(self._keys, (namespace + "\0", ""))
        return [self.records[key] for key in self._keys[low:high]]


def load(connection: sqlite3.Connection) -> Present:
    """Read the present of the file."""
    present = Present()
    rows = connection.execute(
        "SELECT resource, namespace, name, revision, value, labels, uid FROM current"
        " ORDER BY resource, namespace, name"
    )
    for resource, namespace, name, revision, value, labels, uid in rows:
        present.put(Record(resource, namespace, name, revision, value, orjson.loads(labels), uid))
    return present


def position(connection: sqlite3.Connection) -> int:
    """The newest revision ever given, also when its row is compacted."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'history'").fetchone()
    return int(row[0]) if row else 0


def floor(connection: sqlite3.Connection) -> int:
    """The oldest revision that a watch can resume from."""
    return int(connection.execute("SELECT revision FROM compacted").fetchone()[0])


def events(
    connection: sqlite3.Connection, resource: str, namespace: str, since: int, until: int
) -> list[Event]:
    """The writes after `since`, up to and with `until`, out of the history table, oldest first."""
    query = (
        "SELECT h.type, h.resource, h.namespace, h.name, h.revision, h.value, p.type, p.revision, p.value"
        " FROM history h LEFT JOIN history p ON p.revision = h.previous"
        " WHERE h.revision > ? AND h.revision <= ? AND h.resource = ?"
    )
    parameters: list[Any] = [since, until, resource]
    if namespace:
        query += " AND h.namespace = ?"
        parameters.append(namespace)
    return [_event(row) for row in connection.execute(query + " ORDER BY h.revision", parameters)]


def _event(row: tuple[Any, ...]) -> Event:
    type_, resource, namespace, name, revision, value, old_type, old_revision, old_value = row
    kind: EventType = type_
    previous = None
    if old_value is not None and old_type != "DELETED":
        previous = decode(resource, namespace, name, old_revision, old_value)
    return Event(kind, decode(resource, namespace, name, revision, value), previous, revision)


def decode(resource: str, namespace: str, name: str, revision: int, value: bytes) -> Record:
    """A record out of its JSON text."""
    metadata = orjson.loads(value).get("metadata") or {}
    return Record(resource, namespace, name, revision, value, labels_of(metadata), uid_of(metadata))


def labels_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    return metadata.get("labels") or {}


def uid_of(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("uid") or "")
