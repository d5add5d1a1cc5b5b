"""DHCPv6 (RFC 8415) and router advertisements (RFC 4861) for the one guest behind a tap. Pure.

KubeVirt leases the address and leaves the way out to cloud-init; here the guest hears of its gateway too.
"""

from __future__ import annotations

import socket
import struct

from vmpod.drivers.net import dnswire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOLICITATION = 133  # the ICMPv6 type by which a guest asks for routers
ADVERTISEMENT_S = 600.0  # how often one is sent unasked; a gateway that is not heard of is forgotten
_LIFETIME_S = 9000
_SOLICIT, _ADVERTISE, _REQUEST, _CONFIRM, _RENEW, _REBIND, _REPLY = 1, 2, 3, 4, 5, 6, 7
_RELEASE, _DECLINE, _INFORM = 8, 9, 11
_CLIENT, _SERVER, _ASSOCIATION, _ADDRESS, _STATUS, _RAPID, _SEARCH = 1, 2, 3, 5, 13, 14, 24
_FOREVER = 0xFFFFFFFF
_SUCCESS, _NOT_ON_LINK = 0, 4
_IDENTITY = bytes.fromhex("0003 0001 0200 0000 0000")  # by the bridge's MAC address, the same in every pod
_TO_US = (_REQUEST, _RENEW, _RELEASE, _DECLINE)  # these name the server


def respond(packet: bytes, lease: dict[str, Any]) -> bytes | None:
    """The answer to a message, None where none is due: another server is meant, or it is no DHCPv6 at all."""
    if len(packet) < 4 or packet[0] not in (_SOLICIT, _CONFIRM, _REBIND, _INFORM, *_TO_US):
        return None
    asked, options = packet[0], _read_options(packet[4:])
    if _CLIENT not in options and asked != _INFORM:
        return None
    if options.get(_SERVER, b"" if asked in _TO_US else _IDENTITY) != _IDENTITY:
        return None
    kind = _ADVERTISE if asked == _SOLICIT and _RAPID not in options else _REPLY
    told = [(_SERVER, _IDENTITY), *((code, options[code]) for code in (_CLIENT, _RAPID) if code in options)]
    told += _content(asked, options, lease)
    return bytes((kind,)) + packet[1:4] + b"".join(_option(code, value) for code, value in told)


def _content(asked: int, options: dict[int, bytes], lease: dict[str, Any]) -> list[tuple[int, bytes]]:
    association = options.get(_ASSOCIATION, b"")
    if asked == _CONFIRM:
        held = _read_options(association[12:]).get(_ADDRESS, b"")[:16]
        return [(_STATUS, struct.pack("!H", _SUCCESS if held == _packed(lease["ip6"]) else _NOT_ON_LINK))]
    if asked in (_RELEASE, _DECLINE):
        return [(_STATUS, struct.pack("!H", _SUCCESS))]
    told = []
    if len(association) >= 12 and asked != _INFORM:
        address = _packed(lease["ip6"]) + struct.pack("!II", _FOREVER, _FOREVER)
        times = struct.pack("!II", _FOREVER, _FOREVER)
        told.append((_ASSOCIATION, association[:4] + times + _option(_ADDRESS, address)))
    if lease["search"]:
        told.append((_SEARCH, b"".join(dnswire.write_name(name) for name in lease["search"])))
    return told


def advertisement(lease: dict[str, Any]) -> bytes:
    """What tells a guest that the pod is its gateway, and that addresses are had by DHCPv6. The kernel adds the sum."""
    head = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0xC0, _LIFETIME_S, 0, 0)
    return head + bytes((1, 1)) + _IDENTITY[4:] + struct.pack("!BBHI", 5, 1, 0, lease["mtu"])


def _read_options(data: bytes) -> dict[int, bytes]:
    """The first option of each kind; what is cut off is not there."""
    options: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from("!HH", data, at)
        if at + 4 + length <= len(data):
            options.setdefault(code, data[at + 4 : at + 4 + length])
        at += 4 + length
    return options


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def _packed(ip: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, ip)
