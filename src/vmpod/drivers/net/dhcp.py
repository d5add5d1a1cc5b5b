"""DHCP for the one guest behind a tap (RFC 2131): always the same lease, for ever, as KubeVirt gives it. Pure."""

from __future__ import annotations

import socket
import struct

from vmpod.drivers.net import dnswire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COOKIE = b"\x63\x82\x53\x63"
_FIXED = 236
_DISCOVER, _OFFER, _REQUEST, _ACK, _NAK, _INFORM = 1, 2, 3, 5, 6, 8
_MASK, _ROUTER, _DNS, _HOSTNAME, _DOMAIN, _MTU, _BROADCAST = 1, 3, 6, 12, 15, 26, 28
_WANTED, _LEASE, _TYPE, _SERVER, _SEARCH, _ROUTES = 50, 51, 53, 54, 119, 121
_FOREVER = 0xFFFFFFFF
_LEAST = 300  # BOOTP's size; some clients drop shorter answers


def respond(packet: bytes, lease: dict[str, Any]) -> bytes | None:
    """The answer to broadcast, None where none is due: another card, another server's offer, no DHCP at all."""
    if len(packet) < _FIXED + 4 or packet[0] != 1 or packet[_FIXED : _FIXED + 4] != _COOKIE:
        return None
    if packet[28:34] != bytes.fromhex(lease["mac"].replace(":", "")):
        return None
    options = _read_options(packet[_FIXED + 4 :])
    kind = _answer_kind(packet, options, lease)
    return _build(packet, lease, kind, inform=options.get(_TYPE) == bytes((_INFORM,))) if kind else None


def grants(answer: bytes) -> bool:
    """Whether an answer of ours gives, or confirms, an address."""
    return answer[_FIXED + 4 : _FIXED + 7] == bytes((_TYPE, 1, _ACK))


def _answer_kind(packet: bytes, options: dict[int, bytes], lease: dict[str, Any]) -> int:
    asked = options.get(_TYPE, b"\0")[:1]
    if asked == bytes((_DISCOVER,)):
        return _OFFER
    if asked == bytes((_INFORM,)):
        return _ACK
    if asked != bytes((_REQUEST,)) or options.get(_SERVER, _ip(lease["server"])) != _ip(lease["server"]):
        return 0
    wanted = options.get(_WANTED) or packet[12:16]
    return _ACK if wanted in (_ip(lease["ip"]), bytes(4)) else _NAK


def _read_options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > len(data):
            break
        options[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return options


def _build(packet: bytes, lease: dict[str, Any], kind: int, *, inform: bool) -> bytes:
    given = bytes(4) if kind == _NAK or inform else _ip(lease["ip"])
    head = struct.pack("!BBBB", 2, 1, 6, 0) + packet[4:8] + bytes(2) + b"\x80\0"
    addresses = (packet[12:16] if inform else bytes(4)) + given + _ip(lease["server"]) + packet[24:28]
    fixed = head + addresses + packet[28:44] + bytes(192)
    options = [(_TYPE, bytes((kind,))), (_SERVER, _ip(lease["server"]))]
    if kind != _NAK:
        options += _lease_options(lease, inform=inform)
    data = b"".join(_option(code, value) for code, value in options) + b"\xff"
    return (fixed + _COOKIE + data).ljust(_LEAST, b"\0")


def _lease_options(lease: dict[str, Any], *, inform: bool) -> list[tuple[int, bytes]]:
    mask = _ip(lease["mask"])
    broadcast = bytes(a & m | ~m & 0xFF for a, m in zip(_ip(lease["ip"]), mask, strict=True))
    options = [
        (_MASK, mask), (_BROADCAST, broadcast), (_MTU, struct.pack("!H", lease["mtu"])),
    ]  # fmt: skip
    servers = lease.get("servers") or ([lease["dns"]] if lease["dns"] else [])
    options += [(_ROUTER, _ip(lease["router"]))] if lease["router"] else []
    options += [(_DNS, b"".join(_ip(server) for server in servers))] if servers else []
    if not inform:
        options.append((_LEASE, struct.pack("!I", _FOREVER)))
    if lease["hostname"]:
        options.append((_HOSTNAME, lease["hostname"].encode()[:63]))
    if lease["search"]:
        options.append((_DOMAIN, lease["search"][0].encode()))
        options.append((_SEARCH, b"".join(dnswire.write_name(name) for name in lease["search"])))
    if lease["routes"]:
        options.append((_ROUTES, b"".join(_route(cidr, via) for cidr, via in lease["routes"])))
    options += [(code, bytes.fromhex(value)) for code, value in lease.get("options", ())]
    return options


def _route(cidr: str, via: str) -> bytes:
    """One classless static route (RFC 3442): only as many bytes of the destination as its prefix fills."""
    network, _, prefix = cidr.partition("/")
    return bytes((int(prefix),)) + _ip(network)[: (int(prefix) + 7) // 8] + _ip(via)


def _option(code: int, value: bytes) -> bytes:
    """An option, in several pieces where it is longer than 255 bytes (RFC 3396)."""
    pieces = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
    return b"".join(bytes((code, len(piece))) + piece for piece in pieces)


def _ip(text: str) -> bytes:
    return socket.inet_aton(text)
