"""DHCPv6 for one guest, and what it is told of its gateway."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.net import dhcp6

LEASE: dict[str, Any] = {"ip6": "fd10:0:2::2", "search": ["shop.svc.cluster.local"], "mtu": 1400}
CLIENT = bytes.fromhex("0003 0001 0211 1111 1111")
SERVER = bytes.fromhex("0003 0001 0200 0000 0000")
ADDRESS = socket.inet_pton(socket.AF_INET6, "fd10:0:2::2")
ASSOCIATION = b"\0\0\0\7" + bytes(8)


def option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def message(kind: int, **said: bytes) -> bytes:
    codes = {"client": 1, "server": 2, "association": 3, "rapid": 14}
    return bytes((kind,)) + b"abc" + b"".join(option(codes[name], value) for name, value in said.items())


def told(answer: bytes | None) -> tuple[int, dict[int, bytes]]:
    assert answer is not None and answer[1:4] == b"abc"
    return answer[0], dhcp6._read_options(answer[4:])


@pytest.mark.parametrize(("asked", "said", "answered"), [
    (1, {}, 2), (1, {"rapid": b""}, 7), (3, {"server": SERVER}, 7), (5, {"server": SERVER}, 7), (6, {}, 7),
])  # fmt: skip
def test_the_guest_is_given_its_address_for_ever(asked: int, said: dict[str, bytes], answered: int) -> None:
    kind, options = told(dhcp6.respond(message(asked, client=CLIENT, association=ASSOCIATION, **said), LEASE))
    assert kind == answered and options[1] == CLIENT and options[2] == SERVER and (14 in options) == ("rapid" in said)
    assert options[3] == ASSOCIATION[:4] + b"\xff" * 8 + option(5, ADDRESS + b"\xff" * 8)
    assert options[24] == b"\4shop\3svc\7cluster\5local\0"


@pytest.mark.parametrize(("held", "status"), [(ADDRESS, 0), (bytes(16), 4), (b"", 4)])
def test_an_address_is_confirmed(held: bytes, status: int) -> None:
    has = ASSOCIATION + option(5, held + bytes(8))
    kind, options = told(dhcp6.respond(message(4, client=CLIENT, association=has), LEASE))
    assert kind == 7 and options[13] == struct.pack("!H", status)


def test_whoever_only_asks_is_told_only_names() -> None:
    kind, options = told(dhcp6.respond(message(11), LEASE | {"search": []}))
    assert kind == 7 and set(options) == {2}
    _, given_up = told(dhcp6.respond(message(8, client=CLIENT, server=SERVER, association=ASSOCIATION), LEASE))
    assert given_up[13] == b"\0\0"


@pytest.mark.parametrize("packet", [
    b"", b"\1ab", message(1), message(2, client=CLIENT), message(12, client=CLIENT),
    message(3, client=CLIENT), message(3, client=CLIENT, server=b"another"), message(6, client=CLIENT, server=b"x"),
])  # fmt: skip
def test_what_is_meant_for_others_gets_no_answer(packet: bytes) -> None:
    assert dhcp6.respond(packet, LEASE) is None


@given(st.sampled_from([1, 3, 4, 5, 6, 8, 9, 11]), st.binary(max_size=80))
def test_any_bytes_are_borne(kind: int, rest: bytes) -> None:
    for packet in (bytes((kind,)) + rest, message(kind, client=CLIENT, server=SERVER) + rest):
        answer = dhcp6.respond(packet, LEASE)
        assert answer is None or answer[0] in (2, 7)


def test_the_gateway_tells_of_itself() -> None:
    said = dhcp6.advertisement(LEASE)
    kind, _, _, hops, flags, lifetime, *_ = struct.unpack_from("!BBHBBHII", said)
    assert (kind, hops, flags) == (134, 64, 0xC0) and lifetime > 2 * dhcp6.ADVERTISEMENT_S
    assert said[16:24] == bytes.fromhex("0101 0200 0000 0000") and said[24:] == struct.pack("!BBHI", 5, 1, 0, 1400)
