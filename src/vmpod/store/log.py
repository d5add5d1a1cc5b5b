"""The append-only log on SQLite: one write is one row, and the row's number is the revision.

Everything here runs on the writer's thread only. A transaction holds many writes; each fails or succeeds by
itself, and none is acknowledged before the commit is on the disk (WAL, `synchronous=FULL`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from vmpod.base.errors import Problem
from vmpod.store import compact, migrate, reads
from vmpod.store.record import Conflict, Event, EventType, Exists, Missing, Record
from vmpod.store.reserve import Reserve

_PRAGMAS = (
    "PRAGMA locking_mode=EXCLUSIVE",  # one engine per home; spares the shared-memory file
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=0",  # ours: when idle (`checkpoint`)
    "PRAGMA journal_size_limit=16777216",
    "PRAGMA cache_size=-2048",  # KiB; the present is in memory, SQLite reads little
    "PRAGMA temp_store=MEMORY",
)
PATIENCE_S = 2.0  # for another process that still has the file
_TYPES: dict[str, EventType] = {"create": "ADDED", "update": "MODIFIED", "delete": "DELETED"}


@dataclass(frozen=True, slots=True)
class Write:
    """What a caller wants stored. `expect` is the revision it thinks current (not for a creation)."""

    verb: Literal["create", "update", "delete"]
    resource: str
    namespace: str
    name: str
    obj: dict[str, Any]
    expect: int

    @property
    def key(self) -> tuple[str, str, str]:
        return self.resource, self.namespace, self.name

    @property
    def title(self) -> str:
        return f"{self.verb} {self.resource} {self.namespace + '/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Appended:
    """A committed write."""

    type: EventType
    record: Record


Outcome = Appended | Problem


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, making or migrating it. Raises Problem when it cannot be used."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE_S)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        migrate.migrate(connection)
        connection.execute("BEGIN IMMEDIATE")  # take the exclusive lock now, not with the first write
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise Problem(f"open the store {path}", str(error), "vmpod doctor", "StoreUnusable") from error
    return connection


class Log:
    """The log of one file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.revision = reads.position(connection)
        self.floor = reads.floor(connection)
        self.unchecked = 0  # writes since the last checkpoint
        database = connection.execute("PRAGMA database_list").fetchone()[2]  # none for one in memory
        self._reserve = Reserve(Path(f"{database}-wal")) if database else None
        self._hold()

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Append all in one transaction, durable on return; the outcomes are in the order of the writes.

        When the disk is full, the log is moved into the file, which may have room inside, and all is tried again. When
        SQLite still refuses, each write is tried alone, so that one cannot fail the others.
        """
        before = self.revision
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._append(write) for write in writes]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.revision = before
            self._roll_back()
            if _is_full(error) and self.unchecked:
                self.checkpoint()
                return self.commit(writes)
            if len(writes) > 1:
                return [outcome for write in writes for outcome in self.commit([write])]
            return [_refused(writes[0], error)]
        self.unchecked += len(writes)
        self._hold()
        return outcomes

    def _hold(self) -> None:
        if self._reserve:
            self._reserve.hold()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite itself rolled back after some errors
            self._connection.execute("ROLLBACK")

    def _append(self, write: Write) -> Outcome:
        try:
            current = self._current(write)
            value = self._value(write)
        except (Problem, TypeError, ValueError) as error:
            return error if isinstance(error, Problem) else Problem(write.title, f"not JSON: {error}")
        self.revision += 1
        type_ = _TYPES[write.verb]
        previous = current or self._last(write)
        self._connection.execute(
            "INSERT INTO history (revision, previous, resource, namespace, name, type, made, value)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (self.revision, previous, *write.key, type_, time.time(), value.value),
        )
        self._keep(write, value)
        return Appended(type_, value)

    def _current(self, write: Write) -> int:
        """The current revision of the name (0: none) if it is what the writer expects."""
        row = self._connection.execute(
            "SELECT revision FROM current WHERE resource=? AND namespace=? AND name=?", write.key
        ).fetchone()
        if write.verb == "create":
            if row:
                raise Exists(write.title, "the name is taken")
            return 0
        if not row:
            raise Missing(write.title, "there is no such object")
        if row[0] != write.expect:
            raise Conflict(write.title, f"it is at revision {row[0]}, not {write.expect}")
        return int(row[0])

    def _last(self, write: Write) -> int:
        """The deletion that a creation follows, 0 when it is the first or compacted."""
        row = self._connection.execute(
            "SELECT revision FROM history WHERE resource=? AND namespace=? AND name=?"
            " ORDER BY previous DESC LIMIT 1",
            write.key,
        ).fetchone()
        return int(row[0]) if row else 0

    def _value(self, write: Write) -> Record:
        """The object with the revision that the next row will have."""
        obj = write.obj if write.verb != "delete" else self._stored(write)
        revision = self.revision + 1
        metadata = {**(obj.get("metadata") or {}), "resourceVersion": str(revision)}
        text = _exact(orjson.dumps({**obj, "metadata": metadata}))
        return Record(*write.key, revision, text, reads.labels_of(metadata), reads.uid_of(metadata))

    def _stored(self, write: Write) -> dict[str, Any]:
        (text,) = self._connection.execute(
            "SELECT value FROM current WHERE resource=? AND namespace=? AND name=?", write.key
        ).fetchone()
        obj: dict[str, Any] = orjson.loads(text)
        return obj

    def _keep(self, write: Write, record: Record) -> None:
        if write.verb == "delete":
            self._connection.execute(
                "DELETE FROM current WHERE resource=? AND namespace=? AND name=?", write.key
            )
            return
        self._connection.execute(
            "INSERT OR REPLACE INTO current (resource, namespace, name, revision, uid, labels, value)"
            " VALUES (?,?,?,?,?,?,?)",
            (*write.key, record.revision, record.uid, orjson.dumps(record.labels).decode(), record.value),
        )

    def events(self, resource: str, namespace: str, since: int, until: int) -> list[Event]:
        """What happened after `since` up to `until`; empty when it is compacted (see `floor`)."""
        return reads.events(self._connection, resource, namespace, since, until)

    def retained(self, retention: compact.Retention, now: float) -> int:
        """The floor that `retention` asks for at `now` (seconds since 1970)."""
        return max(self.floor, compact.floor(self._connection, retention, self.revision, now))

    def compact(self, floor: int, most: int) -> bool:
        """Forget up to `most` rows that are not needed to resume from `floor`; True when more are left."""
        floor = min(floor, self.revision)
        try:
            more = compact.forget(self._connection, floor, most)
        except sqlite3.Error as error:
            self._roll_back()
            raise Problem("compact the store", str(error), "", "StoreUnusable") from error
        self.floor = max(self.floor, floor)
        self.unchecked += 1
        return more

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file; later when it is not possible now."""
        self.unchecked = 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error:
            return  # a full disk: nothing is lost, the log stays

    def close(self) -> None:
        self.checkpoint()
        if self._reserve:
            self._reserve.close()
        self._connection.close()


def _exact(text: bytes) -> bytes:
    """A copy without the spare room that orjson leaves behind its output: kept as it is, 2 KB hold 10."""
    return bytes(memoryview(text))


def _is_full(error: sqlite3.Error) -> bool:
    return "full" in str(error)


def _refused(write: Write, error: sqlite3.Error) -> Problem:
    full = _is_full(error)
    fix = "free space on the disk of VMPOD_HOME" if full else "vmpod doctor"
    return Problem(f"store {write.title}", str(error), fix, "DiskFull" if full else "StoreUnusable")
