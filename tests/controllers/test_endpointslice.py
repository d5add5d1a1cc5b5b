"""Services → EndpointSlices."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.controllers import endpointslice as controller
from vmpod.controllers.backends import services_of
from vmpod.kinds import ENDPOINTSLICE, POD, SERVICE
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.testing.objects import pod, pod_status, service
from vmpod.testing.world import World

KEY = ("default", "web")


def slices(world: World) -> list[Object]:
    world.settle({controller: {}})
    return world.list(ENDPOINTSLICE)


def world_of(*pods: tuple[Object, Object], **spec: Any) -> World:
    world = World()
    world.put(SERVICE, service(**spec))
    for made, status in pods:
        world.put(POD, made, status)
    return world


def named(name: str, port: int) -> Object:
    made = pod(name)
    made["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
    return made


def test_a_service_without_pods_has_an_empty_slice() -> None:
    (found,) = slices(world_of())
    assert found["endpoints"] == []
    assert found["addressType"] == "IPv4"
    assert meta.labels(found)["kubernetes.io/service-name"] == "web"
    assert meta.labels(found)["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert meta.controller_of(found) is not None


def test_pods_are_endpoints_with_what_clients_need() -> None:
    (found,) = slices(world_of((pod(nodeName="n1"), pod_status("10.2.0.7"))))
    (endpoint,) = found["endpoints"]
    assert endpoint["addresses"] == ["10.2.0.7"]
    assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert endpoint["nodeName"] == "n1"
    assert endpoint["targetRef"]["name"] == "web-1"
    assert found["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]


def test_each_family_has_slices_of_its_own() -> None:
    status = pod_status("10.2.0.7") | {"podIPs": [{"ip": "10.2.0.7"}, {"ip": "fd00::7"}]}
    found = slices(world_of((pod(), status), (pod("old"), pod_status("10.2.0.8")), ipFamilies=["IPv4", "IPv6"]))
    told = {one["addressType"]: [end["addresses"] for end in one["endpoints"]] for one in found}
    assert told == {"IPv4": [["10.2.0.8"], ["10.2.0.7"]], "IPv6": [["fd00::7"]]}
    (only,) = slices(world_of((pod(), status), ipFamilies=["IPv6"]))
    assert only["addressType"] == "IPv6" and len(only["endpoints"]) == 1


@pytest.mark.parametrize(
    ("ready", "deleting", "publishes", "expected"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (False, False, True, (True, False, False)),
        (True, True, False, (False, True, True)),
    ],
)
def test_readiness_is_told(ready: bool, deleting: bool, publishes: bool, expected: tuple[bool, bool, bool]) -> None:
    world = world_of((pod(nodeName="n1"), pod_status(ready=ready)), publishNotReadyAddresses=publishes)
    if deleting:
        world.delete(POD, "default", "web-1")
    found = slices(world)[0]["endpoints"][0]["conditions"]
    assert (found["ready"], found["serving"], found["terminating"]) == expected


@pytest.mark.parametrize("status", [pod_status(""), pod_status(phase="Succeeded"), pod_status(phase="Failed")])
def test_pods_without_address_or_at_their_end_are_left_out(status: Object) -> None:
    assert slices(world_of((pod(), status)))[0]["endpoints"] == []


def test_named_ports_are_looked_up_in_each_pod() -> None:
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]
    old, new = (named("a", 8080), pod_status("10.2.0.1")), (named("b", 9090), pod_status("10.2.0.2"))
    plain = (pod("c"), pod_status("10.2.0.3"))
    found = {one["ports"][0]["port"]: one["endpoints"] for one in slices(world_of(old, new, plain, ports=ports))}
    assert {port: [one["targetRef"]["name"] for one in members] for port, members in found.items()} == {
        8080: ["a"], 9090: ["b"]}  # fmt: skip


def test_a_headless_service_names_its_pods() -> None:
    made = (pod(hostname="db-0", subdomain="web"), pod_status())
    (found,) = slices(world_of(made, clusterIP="None"))
    assert found["endpoints"][0]["hostname"] == "db-0"
    assert meta.labels(found)["service.kubernetes.io/headless"] == ""


@pytest.mark.parametrize("spec", [{"selector": None}, {"type": "ExternalName", "externalName": "x.example"}])
def test_what_selects_nothing_gets_nothing(spec: Object) -> None:
    assert slices(world_of((pod(), pod_status()), **spec)) == []


def test_a_slice_holds_a_hundred() -> None:
    pods = [(pod(f"web-{number:03}"), pod_status(f"10.2.1.{number}")) for number in range(150)]
    found = slices(world_of(*pods))
    assert sorted(len(one["endpoints"]) for one in found) == [50, 100]


def test_a_vm_is_an_endpoint_by_its_launcher() -> None:
    launcher = pod("virt-launcher-orders-abcde", "orders")
    world = World()
    world.put(SERVICE, service("orders"))
    world.put(POD, launcher, pod_status("10.2.0.9"))
    (found,) = slices(world)
    assert found["endpoints"][0]["addresses"] == ["10.2.0.9"]


def test_a_pod_concerns_the_services_that_select_it() -> None:
    world = World()
    world.put(SERVICE, service("web"))
    world.put(SERVICE, service("other"))
    world.put(SERVICE, service("free", selector=None))
    assert services_of(pod() | {"metadata": pod()["metadata"]}, world.cache) == [("default", "web")]


_PODS = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.booleans(), st.booleans()), max_size=6)


@settings(deadline=None, max_examples=50)
@given(st.lists(_PODS, min_size=1, max_size=4))
def test_slices_follow_the_pods(history: list[dict[str, tuple[bool, bool]]]) -> None:
    world = World()
    world.put(SERVICE, service())
    for wanted in history:
        for one in world.list(POD):
            world.delete(POD, "default", meta.name(one), grace_s=0)
        for name, (ready, has_ip) in wanted.items():
            world.put(POD, pod(name), pod_status(f"10.2.0.{ord(name)}" if has_ip else "", ready=ready))
        endpoints = [one for found in slices(world) for one in found["endpoints"]]
        told = {one["targetRef"]["name"]: one["conditions"]["ready"] for one in endpoints}
        assert told == {name: ready for name, (ready, has_ip) in wanted.items() if has_ip}
