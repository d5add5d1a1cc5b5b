"""DHCP answers, and silence where none is due."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.net import dhcp

MAC = "02:00:00:00:00:07"
LEASE: dict[str, Any] = {
    "netns": "", "device": "", "mac": MAC, "ip": "10.0.2.2", "mask": "255.255.255.0", "router": "10.0.2.1",
    "server": "10.0.2.1", "dns": "10.96.0.10", "mtu": 1450, "hostname": "orders",
    "search": ["shop.svc.cluster.local", "svc.cluster.local"], "routes": [],
}  # fmt: skip


def packet(kind: int, *, mac: str = MAC, options: bytes = b"", client: bytes = bytes(4), operation: int = 1) -> bytes:
    head = struct.pack("!BBBB", operation, 1, 6, 0) + b"\x12\x34\x56\x78" + bytes(4) + client + bytes(12)
    chaddr = bytes.fromhex(mac.replace(":", "")) + bytes(10)
    return head + chaddr + bytes(192) + b"\x63\x82\x53\x63" + bytes((53, 1, kind)) + options + b"\xff"


def read(answer: bytes | None) -> tuple[int, bytes, dict[int, bytes]]:
    """Kind, the address given, and the options of an answer."""
    assert answer is not None and len(answer) >= 300 and answer[:4] == b"\x02\x01\x06\x00"
    assert answer[4:8] == b"\x12\x34\x56\x78" and answer[10:12] == b"\x80\0"
    options = dhcp._read_options(answer[240:])
    return options[53][0], answer[16:20], options


def test_discover_is_offered_everything() -> None:
    kind, given_ip, options = read(dhcp.respond(packet(1), LEASE))
    assert kind == 2 and given_ip == bytes((10, 0, 2, 2))
    assert options[1] == bytes((255, 255, 255, 0)) and options[3] == options[54] == bytes((10, 0, 2, 1))
    assert options[6] == bytes((10, 96, 0, 10)) and options[12] == b"orders" and options[26] == struct.pack("!H", 1450)
    assert options[28] == bytes((10, 0, 2, 255)) and options[51] == b"\xff" * 4
    assert options[119] == b"\x04shop\x03svc\x07cluster\x05local\0\x03svc\x07cluster\x05local\0"


@pytest.mark.parametrize(("options", "client", "kind"), [
    (b"\x32\x04\x0a\x00\x02\x02", bytes(4), 5),  # the address it was offered
    (b"", bytes((10, 0, 2, 2)), 5),  # renewing
    (b"\x32\x04\x0a\x00\x02\x09", bytes(4), 6),  # an address of another life
    (b"\x36\x04\x0a\x00\x02\x01\x32\x04\x0a\x00\x02\x02", bytes(4), 5),
])  # fmt: skip
def test_requests(options: bytes, client: bytes, kind: int) -> None:
    assert read(dhcp.respond(packet(3, options=options, client=client), LEASE))[0] == kind


def test_inform_gets_options_but_no_lease() -> None:
    kind, given_ip, options = read(dhcp.respond(packet(8, client=bytes((10, 0, 2, 2))), LEASE))
    assert kind == 5 and given_ip == bytes(4) and 51 not in options and 6 in options


@pytest.mark.parametrize("data", [
    b"", b"x" * 300, packet(1, mac="02:00:00:00:00:08"), packet(1, operation=2), packet(4), packet(7), packet(1)[:230],
    packet(3, options=b"\x36\x04\x0a\x00\x02\x63"),
])  # fmt: skip
def test_silence(data: bytes) -> None:
    assert dhcp.respond(data, LEASE) is None


def test_classless_routes() -> None:
    lease = LEASE | {"routes": [["0.0.0.0/0", "10.0.2.1"], ["10.17.0.0/16", "10.0.2.9"], ["10.1.2.3/32", "0.0.0.0"]]}
    options = read(dhcp.respond(packet(1), lease))[2]
    assert options[121] == bytes((0, 10, 0, 2, 1, 16, 10, 17, 10, 0, 2, 9, 32, 10, 1, 2, 3, 0, 0, 0, 0))


def test_long_options_are_cut_in_pieces() -> None:
    lease = LEASE | {"search": [f"namespace-number-{i}.svc.cluster.local" for i in range(12)]}
    answer = dhcp.respond(packet(1), lease)
    assert answer is not None and answer.count(b"namespace-number-") == 13


@given(st.binary(max_size=400))
def test_garbage_never_raises(data: bytes) -> None:
    dhcp.respond(data, LEASE)
    dhcp.respond(packet(1)[:240] + data, LEASE)
