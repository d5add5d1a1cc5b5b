"""Cluster names."""

from __future__ import annotations

import socket

import pytest

from vmpod.drivers.net.dnswire import AAAA, ANY, CNAME, NOERROR, NXDOMAIN, PTR, SRV, A
from vmpod.drivers.net.zone import Zone

ZONE = Zone({
    "domain": "cluster.local", "reverse": ["10.128.0.0/20", "10.128.16.0/20", "fd00:0:0:1::/112"],
    "a": {
        "web.shop.svc.cluster.local": ["10.128.16.20"],
        "peers.shop.svc.cluster.local": ["10.128.0.16", "10.128.0.17"],
        "db-0.peers.shop.svc.cluster.local": ["10.128.0.16"],
        "empty.shop.svc.cluster.local": [],
        "both.shop.svc.cluster.local": ["10.128.16.21", "fd00:0:0:1::15"],
    },
    "srv": {"_http._tcp.web.shop.svc.cluster.local": [[80, "web.shop.svc.cluster.local"]]},
    "cname": {
        "out.shop.svc.cluster.local": "example.com", "in.shop.svc.cluster.local": "web.shop.svc.cluster.local",
        "loop.shop.svc.cluster.local": "loop.shop.svc.cluster.local",
    },
    "ptr": {"10.128.16.20": "web.shop.svc.cluster.local", "fd00:0:0:1::15": "both.shop.svc.cluster.local"},
})  # fmt: skip


def addresses(name: str) -> list[str]:
    return sorted(socket.inet_ntoa(data) for _, kind, _, data in ZONE.find(name, A).answers if kind == A)


@pytest.mark.parametrize(("name", "kind", "code", "answers"), [
    ("web.shop.svc.cluster.local", A, NOERROR, 1),
    ("web.shop.svc.cluster.local", AAAA, NOERROR, 0),
    ("peers.shop.svc.cluster.local", A, NOERROR, 2),
    ("db-0.peers.shop.svc.cluster.local", A, NOERROR, 1),
    ("empty.shop.svc.cluster.local", A, NOERROR, 0),
    ("shop.svc.cluster.local", A, NOERROR, 0),
    ("_tcp.web.shop.svc.cluster.local", A, NOERROR, 0),
    ("cluster.local", A, NOERROR, 0),
    ("none.shop.svc.cluster.local", A, NXDOMAIN, 0),
    ("web.shop.svc.cluster.local.shop.svc.cluster.local", A, NXDOMAIN, 0),
    ("_http._tcp.web.shop.svc.cluster.local", SRV, NOERROR, 1),
    ("in.shop.svc.cluster.local", A, NOERROR, 2),
    ("out.shop.svc.cluster.local", CNAME, NOERROR, 1),
    ("loop.shop.svc.cluster.local", A, NOERROR, 8),
    ("10-1-2-3.shop.pod.cluster.local", A, NOERROR, 1),
    ("10-1-2-300.shop.pod.cluster.local", A, NXDOMAIN, 0),
    ("a.10-1-2-3.shop.pod.cluster.local", A, NXDOMAIN, 0),
    ("20.16.128.10.in-addr.arpa", PTR, NOERROR, 1),
    ("21.16.128.10.in-addr.arpa", PTR, NXDOMAIN, 0),
    ("both.shop.svc.cluster.local", A, NOERROR, 1),
    ("both.shop.svc.cluster.local", AAAA, NOERROR, 1),
    ("both.shop.svc.cluster.local", ANY, NOERROR, 2),
    ("fd00--2.shop.pod.cluster.local", AAAA, NOERROR, 1),
    ("fd00--2.shop.pod.cluster.local", A, NOERROR, 0),
    ("fd00--2--3.shop.pod.cluster.local", AAAA, NXDOMAIN, 0),
    (f"{'.'.join('5100000000000000')}.{'.'.join('10000000000000df')}.ip6.arpa", PTR, NOERROR, 1),
    (f"{'.'.join('6100000000000000')}.{'.'.join('10000000000000df')}.ip6.arpa", PTR, NXDOMAIN, 0),
])  # fmt: skip
def test_find(name: str, kind: int, code: int, answers: int) -> None:
    found = ZONE.find(name, kind)
    assert (found.rcode, len(found.answers)) == (code, answers)


def test_values() -> None:
    assert addresses("peers.shop.svc.cluster.local") == ["10.128.0.16", "10.128.0.17"]
    assert addresses("10-1-2-3.shop.pod.cluster.local") == ["10.1.2.3"]
    assert [kind for _, kind, _, _ in ZONE.find("_http._tcp.web.shop.svc.cluster.local", SRV).extras] == [A]


def test_an_alias_to_the_outside_is_followed_by_others() -> None:
    assert ZONE.find("out.shop.svc.cluster.local", A).follow == "example.com"
    assert ZONE.find("in.shop.svc.cluster.local", A).follow == ""


def test_addresses_take_turns() -> None:
    firsts = {ZONE.find("peers.shop.svc.cluster.local", A).answers[0][3] for _ in range(6)}
    assert len(firsts) == 2


@pytest.mark.parametrize(("name", "ours"), [
    ("x.cluster.local", True), ("cluster.local", True), ("xcluster.local", False), ("example.com", False),
    ("1.0.128.10.in-addr.arpa", True), ("1.0.129.10.in-addr.arpa", False), ("128.10.in-addr.arpa", False), ("", False),
    (f"{'.'.join('6100000000000000')}.{'.'.join('10000000000000df')}.ip6.arpa", True), ("0.8.0.a.ip6.arpa", False),
    (f"{'.'.join('6100000000000000')}.{'.'.join('20000000000000df')}.ip6.arpa", False),
])  # fmt: skip
def test_covers(name: str, ours: bool) -> None:
    assert ZONE.covers(name) is ours


def test_an_empty_snapshot_still_owns_its_domain() -> None:
    assert Zone({}).find("a.svc.cluster.local", A).rcode == NXDOMAIN
