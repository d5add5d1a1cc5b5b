"""Watching: in order, after commit, from now or from before, and cut off cleanly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from vmpod.store import Compacted, Store, watch

CM = "configmaps"


async def _fill(store: Store, made: Any, count: int, namespace: str = "d") -> None:
    names = [f"n{number:04d}" for number in range(count)]
    await asyncio.gather(*(store.create(CM, namespace, name, made(name, namespace)) for name in names))


async def test_events_come_in_order_with_what_was_before(store: Store, made: Any) -> None:
    subscription = store.watch(CM, since=0)
    first = await store.create(CM, "d", "a", made("a", "d"))
    second = await store.update(CM, "d", "a", made("a", "d", text="2"), 1)
    third = await store.delete(CM, "d", "a", 2)
    events = [await anext(subscription) for _ in range(3)]
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event.record for event in events] == [first, second, third]
    assert [event.previous for event in events] == [None, first, second]
    assert [event.revision for event in events] == [1, 2, 3]


async def test_a_committed_write_is_seen_before_its_writer_goes_on(store: Store, made: Any) -> None:
    subscription = store.watch(CM, since=0)
    await store.create(CM, "d", "a", made("a", "d"))
    assert [event.revision for event in subscription.drain()] == [1]


async def test_only_the_resource_and_namespace_asked_for(store: Store, made: Any) -> None:
    everywhere, here = store.watch(CM, since=0), store.watch(CM, "here", since=0)
    await store.create("pods", "here", "p", made("p", "here"))
    await store.create(CM, "there", "a", made("a", "there"))
    await store.create(CM, "here", "a", made("a", "here"))
    assert [event.revision for event in everywhere.drain()] == [2, 3]
    assert [event.revision for event in here.drain()] == [3]


async def test_only_the_resource_and_namespace_asked_for_when_resumed_from_memory(store: Store, made: Any) -> None:
    await store.create("pods", "here", "p", made("p", "here"))
    await store.create(CM, "there", "a", made("a", "there"))
    await store.create(CM, "here", "a", made("a", "here"))
    assert [event.revision for event in store.watch(CM, since=0).drain()] == [2, 3]
    assert [event.revision for event in store.watch(CM, "here", since=0).drain()] == [3]


async def test_resume_from_memory(store: Store, made: Any) -> None:
    await _fill(store, made, 20)
    subscription = store.watch(CM, since=15)
    assert [event.revision for event in subscription.drain()] == [16, 17, 18, 19, 20]


async def test_resume_from_the_table_then_go_on_live(
    path: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TAIL_EVENTS", 5)
    store = Store.open(path)
    await _fill(store, made, 30)
    await _fill(store, made, 3, "other")
    subscription = store.watch(CM, "d", since=10)
    assert subscription.drain() == [], "nothing is handed out before the past"
    await store.update(CM, "d", "n0000", made("n0000", "d", text="2"), 1)
    revisions = [(await anext(subscription)).revision for _ in range(21)]
    assert revisions == [*range(11, 31), 34]
    await store.close()


async def test_resume_after_reopening(path: Path, made: Any) -> None:
    store = Store.open(path)
    await _fill(store, made, 3)
    await store.update(CM, "d", "n0000", made("n0000", "d", text="2"), 1)
    await store.close()
    store = Store.open(path)
    subscription = store.watch(CM, since=2)
    added, modified = await anext(subscription), await anext(subscription)
    assert (added.type, added.record.name) == ("ADDED", "n0002")
    assert modified.type == "MODIFIED" and modified.previous is not None
    assert modified.previous.revision == 1
    await store.close()


async def test_what_cannot_be_resumed_is_compacted(store: Store, made: Any) -> None:
    await _fill(store, made, 10)
    assert await store.compact(keep=4) == 6
    with pytest.raises(Compacted, match="the oldest revision to resume from is 6"):
        store.watch(CM, since=5)
    with pytest.raises(Compacted, match="the newest revision is 10"):
        store.watch(CM, since=11)
    assert len(store.watch(CM, since=6).drain()) == 4


async def test_compaction_between_subscribing_and_reading_is_noticed(
    path: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TAIL_EVENTS", 1)
    store = Store.open(path)
    await _fill(store, made, 10)
    subscription = store.watch(CM, since=1)
    await store.compact()
    with pytest.raises(Compacted):
        await anext(subscription)
    await store.close()


async def test_a_slow_watcher_is_dropped_and_others_are_not(
    store: Store, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BEHIND_EVENTS", 5)
    slow, quick = store.watch(CM, since=0), store.watch(CM, since=0)
    for number in range(8):
        await store.create(CM, "d", f"n{number}", made(f"n{number}", "d"))
        assert await quick.next() is not None
    with pytest.raises(Compacted, match="too slow"):
        await slow.next()
    assert slow.closed and not quick.closed


async def test_position_says_what_a_bookmark_may_say(store: Store, made: Any) -> None:
    subscription = store.watch(CM, since=0)
    await store.create("pods", "d", "p", made("p", "d"))
    assert subscription.position == 1, "nothing of it is owed"
    await store.create(CM, "d", "a", made("a", "d"))
    await store.create(CM, "d", "b", made("b", "d"))
    await store.create("pods", "d", "q", made("q", "d"))
    assert subscription.position == 0
    await subscription.next()
    assert subscription.position == 2
    subscription.drain()
    assert subscription.position == 4


async def test_next_gives_up_after_a_while(store: Store) -> None:
    assert await store.watch(CM, since=0).next(0.01) is None


async def test_closing_ends_the_iteration(path: Path, made: Any) -> None:
    store = Store.open(path)
    one, other = store.watch(CM, since=0), store.watch(CM, since=0)

    async def follow(subscription: watch.Subscription) -> list[int]:
        return [event.revision async for event in subscription]

    tasks = [asyncio.create_task(follow(one)), asyncio.create_task(follow(other))]
    await store.create(CM, "d", "a", made("a", "d"))
    await asyncio.sleep(0)
    one.close()
    assert await tasks[0] == [1]
    await store.close()
    assert await tasks[1] == [1]
