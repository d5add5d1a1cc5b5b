"""The service map follows the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson

from vmpod.client.cache import Cache, Change
from vmpod.drivers.net import config as configuration
from vmpod.drivers.net import ranges
from vmpod.drivers.net.network import Forward, Snapshot
from vmpod.kinds import ENDPOINTSLICE, SERVICE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object
from vmpod.node import network as module
from vmpod.node.network import ServiceMap


class FakeCache:
    """Objects by kind; `put` tells the subscribers."""

    def __init__(self) -> None:
        self.kinds = (SERVICE, ENDPOINTSLICE, VIRTUALMACHINEINSTANCE)
        self._objects: dict[str, list[Object]] = {}
        self._tell: dict[str, list[Callable[[Change], None]]] = {}

    def list(self, kind: Kind) -> list[Object]:
        return list(self._objects.get(kind.plural, ()))

    def observe(self, kind: Kind, tell: Callable[[Change], None]) -> None:
        self._tell.setdefault(kind.plural, []).append(tell)

    def put(self, kind: Kind, *objects: Object) -> None:
        before = next(iter(self._objects.get(kind.plural, [])), None)
        self._objects[kind.plural] = list(objects)
        text = orjson.dumps(objects[0] if objects else {"metadata": {}})
        for tell in self._tell[kind.plural]:
            tell(Change("MODIFIED", text, orjson.dumps(before) if before else None))


class FakeNetwork:
    def __init__(self) -> None:
        self.config = configuration.of_block("abcdef01", next(ranges.candidates("x")))
        self.published: list[Sequence[Forward]] = []
        self.announced: list[Snapshot] = []
        self.refreshed = 0
        self.fails = 0

    async def publish(self, entries: Sequence[Forward]) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no")
        self.published.append(entries)

    async def announce(self, snapshot: Snapshot) -> None:
        self.announced.append(snapshot)

    async def refresh(self) -> None:
        self.refreshed += 1


def service(ip: str, **spec: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": ip, "ports": [{"port": 80}], **spec},
    }


async def made(warnings: list[tuple[object, str]] | None = None) -> tuple[FakeCache, FakeNetwork, ServiceMap]:
    cache, network = FakeCache(), FakeNetwork()
    told = warnings if warnings is not None else []
    map_ = ServiceMap(cast(Cache, cache), network, warn=lambda key, why: told.append((key, why)))
    await map_.start()
    return cache, network, map_


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")


async def test_it_publishes_at_the_start_and_after_each_burst_of_changes() -> None:
    cache, network, map_ = await made()
    assert network.published == [()]
    for i in range(5):
        cache.put(SERVICE, service(f"10.96.0.{i}"))
    await until(lambda: len(network.published) == 2)
    assert [f.address for f in network.published[1]] == ["10.96.0.4"]
    assert network.announced[1].addresses == {"web.shop.svc.cluster.local": ("10.96.0.4",)}
    await map_.stop()


async def test_a_refusal_is_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    cache, network, map_ = await made()
    network.fails = 2
    cache.put(SERVICE, service("10.96.0.9"))
    await until(lambda: len(network.published) == 2)
    await map_.stop()


async def test_each_warning_is_told_once_until_it_went_away() -> None:
    told: list[tuple[object, str]] = []
    cache, network, map_ = await made(told)
    for count, ips in enumerate((["1.2.3.4"], ["1.2.3.4"], [], ["1.2.3.4"]), start=2):
        cache.put(SERVICE, service("10.96.0.9", externalIPs=ips))
        await until(lambda: len(network.published) == count)  # noqa: B023
    assert len(told) == 2 and told[0][0] == ("shop", "web")
    await map_.stop()


async def test_the_network_is_looked_after_without_changes(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_REFRESH_S", 0.01)
    _, network, map_ = await made()
    await until(lambda: network.refreshed > 1)
    assert len(network.published) == 1
    await map_.stop()


async def test_guests_are_told_their_names_and_a_status_says_nothing_new() -> None:
    cache, network, map_ = await made()
    machine = {"metadata": {"name": "orders", "namespace": "shop"}, "spec": {}, "status": {"activePods": {"u": "n"}}}
    cache.put(VIRTUALMACHINEINSTANCE, machine)
    await until(lambda: len(network.announced) == 2)
    assert network.announced[1].guests["u"].hostname == "orders"
    cache.put(VIRTUALMACHINEINSTANCE, machine | {"status": {"activePods": {"u": "n"}, "phase": "Running"}})
    cache.put(VIRTUALMACHINEINSTANCE, machine | {"spec": {"hostname": "other"}})
    await until(lambda: len(network.announced) == 3)
    assert network.announced[2].guests["u"].hostname == "other"
    await map_.stop()
