"""Services and EndpointSlices as forwards and names."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.drivers.net.network import Forward, Guest
from vmpod.model.meta import Object
from vmpod.node.translate.service import Translation, forwards_of, guests_of, translate, warnings_of

NODE, NODE6 = "10.128.0.1", "fd00::1"


def service(name: str = "web", **spec: Any) -> Object:
    status = spec.pop("status", {})
    spec = {"type": "ClusterIP", "clusterIP": "10.96.0.20", "ports": [{"port": 80, "protocol": "TCP"}]} | spec
    if "clusterIPs" not in spec and spec["clusterIP"]:
        spec["clusterIPs"] = [spec["clusterIP"]]
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": status}


def endpoint(ip: str, *, ready: bool = True, serving: bool = True, ending: bool = False, hostname: str = "") -> Object:
    found: Object = {"addresses": [ip], "conditions": {"ready": ready, "serving": serving, "terminating": ending}}
    return found | ({"hostname": hostname} if hostname else {})


def slice_(*endpoints: Object, name: str = "web", ports: list[Object] | None = None, suffix: str = "x") -> Object:
    return {
        "metadata": {"name": f"{name}-{suffix}", "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "endpoints": list(endpoints),
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}] if ports is None else ports,
    }  # fmt: skip


def seen(*objects: Object) -> Translation:
    services = [one for one in objects if "spec" in one]
    return translate(services, [one for one in objects if "spec" not in one], node_addresses=[NODE])


ONE, TWO = endpoint("10.128.0.16"), endpoint("10.128.0.17")
ENDS = (("10.128.0.16", 8080), ("10.128.0.17", 8080))


def test_cluster_ip() -> None:
    found = seen(service(), slice_(ONE, TWO))
    assert found.forwards == (Forward("10.96.0.20", "TCP", 80, ENDS),)
    assert found.snapshot.addresses == {"web.shop.svc.cluster.local": ("10.96.0.20",)}
    assert found.snapshot.pointers == {"10.96.0.20": "web.shop.svc.cluster.local"}
    assert found.snapshot.services == {} and found.warnings == ()


def test_load_balancer_and_node_port_forward_on_all_their_addresses() -> None:
    balanced = service(
        type="LoadBalancer", ports=[{"port": 22, "nodePort": 30022}],
        status={"loadBalancer": {"ingress": [{"ip": "10.128.32.4"}, {"hostname": "x"}, {"ip": "fd02::4"}]}},
    )  # fmt: skip
    fronts = [(f.address, f.port) for f in seen(balanced, slice_(ONE)).forwards]
    assert fronts == [("10.96.0.20", 22), ("10.128.32.4", 22), ("fd02::4", 22), (NODE, 30022)]


def test_a_type_that_changed_back_drops_its_balancer_address() -> None:
    old = service(status={"loadBalancer": {"ingress": [{"ip": "10.128.32.4"}]}})
    assert [f.address for f in seen(old).forwards] == ["10.96.0.20"]


@pytest.mark.parametrize(("endpoints", "publishes", "expected"), [
    ([], False, ()),
    ([endpoint("10.128.0.16", ready=False, serving=False)], False, ()),
    ([endpoint("10.128.0.16", ready=False, serving=False)], True, ENDS[:1]),
    ([ONE, endpoint("10.128.0.17", ready=False, ending=True)], False, ENDS[:1]),
    ([endpoint("10.128.0.17", ready=False, ending=True)], False, ENDS[1:]),
    ([{"addresses": ["10.128.0.16"]}], False, ENDS[:1]),
    ([ONE, ONE], False, ENDS[:1]),
])  # fmt: skip
def test_which_endpoints_count(endpoints: list[Object], publishes: bool, expected: tuple[object, ...]) -> None:
    found = seen(service(publishNotReadyAddresses=publishes), slice_(*endpoints))
    assert found.forwards[0].endpoints == expected


def test_a_service_without_slices_refuses() -> None:
    assert seen(service()).forwards == (Forward("10.96.0.20", "TCP", 80, ()),)


def test_named_ports_differ_by_slice() -> None:
    """Pods of one Service may give a named port different numbers; each slice carries its own."""
    named = service(ports=[{"name": "http", "port": 80, "targetPort": "web"}, {"name": "dns", "port": 53, "protocol": "UDP"}])
    found = seen(
        named,
        slice_(ONE, suffix="a", ports=[{"name": "http", "port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"}]),
        slice_(TWO, suffix="b", ports=[{"name": "http", "port": 9090}]),
    )  # fmt: skip
    assert found.forwards == (
        Forward("10.96.0.20", "TCP", 80, (("10.128.0.16", 8080), ("10.128.0.17", 9090))),
        Forward("10.96.0.20", "UDP", 53, (("10.128.0.16", 5353),)),
    )
    assert found.snapshot.services["_dns._udp.web.shop.svc.cluster.local"] == ((53, "web.shop.svc.cluster.local"),)


def test_affinity() -> None:
    assert seen(service(sessionAffinity="ClientIP"), slice_(ONE)).forwards[0].affinity


def test_headless() -> None:
    found = seen(
        service(clusterIP="None"),
        slice_(endpoint("10.128.0.16", hostname="db-0"), TWO, endpoint("10.128.0.18", ready=False),
               ports=[{"name": "sql", "port": 5432}]),
    )  # fmt: skip
    full = "web.shop.svc.cluster.local"
    assert found.forwards == ()
    assert found.snapshot.addresses == {
        full: ("10.128.0.16", "10.128.0.17"), f"db-0.{full}": ("10.128.0.16",), f"10-128-0-17.{full}": ("10.128.0.17",),
    }  # fmt: skip
    assert found.snapshot.services == {f"_sql._tcp.{full}": ((5432, f"db-0.{full}"), (5432, f"10-128-0-17.{full}"))}
    assert found.snapshot.pointers["10.128.0.16"] == f"db-0.{full}"


def test_a_headless_service_without_endpoints_still_has_its_name() -> None:
    assert seen(service(clusterIP="None")).snapshot.addresses == {"web.shop.svc.cluster.local": ()}


def test_external_name() -> None:
    found = seen(service(type="ExternalName", clusterIP="", externalName="Db.Example.com."))
    assert found.forwards == () and found.snapshot.aliases == {"web.shop.svc.cluster.local": "db.example.com"}


def test_a_service_not_yet_given_an_address() -> None:
    found = seen(service(clusterIP=""))
    assert found.forwards == () and found.snapshot.addresses == {}


def test_slices_of_others_and_of_another_family_are_left_out() -> None:
    other = slice_(ONE, name="other")
    six, names = slice_(ONE) | {"addressType": "IPv6"}, slice_(ONE, suffix="n") | {"addressType": "FQDN"}
    assert forwards_of(service(), [], node_addresses=[NODE]) == list(seen(service(), other, six, names).forwards)


def test_each_family_goes_to_its_own_endpoints() -> None:
    both = service(clusterIPs=["10.96.0.20", "fd01::20"], ipFamilies=["IPv4", "IPv6"], type="NodePort",
                   ports=[{"port": 80, "nodePort": 30080, "name": "web"}])
    ports = [{"name": "web", "port": 8080, "protocol": "TCP"}]
    four = slice_(ONE, ports=ports)
    six = slice_(endpoint("fd00::10"), suffix="y", ports=ports) | {"addressType": "IPv6"}
    found = translate([both], [four, six], node_addresses=[NODE, NODE6])
    ends, ends6 = (("10.128.0.16", 8080),), (("fd00::10", 8080),)
    assert found.forwards == (
        Forward("10.96.0.20", "TCP", 80, ends), Forward("fd01::20", "TCP", 80, ends6),
        Forward(NODE, "TCP", 30080, ends), Forward(NODE6, "TCP", 30080, ends6))  # fmt: skip
    assert found.snapshot.addresses == {"web.shop.svc.cluster.local": ("10.96.0.20", "fd01::20")}
    only = service(clusterIP="fd01::20", ipFamilies=["IPv6"], type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    assert [one.address for one in translate([only], [], node_addresses=[NODE, NODE6]).forwards] == ["fd01::20", NODE6]
    bare = translate([service(clusterIP="None", ports=[])], [six], node_addresses=[NODE])
    assert bare.snapshot.addresses["fd00--10.web.shop.svc.cluster.local"] == ("fd00::10",)


def test_what_is_not_honoured_is_told_by_path() -> None:
    assert warnings_of(service()) == []
    told = warnings_of(service(
        externalIPs=["1.2.3.4"], ports=[{"port": 1, "protocol": "SCTP"}]
    ))  # fmt: skip
    assert [text.split(":")[0] for text in told] == ["spec.externalIPs", "spec.ports[0].protocol"]
    assert seen(service(ports=[{"port": 1, "protocol": "SCTP"}])).forwards == ()


def test_what_a_guest_is_told() -> None:
    vmi = {"metadata": {"name": "orders.v2", "namespace": "shop"}, "spec": {"subdomain": "db"},
           "status": {"activePods": {"uid-1": "node"}}}
    search = ("db.shop.svc.cluster.local", "shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
    assert guests_of([vmi]) == {"uid-1": Guest("orders", search)}
