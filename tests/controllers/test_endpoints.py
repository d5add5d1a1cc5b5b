"""Services → Endpoints."""

from __future__ import annotations

from typing import Any

from vmpod.controllers import endpoints as controller
from vmpod.kinds import ENDPOINTS, POD, SERVICE
from vmpod.model.meta import Object
from vmpod.testing.objects import pod, pod_status, service
from vmpod.testing.world import World

KEY = ("default", "web")


def world_of(**spec: Any) -> World:
    world = World()
    world.put(SERVICE, service(**spec))
    world.put(POD, pod("a", nodeName="n1"), pod_status("10.2.0.1"))
    world.put(POD, pod("b", nodeName="n1"), pod_status("10.2.0.2", ready=False))
    world.settle({controller: {}})
    return world


def subsets(world: World) -> list[Object]:
    found = world.get(ENDPOINTS, *KEY)
    assert found is not None
    return list(found.get("subsets") or [])


def addresses(subset: Object, key: str = "addresses") -> list[str]:
    return [one["ip"] for one in subset.get(key, ())]


def test_ready_and_not_ready_are_told_apart() -> None:
    (subset,) = subsets(world_of())
    assert (addresses(subset), addresses(subset, "notReadyAddresses")) == (["10.2.0.1"], ["10.2.0.2"])
    assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]


def test_all_are_published_on_request() -> None:
    (subset,) = subsets(world_of(publishNotReadyAddresses=True))
    assert addresses(subset) == ["10.2.0.1", "10.2.0.2"]


def test_pods_on_their_way_out_are_left_out() -> None:
    world = world_of()
    world.delete(POD, "default", "a")
    world.settle({controller: {}})
    (subset,) = subsets(world)
    assert (addresses(subset), addresses(subset, "notReadyAddresses")) == ([], ["10.2.0.2"])


def test_it_ends_with_its_service() -> None:
    world = world_of()
    world.delete(SERVICE, *KEY)
    world.settle({controller: {}})
    assert world.list(ENDPOINTS) == []


def test_what_users_wrote_is_left_alone() -> None:
    world = World()
    own = {"metadata": {"name": "web", "namespace": "default"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}]}]}
    world.put(ENDPOINTS, own)
    world.put(SERVICE, service(selector=None))
    world.settle({controller: {}})
    world.delete(SERVICE, *KEY)
    world.settle({controller: {}})
    assert addresses(subsets(world)[0]) == ["192.0.2.1"]
