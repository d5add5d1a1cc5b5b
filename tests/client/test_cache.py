"""The local view: complete, current, and whole again after interruptions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.client.cache import Cache, Change
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.kinds.configmap import CONFIGMAP
from vmpod.kinds.pod import POD
from vmpod.kinds.secret import SECRET
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.selectors import parse_labels
from vmpod.testing import clock
from vmpod.testing.api import FakeApi


async def _started(api: FakeApi) -> Cache:
    cache = Cache(Client(InProcess(api, User("tester"))), (CONFIGMAP, POD))
    await cache.start()
    return cache


def _names(objects: list[Object]) -> list[str]:
    return [meta.name(obj) for obj in objects]


@pytest.mark.parametrize("shares", [True, False])
def test_reads(made: Any, shares: bool) -> None:
    async def scene() -> None:
        api = FakeApi((CONFIGMAP, POD), shares=shares)
        for namespace, name, app in (("d", "b", "x"), ("d", "a", "y"), ("e", "a", "x")):
            api.put(CONFIGMAP, made(name, namespace, app=app))
        cache = await _started(api)
        assert cache.get(CONFIGMAP, "d", "a") == api.get(CONFIGMAP, "d", "a")
        assert cache.get(CONFIGMAP, "d", "none") is None
        assert cache.keys(CONFIGMAP) == [("d", "a"), ("d", "b"), ("e", "a")]
        assert _names(cache.list(CONFIGMAP, "d")) == ["a", "b"]
        assert cache.list(CONFIGMAP, selector=parse_labels("app=x")) == [
            api.get(CONFIGMAP, "d", "b"), api.get(CONFIGMAP, "e", "a"),
        ]  # fmt: skip
        mine = cache.get(CONFIGMAP, "d", "a")
        assert mine is not None
        mine["data"].clear()
        assert cache.get(CONFIGMAP, "d", "a") == api.get(CONFIGMAP, "d", "a"), "copies are the reader's own"
        with pytest.raises(Problem, match="cannot read secrets locally"):
            cache.list(SECRET)
        await cache.stop()

    clock.run(scene())


def test_follows_and_tells_observers(made: Any) -> None:
    async def scene() -> None:
        api = FakeApi((CONFIGMAP, POD))
        api.put(CONFIGMAP, made("old"))
        cache = await _started(api)
        told: list[tuple[str, str, object]] = []

        def observe(change: Change) -> None:
            before = change.previous and meta.labels(change.previous)
            told.append((change.type, meta.name(change.obj), before))

        def fail(type_: str, obj: Object) -> None:
            raise ValueError("an observer's own fault")

        cache.subscribe(CONFIGMAP, fail)
        cache.observe(CONFIGMAP, observe)
        api.put(CONFIGMAP, made("old", app="x"))
        api.put(CONFIGMAP, made("new"))
        api.remove(CONFIGMAP, "d", "old")
        assert await cache.reached(CONFIGMAP, api.revision)
        assert told == [("MODIFIED", "old", {}), ("ADDED", "new", None), ("DELETED", "old", {"app": "x"})]
        await cache.stop()

    clock.run(scene())


def test_owned_follows_owner_references(made: Any) -> None:
    async def scene() -> None:
        api = FakeApi((CONFIGMAP, POD))
        owner = api.put(POD, {"metadata": {"name": "p", "namespace": "d"}})
        child = made("child")
        child["metadata"]["ownerReferences"] = [meta.owner_reference(owner)]
        api.put(CONFIGMAP, child)
        cache = await _started(api)
        assert _names(cache.owned(CONFIGMAP, meta.uid(owner))) == ["child"]
        api.put(CONFIGMAP, made("child"))
        await cache.reached(CONFIGMAP, api.revision)
        assert cache.owned(CONFIGMAP, meta.uid(owner)) == []
        await cache.stop()

    clock.run(scene())


def test_reached_waits_for_the_view_and_gives_up_at_last(made: Any) -> None:
    async def scene() -> None:
        api = FakeApi((CONFIGMAP, POD), lag_s=0.5)
        cache = await _started(api)
        api.put(CONFIGMAP, made("a"))
        started = asyncio.get_running_loop().time()
        assert await cache.reached(CONFIGMAP, api.revision)
        assert asyncio.get_running_loop().time() - started == pytest.approx(0.5)
        assert cache.get(CONFIGMAP, "d", "a") is not None
        assert not await cache.reached(CONFIGMAP, api.revision + 1, timeout_s=3)
        assert await cache.reached(SECRET, api.revision + 1), "kinds that are not held are not waited for"
        await cache.stop()

    clock.run(scene())


def test_gone_waits_for_the_end_of_an_object_or_its_beginning(made: Any) -> None:
    async def scene() -> None:
        api = FakeApi((CONFIGMAP, POD), lag_s=0.5)
        obj = api.put(CONFIGMAP, made("a"))
        cache = await _started(api)
        api.remove(CONFIGMAP, "d", "a")
        assert cache.get(CONFIGMAP, "d", "a") is not None
        assert await cache.gone(CONFIGMAP, "d", "a", meta.uid(obj))
        assert cache.get(CONFIGMAP, "d", "a") is None
        again = api.put(CONFIGMAP, made("a"))
        await cache.reached(CONFIGMAP, api.revision)
        assert await cache.gone(CONFIGMAP, "d", "a", meta.uid(obj)), "another object of the name"
        leaving = {**again, "metadata": {**again["metadata"], "deletionTimestamp": "2030-01-01T00:00:00Z"}}
        api.put(CONFIGMAP, leaving)
        assert await cache.gone(CONFIGMAP, "d", "a", meta.uid(again))
        await cache.stop()

    clock.run(scene())


@pytest.mark.parametrize("compacted", [False, True])
def test_whole_again_after_an_interruption(made: Any, compacted: bool) -> None:
    """A cut watch resumes; when its revision is compacted, a new list says what happened meanwhile."""

    async def scene() -> None:
        api = FakeApi((CONFIGMAP, POD))
        for name in ("stays", "changes", "goes", "replaced"):
            api.put(CONFIGMAP, made(name))
        cache = await _started(api)
        await asyncio.sleep(1)
        told: set[tuple[str, str]] = set()
        cache.subscribe(CONFIGMAP, lambda type_, obj: told.add((type_, meta.name(obj))))
        api.cut_watches()
        api.put(CONFIGMAP, made("changes", app="x"))
        api.remove(CONFIGMAP, "d", "goes")
        api.remove(CONFIGMAP, "d", "replaced")
        api.put(CONFIGMAP, made("replaced"))
        api.put(CONFIGMAP, made("new"))
        if compacted:
            api.compact()
        assert await cache.reached(CONFIGMAP, api.revision)
        assert cache.list(CONFIGMAP) == api.list(CONFIGMAP)
        assert told == {
            ("MODIFIED", "changes"), ("DELETED", "goes"), ("DELETED", "replaced"),
            ("ADDED", "replaced"), ("ADDED", "new"),
        }  # fmt: skip
        await cache.stop()
        assert api.watching == 0

    clock.run(scene())
