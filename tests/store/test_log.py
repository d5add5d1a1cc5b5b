"""Appending: what a write does, which writes are refused, and that a refusal loses nothing."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest

from vmpod.base.errors import Problem
from vmpod.store import Conflict, Exists, Missing, Record, Store
from vmpod.store.log import Appended, Log, Write, connect

CM = "configmaps"


def _parts(record: Record | None) -> dict[str, Any]:
    assert record is not None
    obj: dict[str, Any] = orjson.loads(record.value)
    return obj


async def test_the_value_carries_its_own_revision(store: Store, made: Any) -> None:
    record = await store.create(CM, "default", "a", made("a", app="x"))
    assert record.revision == 1 == store.revision
    assert _parts(record)["metadata"]["resourceVersion"] == "1"
    assert (record.labels, record.uid) == ({"app": "x"}, "uid-a")
    assert store.get(CM, "default", "a") is record


async def test_the_callers_object_is_not_changed(store: Store, made: Any) -> None:
    obj = made("a")
    await store.create(CM, "default", "a", obj)
    assert obj == made("a")


async def test_update_moves_the_revision(store: Store, made: Any) -> None:
    first = await store.create(CM, "default", "a", made("a"))
    second = await store.update(CM, "default", "a", made("a", text="new"), first.revision)
    assert second.revision == 2
    assert _parts(store.get(CM, "default", "a"))["data"] == {"text": "new"}


async def test_delete_answers_the_last_state_at_its_own_revision(store: Store, made: Any) -> None:
    first = await store.create(CM, "default", "a", made("a", text="last"))
    gone = await store.delete(CM, "default", "a", first.revision)
    assert (gone.revision, _parts(gone)["metadata"]["resourceVersion"]) == (2, "2")
    assert _parts(gone)["data"] == {"text": "last"}
    assert store.get(CM, "default", "a") is None
    assert store.list(CM) == ([], 2)


async def test_a_name_can_be_taken_again_after_deletion(store: Store, made: Any) -> None:
    for turn in range(3):
        record = await store.create(CM, "default", "a", made("a"))
        await store.delete(CM, "default", "a", record.revision)
        assert store.revision == 2 * turn + 2


async def test_wrong_expectations_are_refused(store: Store, made: Any) -> None:
    await store.create(CM, "default", "a", made("a"))
    with pytest.raises(Exists):
        await store.create(CM, "default", "a", made("a"))
    with pytest.raises(Conflict, match="at revision 1, not 7"):
        await store.update(CM, "default", "a", made("a"), 7)
    with pytest.raises(Conflict):
        await store.delete(CM, "default", "a", 7)
    with pytest.raises(Missing):
        await store.update(CM, "default", "b", made("b"), 1)
    with pytest.raises(Missing):
        await store.delete(CM, "default", "b", 1)
    assert store.revision == 1


async def test_what_is_no_json_is_refused_alone(store: Store, made: Any) -> None:
    bad = made("bad") | {"data": {1, 2}}
    outcomes = await asyncio.gather(
        store.create(CM, "default", "a", made("a")),
        store.create(CM, "default", "bad", bad),
        store.create(CM, "default", "b", made("b")),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], Problem)
    assert [record.name for record in store.list(CM)[0]] == ["a", "b"]


async def test_of_concurrent_updates_one_wins(store: Store, made: Any) -> None:
    first = await store.create(CM, "default", "a", made("a"))
    outcomes = await asyncio.gather(
        *(store.update(CM, "default", "a", made("a", text=str(n)), first.revision) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Record) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19


async def test_a_cancelled_writer_does_not_undo_the_write(store: Store, made: Any) -> None:
    task = asyncio.create_task(store.create(CM, "default", "a", made("a")))
    await asyncio.sleep(0)
    task.cancel()
    await store.create(CM, "default", "b", made("b"))
    assert store.get(CM, "default", "a") is not None


async def test_a_closed_store_refuses(path: Path, made: Any) -> None:
    store = Store.open(path)
    pending = asyncio.create_task(store.create(CM, "default", "a", made("a")))
    await asyncio.sleep(0)
    await store.close()
    assert (await pending).revision == 1, "what was asked for before is done"
    with pytest.raises(Problem, match="cannot use the store: it is closed"):
        await store.create(CM, "default", "b", made("b"))


async def test_objects_cost_little_more_than_their_text(store: Store, made: Any) -> None:
    """orjson leaves spare room behind its output; kept as it is, the store would hold five times as much."""
    tracemalloc.start()
    try:
        for number in range(100):
            await store.create(CM, "d", f"n{number}", made(f"n{number}", "d", text="x" * 2000))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * sum(len(record.value) for record in store.list(CM)[0])


def _write(name: str, text: str) -> Write:
    return Write("create", CM, "d", name, {"metadata": {"name": name}, "data": text}, 0)


def test_a_full_disk_rejects_the_write_and_loses_nothing(path: Path) -> None:
    connection = connect(path)
    log = Log(connection)
    log.commit([_write("first", "x" * 1000)])
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    small, large, other = log.commit([_write("small", "s"), _write("large", "x" * 100_000), _write("other", "o")])
    assert isinstance(small, Appended) and isinstance(other, Appended)
    assert isinstance(large, Problem) and large.reason == "DiskFull" and large.fix
    assert (small.record.revision, other.record.revision) == (2, 3)
    log.close()
    again = connect(path)
    names = [name for (name,) in again.execute("SELECT name FROM current ORDER BY revision")]
    assert names == ["first", "small", "other"]
    again.close()
