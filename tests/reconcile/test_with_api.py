"""The loop on the real API and store: a ConfigMap that wants another one beside it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vmpod.api.app import Api
from vmpod.base.clock import SystemClock
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.kinds import CONFIGMAP, EVENT, NAMESPACE
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.reconcile.actions import Create, Delete, Note, Plan
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, own, owned_by
from vmpod.store import Store


@dataclass(frozen=True)
class Seen:
    owner: Object
    children: tuple[Object, ...]


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    owner = cache.get(CONFIGMAP, *key)
    if owner is None or meta.controller_of(owner):
        return None
    return Seen(owner, tuple(cache.owned(CONFIGMAP, meta.uid(owner))))


def plan(seen: Seen) -> Plan:
    name = f"{meta.name(seen.owner)}-child"
    if seen.owner["data"]["child"] == "no":
        return Plan(tuple(Delete(CONFIGMAP, "default", name, meta.uid(child)) for child in seen.children))
    if seen.children:
        return Plan()
    owners = [meta.owner_reference(seen.owner)]
    child = {"metadata": {"namespace": "default", "name": name, "ownerReferences": owners}}
    return Plan((Create(CONFIGMAP, child),), events=(Note("Normal", "Created", f"made {name}", seen.owner),))


async def test_from_the_wish_to_the_child_and_back(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.db")
    client = Client(InProcess(Api(store), User("system:vmpod", ("system:masters",))))
    if not any(meta.name(item) == "default" for item in (await client.list(NAMESPACE)).items):
        await client.create(NAMESPACE, {"metadata": {"name": "default"}})
    cache = Cache(client, (CONFIGMAP,))
    await cache.start()
    loop = Loop(
        "twins", CONFIGMAP, (own(CONFIGMAP), owned_by(CONFIGMAP, CONFIGMAP)), gather, plan, None, None,
        cache, client, Recorder(client, "twins", "here"), SystemClock(),
    )  # fmt: skip
    loop.start()
    wish = {"metadata": {"name": "a", "namespace": "default"}, "data": {"child": "yes"}}
    await client.create(CONFIGMAP, wish)
    await _until(lambda: cache.get(CONFIGMAP, "default", "a-child") is not None)
    await client.patch(CONFIGMAP, "default", "a", {"data": {"child": "no"}})
    await _until(lambda: cache.get(CONFIGMAP, "default", "a-child") is None and loop.is_idle)
    (event,) = (await client.list(EVENT, "default", fields="involvedObject.name=a")).items
    assert (event["reason"], event["message"], event["count"]) == ("Created", "made a-child", 1)
    await loop.stop()
    await cache.stop()
    await store.close()


async def _until(holds: object) -> None:
    assert callable(holds)
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)
