"""Forgetting the past: how much, and what must stay."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from vmpod.store import Compacted, Retention, Store
from vmpod.store.compact import floor
from vmpod.store.log import Log, Write, connect

CM = "configmaps"


def _rows(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        rows = [int(row[0]) for row in connection.execute("SELECT revision FROM history ORDER BY revision")]
    connection.close()
    return rows


async def test_what_a_kept_row_follows_stays(path: Path, made: Any) -> None:
    store = Store.open(path)
    await store.create(CM, "d", "a", made("a", "d", text="1"))
    for revision in range(1, 5):
        await store.update(CM, "d", "a", made("a", "d", text=str(revision + 1)), revision)
    await store.compact(keep=1)
    event = await anext(store.watch(CM, since=4))
    assert event.previous is not None and event.previous.revision == 4
    await store.close()
    assert _rows(path) == [4, 5]


async def test_the_present_survives_the_loss_of_its_history(path: Path, made: Any) -> None:
    store = Store.open(path)
    record = await store.create(CM, "d", "a", made("a", "d"))
    doomed = await store.create(CM, "d", "b", made("b", "d"))
    await store.delete(CM, "d", "b", doomed.revision)
    await store.compact()
    await store.close()
    assert _rows(path) == []
    store = Store.open(path)
    assert store.revision == 3, "numbers are never given twice"
    assert store.get(CM, "d", "a") == record
    with pytest.raises(Compacted):
        store.watch(CM, since=2)
    assert (await store.create(CM, "d", "b", made("b", "d"))).revision == 4
    assert (await store.update(CM, "d", "a", made("a", "d"), 1)).revision == 5
    await store.close()


async def test_it_happens_by_itself(path: Path, made: Any) -> None:
    store = Store.open(path, retention=Retention(keep=10, age_s=0, most=1000, every=50))
    for number in range(60):
        await store.create(CM, "d", f"n{number}", made(f"n{number}", "d"))
    async with asyncio.timeout(60):
        while True:
            try:
                store.watch(CM, since=5).close()
            except Compacted:
                break
            await asyncio.sleep(0.05)
    store.watch(CM, since=store.revision - 5).close()
    await store.close()
    assert len(_rows(path)) < 60


@pytest.mark.parametrize(
    ("retention", "age_s", "expected"),
    [
        (Retention(keep=3, age_s=100), 0, 0),
        (Retention(keep=3, age_s=100), 200, 7),
        (Retention(keep=30, age_s=100), 200, 0),
        (Retention(keep=3, age_s=100, most=8), 0, 2),
    ],
)
def test_retention(path: Path, retention: Retention, age_s: float, expected: int) -> None:
    connection = connect(path)
    log = Log(connection)
    log.commit([Write("create", CM, "d", f"n{number}", {}, 0) for number in range(10)])
    (made_at,) = connection.execute("SELECT max(made) FROM history").fetchone()
    assert floor(connection, retention, log.revision, made_at + age_s) == expected
    log.close()
