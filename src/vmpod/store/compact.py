"""Forgetting: how much of the past is kept, so that watches can resume without the file growing for ever."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

CHUNK_ROWS = 2000  # forgotten in one transaction: about 20 ms


@dataclass(frozen=True)
class Retention:
    """What stays: the newest `keep` revisions and all younger than `age_s` seconds, at most `most`."""

    keep: int = 2_000
    age_s: float = 600.0
    most: int = 50_000
    every: int = 1_000  # look again after so many writes


def floor(connection: sqlite3.Connection, retention: Retention, revision: int, now: float) -> int:
    """The revision from which watches will still be able to resume."""
    row = connection.execute(
        "SELECT max(revision) FROM history WHERE revision <= ? AND made < ?",
        (revision - retention.keep, now - retention.age_s),
    ).fetchone()
    return max(int(row[0] or 0), revision - retention.most)


def forget(connection: sqlite3.Connection, floor: int, most: int) -> bool:
    """Drop up to `most` rows up to `floor`; True when more are left.

    A row that a kept one follows stays: the watcher of a selector must be told what an object was before.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE compacted SET revision = max(revision, ?)", (floor,))
    gone = connection.execute(
        "DELETE FROM history WHERE revision IN (SELECT revision FROM history WHERE revision <= ?"
        " AND revision NOT IN (SELECT previous FROM history WHERE revision > ?) LIMIT ?)",
        (floor, floor, most),
    ).rowcount
    connection.execute("COMMIT")
    return gone >= most
