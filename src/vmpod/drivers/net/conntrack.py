"""The connections that a network namespace translates addresses for, copied into another one.

Without this a pod that takes over a machine would begin to translate anew: for most connections the outcome is the
same, but not for one that goes out from a port whose packets the pod does not let in, or whose port had to be changed.
The words of the kernel are those of <linux/netfilter/nfnetlink_conntrack.h>; how translations are said again is what
conntrackd does: the entry as it was before, and the translation beside it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmpod.drivers.net.inside import made_inside

_NETLINK_NETFILTER = 12
_NEW, _GET = 0x100, 0x101  # subsystem 1 (conntrack), messages 0 and 1
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP, _CREATE = 0x1, 0x4, 0x300, 0x400
_NESTED, _KIND = 0x8000, 0x3FFF
_ORIGINAL, _REPLY, _STATUS, _PROTOCOL_INFO, _NAT_SOURCE, _TIMEOUT, _NAT_TARGET = 1, 2, 3, 4, 6, 7, 13
_SOURCE_CHANGED, _TARGET_CHANGED = 1 << 4, 1 << 5
_KEPT = 0x0E  # of the status: a reply was seen, it is assured, it is confirmed
_TCP, _UDP = 6, 17
_LIBERAL = 0x08  # nothing is known of the windows: any sequence number will do
_OVER = (7, 8)  # TIME_WAIT, CLOSE
_SIX = 16  # bytes of an IPv6 address
_ROOM = 1 << 18


@dataclass(frozen=True)
class Way:
    """Who speaks to whom, in one direction; addresses and ports as they travel (network order)."""

    source: bytes
    target: bytes
    source_port: bytes
    target_port: bytes

    @property
    def is_six(self) -> bool:
        return len(self.source) == _SIX

    @property
    def back(self) -> Way:
        return Way(self.target, self.source, self.target_port, self.source_port)


@dataclass(frozen=True)
class Entry:
    """A connection as the kernel follows it; `tcp` is the state and the two window scales, empty for UDP."""

    protocol: int
    original: Way
    reply: Way
    status: int
    timeout_s: int
    tcp: tuple[int, int, int] | tuple[()] = ()


def copy(from_netns: str, to_netns: str, *, six: bool = False) -> int:
    """Make the connections of one namespace known in the other; how many. `six`: those of IPv6 too. Raises OSError."""
    families = (socket.AF_INET, socket.AF_INET6) if six else (socket.AF_INET,)
    with _door(from_netns) as source, _door(to_netns) as target:
        found = [one for family in families for one in entries(_dump(source, family))]
        return sum(_put(target, one, number) for number, one in enumerate(found, 1))


def _door(path: str) -> socket.socket:
    return made_inside(path, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC,
                                                   _NETLINK_NETFILTER))  # fmt: skip


def _dump(door: socket.socket, family: int) -> bytes:
    """All that the kernel says of its table for one family. Raises OSError."""
    door.settimeout(5)
    door.send(_message(family, _GET, _REQUEST | _DUMP, 0, b""))
    said = b""
    while True:
        said_now = door.recv(_ROOM)
        for kind, body in _messages(said_now):
            if kind == _DONE:
                return said
            if kind == _ERROR:
                _raise(body)
        said += said_now


def _put(door: socket.socket, entry: Entry, number: int) -> bool:
    """Whether it is there now. One that the kernel does not want, as it has such a one already, is left out."""
    door.settimeout(5)
    family = socket.AF_INET6 if entry.original.is_six else socket.AF_INET
    door.send(_message(family, _NEW, _REQUEST | _CREATE | _ACK, number, encode(entry)))
    for kind, body in _messages(door.recv(_ROOM)):
        if kind == _ERROR:
            return int(struct.unpack_from("=i", body)[0]) == 0
    return False


def _raise(body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0]
    if code:
        raise OSError(code, "the kernel does not tell its connections")


def _message(family: int, kind: int, flags: int, number: int, body: bytes) -> bytes:
    whole = struct.pack("=BBH", family, 0, 0) + body
    return struct.pack("=IHHII", 16 + len(whole), kind, flags, number, 0) + whole


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + length]
        at += max(16, (length + 3) & ~3)


def _fields(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & _KIND] = data[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)
    return found


def _field(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _group(kind: int, *parts: bytes) -> bytes:
    return _field(kind | _NESTED, b"".join(parts))


def entries(said: bytes) -> Iterator[Entry]:
    """The living TCP and UDP connections in a dump. Pure."""
    for kind, body in _messages(said):
        if kind == _NEW and (found := _entry(_fields(body[4:]))) is not None:
            yield found


def _entry(fields: dict[int, bytes]) -> Entry | None:
    protocol, original = _way(fields.get(_ORIGINAL, b""))
    _, reply = _way(fields.get(_REPLY, b""))
    if original is None or reply is None or protocol not in (_TCP, _UDP) or _TIMEOUT not in fields:
        return None
    tcp = _tcp(fields.get(_PROTOCOL_INFO, b"")) if protocol == _TCP else ()
    if tcp and tcp[0] in _OVER:
        return None
    status, timeout_s = (int.from_bytes(fields[key], "big") for key in (_STATUS, _TIMEOUT))
    return Entry(protocol, original, reply, status, timeout_s, tcp)


def _way(data: bytes) -> tuple[int, Way | None]:
    outer = _fields(data)
    ip, ports = _fields(outer.get(1, b"")), _fields(outer.get(2, b""))
    source, target = (3, 4) if 3 in ip else (1, 2)
    if not {source, target} <= ip.keys() or not {1, 2, 3} <= ports.keys():
        return 0, None
    return ports[1][0], Way(ip[source], ip[target], ports[2], ports[3])


def _tcp(data: bytes) -> tuple[int, int, int]:
    found = _fields(_fields(data).get(1, b""))
    return found.get(1, b"\0")[0], found.get(2, b"\0")[0], found.get(3, b"\0")[0]


def encode(entry: Entry) -> bytes:
    """What the kernel is told to have this connection: the attributes of the message. Pure."""
    parts = [_way_group(_ORIGINAL, entry.protocol, entry.original),
             _way_group(_REPLY, entry.protocol, entry.original.back)]  # fmt: skip
    if entry.status & _SOURCE_CHANGED:
        parts.append(_translation(_NAT_SOURCE, entry.reply.target, entry.reply.target_port))
    if entry.status & _TARGET_CHANGED:
        parts.append(_translation(_NAT_TARGET, entry.reply.source, entry.reply.source_port))
    numbers = ((_STATUS, entry.status & _KEPT), (_TIMEOUT, entry.timeout_s))
    parts += [_field(kind, struct.pack(">I", number)) for kind, number in numbers]
    return b"".join([*parts, *_tcp_group(entry)])


def _way_group(kind: int, protocol: int, way: Way) -> bytes:
    source, target = (3, 4) if way.is_six else (1, 2)
    ip = _group(1, _field(source, way.source), _field(target, way.target))
    ports = _group(2, _field(1, bytes([protocol])), _field(2, way.source_port), _field(3, way.target_port))
    return _group(kind, ip, ports)


def _translation(kind: int, address: bytes, port: bytes) -> bytes:
    least, most = (4, 5) if len(address) == _SIX else (1, 2)
    return _group(kind, _field(least, address), _field(most, address), _group(3, _field(1, port), _field(2, port)))


def _tcp_group(entry: Entry) -> Iterable[bytes]:
    if not entry.tcp:
        return
    state, scale, scale_back = entry.tcp
    flags = bytes([_LIBERAL, _LIBERAL])
    told = (bytes([state]), bytes([scale]), bytes([scale_back]), flags, flags)
    yield _group(_PROTOCOL_INFO, _group(1, *(_field(number, value) for number, value in enumerate(told, 1))))
