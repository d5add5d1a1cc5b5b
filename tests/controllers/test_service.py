"""Addresses of load balancers."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.controllers import service as controller
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import SERVICE
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.objects import service
from vmpod.testing.world import World

POOL = "10.9.0.0/29"
CONTROLLERS = {controller: {"config": ControllerConfig(loadbalancer_cidr=POOL, node_names=("n1",))}}


def balancer(world: World, name: str = "web", **spec: Any) -> str:
    world.put(SERVICE, service(name, type="LoadBalancer", **spec))
    return settled(world, name)


def settled(world: World, name: str = "web") -> str:
    world.settle(CONTROLLERS)
    found = world.get(SERVICE, "default", name)
    return str(meta.get(found, "status", "loadBalancer", "ingress", 0, "ip", default=""))


def status(world: World, name: str = "web") -> Object:
    return dict(meta.get(world.get(SERVICE, "default", name), "status", default={}))


def test_it_gets_an_address_of_the_pool() -> None:
    world = World()
    address = balancer(world)
    assert ipaddress.ip_address(address) in ipaddress.ip_network(POOL)
    assert status(world)["loadBalancer"] == {"ingress": [{"ip": address, "ipMode": "VIP"}]}
    assert [(note.type, note.reason) for note in world.notes] == [("Normal", "EnsuredLoadBalancer")]


def test_the_same_service_finds_the_same_address_again() -> None:
    assert balancer(World()) == balancer(World())


def test_addresses_are_given_once_and_the_pool_ends() -> None:
    world = World()
    given = [balancer(world, f"web-{number}") for number in range(7)]
    held = [address for address in given if address]
    assert len(held) == len(set(held)) == 6
    assert not {"10.9.0.0", "10.9.0.7"} & set(held)
    waiting = f"web-{given.index('')}"
    pending = conditions.find(status(world, waiting)["conditions"], "vmpod.io/LoadBalancerPending")
    assert pending is not None
    assert pending["message"] == f"all 6 addresses of the pool {POOL} are taken"
    assert [note.reason for note in world.notes if note.type == "Warning"] == ["SyncLoadBalancerFailed"]
    world.delete(SERVICE, "default", f"web-{given.index(held[0])}")
    assert settled(world, waiting) == held[0]
    assert "conditions" not in status(world, waiting)


def test_an_address_that_is_asked_for_is_given_if_it_is_free() -> None:
    world = World()
    assert balancer(world, loadBalancerIP="10.9.0.5") == "10.9.0.5"
    assert balancer(world, "second", loadBalancerIP="10.9.0.5") == ""


@pytest.mark.parametrize(("wanted", "why"), [("192.0.2.1", "not in the pool"), ("nonsense", "no IP address")])
def test_an_address_that_cannot_be_is_refused_with_words(wanted: str, why: str) -> None:
    world = World()
    made = service(type="LoadBalancer")
    made["metadata"]["annotations"] = {"metallb.io/loadBalancerIPs": wanted}
    world.put(SERVICE, made)
    assert settled(world) == ""
    assert why in world.notes[0].message


def test_each_family_of_the_service_has_an_address() -> None:
    both = {controller: {"config": ControllerConfig(
        loadbalancer_cidr=POOL, node_names=("n1",), loadbalancer_cidr6="fd00:0:0:2::/112")}}  # fmt: skip
    world = World()
    asked = {"metallb.io/loadBalancerIPs": "10.9.0.5, fd00:0:0:2::5"}
    for name, families in (("one", ["IPv6"]), ("two", ["IPv6", "IPv4"]), ("plain", None)):
        world.put(SERVICE, service(name, type="LoadBalancer", **({"ipFamilies": families} if families else {})))
    made = service("asks", type="LoadBalancer", ipFamilies=["IPv4", "IPv6"])
    made["metadata"]["annotations"] = asked
    world.put(SERVICE, made)
    world.settle(both)
    held = {name: [one["ip"] for one in status(world, name)["loadBalancer"]["ingress"]]
            for name in ("one", "two", "plain", "asks")}  # fmt: skip
    assert [[":" in ip for ip in held[name]] for name in ("one", "two", "plain")] == [[True], [True, False], [False]]
    assert held["asks"] == ["10.9.0.5", "fd00:0:0:2::5"] and held["one"] != held["two"][:1]
    world.update(SERVICE, "default", "two", {"spec": {"ipFamilies": ["IPv6"]}})
    world.settle(both)
    assert [one["ip"] for one in status(world, "two")["loadBalancer"]["ingress"]] == held["two"][:1]


def test_another_type_gives_the_address_back() -> None:
    world = World()
    balancer(world)
    world.update(SERVICE, "default", "web", {"spec": {"type": "ClusterIP"}})
    assert settled(world) == ""
    assert status(world)["loadBalancer"] == {}


def test_other_classes_are_left_to_others() -> None:
    assert balancer(World(), loadBalancerClass="example.com/other") == ""


@given(st.sets(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=6))
def test_no_address_is_held_twice(names: set[str]) -> None:
    world = World()
    held = [balancer(world, name) for name in sorted(names)]
    assert len(set(held)) == len(names)
    assert [settled(world, name) for name in sorted(names)] == held
