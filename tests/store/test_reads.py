"""The present in memory is the present of the file, in order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.store import Event, Record, Store

CM = "configmaps"


async def test_lists_are_sorted_by_namespace_and_name(store: Store, made: Any) -> None:
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "b"), ("a-b", "a"), ("", "cluster")):
        await store.create(CM, namespace, name, made(name, namespace))
    everything, revision = store.list(CM)
    assert [record.key for record in everything] == sorted(record.key for record in everything)
    assert revision == 5
    assert [record.name for record in store.list(CM, "a")[0]] == ["b", "z"]
    assert [record.name for record in store.list(CM, "a-b")[0]] == ["a"]
    assert store.list(CM, "nowhere") == ([], 5)
    assert store.list("pods") == ([], 5)


async def test_the_file_remembers_across_openings(path: Path, made: Any) -> None:
    store = Store.open(path)
    record = await store.create(CM, "d", "a", made("a", "d", app="x"))
    await store.create("pods", "d", "p", made("p", "d"))
    last = await store.delete("pods", "d", "p", 2)
    await store.close()
    again = Store.open(path)
    assert again.get(CM, "d", "a") == record
    assert again.get("pods", "d", "p") is None
    assert again.revision == last.revision == 3
    assert (await again.create(CM, "d", "b", made("b", "d"))).revision == 4
    await again.close()


_NAMES = st.sampled_from("abcde")
_STEP = st.tuples(st.sampled_from(["create", "update", "delete"]), _NAMES, st.integers(0, 99))


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(_STEP, max_size=40), seen=st.integers(0, 40))
def test_memory_file_and_watch_tell_the_same(steps: list[tuple[str, str, int]], seen: int) -> None:
    asyncio.run(_compare(steps, seen))


async def _compare(steps: list[tuple[str, str, int]], seen: int) -> None:
    """Any writes: a dict, the store, the store opened again, and a replay of its log end in the same state."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "s.db")
        live = store.watch(CM, since=0)
        model: dict[str, int] = {}
        for verb, name, number in steps:
            await _step(store, model, verb, name, number)
        told = live.drain()
        assert _numbers(store) == model == _replay({}, told)
        await store.close()
        store = Store.open(Path(folder) / "s.db")
        assert _numbers(store) == model
        since = min(seen, store.revision)
        past = store.watch(CM, since=since)
        rest = [await past.next() for _ in range(store.revision - since)]
        assert [event and (event.type, event.revision, event.record, event.previous) for event in rest] == [
            (event.type, event.revision, event.record, event.previous) for event in told[since:]
        ]
        await store.close()


async def _step(store: Store, model: dict[str, int], verb: str, name: str, number: int) -> None:
    obj = {"metadata": {"name": name}, "n": number}
    current = store.get(CM, "d", name)
    if verb == "create" and current is None:
        await store.create(CM, "d", name, obj)
        model[name] = number
    elif verb == "update" and current is not None:
        await store.update(CM, "d", name, obj, current.revision)
        model[name] = number
    elif verb == "delete" and current is not None:
        await store.delete(CM, "d", name, current.revision)
        del model[name]


def _number(record: Record) -> int:
    number: int = orjson.loads(record.value)["n"]
    return number


def _numbers(store: Store) -> dict[str, int]:
    return {record.name: _number(record) for record in store.list(CM)[0]}


def _replay(state: dict[str, int], events: list[Event]) -> dict[str, int]:
    for event in events:
        if event.type == "DELETED":
            del state[event.record.name]
        else:
            state[event.record.name] = _number(event.record)
    return state
