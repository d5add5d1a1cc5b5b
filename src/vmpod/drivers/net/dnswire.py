"""DNS messages as bytes (RFC 1035, EDNS of RFC 6891), as far as a resolver in front of others needs them.

Own code instead of a library: dnspython alone doubles the resident memory of the resolver process (23 MB, not 11).
"""

from __future__ import annotations

import socket
import struct

A, CNAME, SOA, PTR, AAAA, SRV, OPT, ANY = 1, 5, 6, 12, 28, 33, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
_QR, _AA, _TC, _RD, _RA, _CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_HEADER = struct.Struct("!6H")
_ROW = struct.Struct("!HHIH")  # type, class, TTL, length of data
_OUR_PAYLOAD = 1232  # what passes every path unfragmented (DNS flag day 2020)
_POINTERS = 32  # more jumps than this in one name are a loop

Record = tuple[str, int, int, bytes]  # name, type, TTL in seconds, data


class Malformed(ValueError):
    """Bytes that are no DNS query we can read."""


class Query:
    """One question: `name` in lower case without the last dot, `question` its bytes as asked, `room` in bytes."""

    __slots__ = ("edns", "flags", "id", "name", "qclass", "qtype", "question", "room")

    def __init__(self, data: bytes) -> None:
        """Raises Malformed."""
        if len(data) < 12:
            raise Malformed("shorter than a header")
        self.id, self.flags, questions, answers, authorities, extras = _HEADER.unpack_from(data)
        if self.flags & _QR or questions != 1:
            raise Malformed("not one question")
        self.name, end = read_name(data, 12)
        if end + 4 > len(data):
            raise Malformed("question cut off")
        self.qtype, self.qclass = struct.unpack_from("!HH", data, end)
        self.question = data[12 : end + 4]
        self.edns, self.room = False, 512
        self._read_edns(data, end + 4, answers + authorities + extras)

    def _read_edns(self, data: bytes, at: int, rows: int) -> None:
        for _ in range(min(rows, 16)):
            _, at = read_name(data, at)
            kind, size, _, length = _row(data, at)
            at += _ROW.size + length
            if kind == OPT:
                self.edns, self.room = True, max(512, min(size, 4096))

    @property
    def opcode(self) -> int:
        return int(self.flags) >> 11 & 0xF


def _row(data: bytes, at: int) -> tuple[int, int, int, int]:
    if at + _ROW.size > len(data):
        raise Malformed("record cut off")
    kind, klass, ttl, length = _ROW.unpack_from(data, at)
    if at + _ROW.size + length > len(data):
        raise Malformed("record data cut off")
    return kind, klass, ttl, length


def read_name(data: bytes, at: int) -> tuple[str, int]:
    """The name at an offset, following compression, and the offset behind it. Raises Malformed."""
    labels: list[bytes] = []
    end, jumps, total = -1, 0, 0
    while True:
        if at >= len(data):
            raise Malformed("name cut off")
        length = data[at]
        if length >= 0xC0:
            if at + 1 >= len(data) or jumps >= _POINTERS:
                raise Malformed("bad name pointer")
            end = at + 2 if end < 0 else end
            at, jumps = (length & 0x3F) << 8 | data[at + 1], jumps + 1
            continue
        if length > 63:
            raise Malformed("bad label")
        at += 1 + length
        if length == 0:
            return b".".join(labels).decode("latin-1").lower(), at if end < 0 else end
        labels.append(data[at - length : at])
        total += length + 1
        if at > len(data) or total > 254:
            raise Malformed("name too long or cut off")


def write_name(name: str) -> bytes:
    """A name in wire form, uncompressed. Raises Malformed when a label is empty or too long."""
    out = bytearray()
    for label in name.encode("latin-1", "replace").split(b".") if name else ():
        if not 0 < len(label) < 64:
            raise Malformed(f"bad label in {name!r}")
        out += bytes((len(label),)) + label
    return bytes(out) + b"\0"


def address(name: str, ip: str, ttl: int) -> Record:
    if ":" in ip:
        return name, AAAA, ttl, socket.inet_pton(socket.AF_INET6, ip)
    return name, A, ttl, socket.inet_aton(ip)


def alias(name: str, target: str, ttl: int) -> Record:
    return name, CNAME, ttl, write_name(target)


def pointer(name: str, target: str, ttl: int) -> Record:
    return name, PTR, ttl, write_name(target)


def service(name: str, port: int, target: str, ttl: int, weight: int = 100) -> Record:
    return name, SRV, ttl, struct.pack("!HHH", 0, weight, port) + write_name(target)


def authority(domain: str, ttl: int) -> Record:
    """The SOA record that goes with "no such name" and "no such data", so that clients may remember that."""
    numbers = struct.pack("!5I", 1, 7200, 1800, 86400, ttl)
    return domain, SOA, ttl, write_name(f"ns.dns.{domain}") + write_name(f"hostmaster.{domain}") + numbers


def reply(
    query: Query, rcode: int, answers: list[Record] = [], authorities: list[Record] = [],  # noqa: B006
    extras: list[Record] = [], *, authoritative: bool = False, room: int = 0,  # noqa: B006
) -> bytes:  # fmt: skip
    """The answer to a query; cut to an empty one marked TC where it exceeds `room` bytes (0: the client's own)."""
    flags = _QR | query.flags & (0x7800 | _RD | _CD) | _RA | (_AA if authoritative else 0) | rcode
    opt = b"\0" + _ROW.pack(OPT, _OUR_PAYLOAD, 0, 0) if query.edns else b""
    body = b"".join(_write(query, row) for row in (*answers, *authorities, *extras)) + opt
    counts = (1, len(answers), len(authorities), len(extras) + (1 if opt else 0))
    if 12 + len(query.question) + len(body) > (room or query.room):
        return _HEADER.pack(query.id, flags | _TC, 1, 0, 0, 1 if opt else 0) + query.question + opt
    return _HEADER.pack(query.id, flags, *counts) + query.question + body


def _write(query: Query, record: Record) -> bytes:
    name, kind, ttl, data = record
    owner = b"\xc0\x0c" if name == query.name else write_name(name)
    return owner + _ROW.pack(kind, 1, ttl, len(data)) + data


def ask(identity: int, query: Query, name: str = "") -> bytes:
    """A query of our own for the same type, for another name if given."""
    question = write_name(name) + struct.pack("!HH", query.qtype, query.qclass) if name else query.question
    opt = b"\0" + _ROW.pack(OPT, _OUR_PAYLOAD, 0, 0)
    return _HEADER.pack(identity, _RD | query.flags & _CD, 1, 0, 0, 1) + question + opt


class Answer:
    """An upstream's answer: its code and the records of all sections but EDNS, names decompressed."""

    __slots__ = ("answers", "authorities", "extras", "id", "question", "rcode", "truncated")

    def __init__(self, data: bytes) -> None:
        """Raises Malformed."""
        if len(data) < 12:
            raise Malformed("shorter than a header")
        self.id, flags, questions, *counts = _HEADER.unpack_from(data)
        if not flags & _QR or questions != 1:
            raise Malformed("not an answer to one question")
        self.rcode, self.truncated = flags & 0xF, bool(flags & _TC)
        name, at = read_name(data, 12)
        self.question = (name, *struct.unpack_from("!HH", data.ljust(at + 4, b"\0"), at))
        at += 4
        sections: list[list[Record]] = []
        for count in counts:
            rows, at = _read_rows(data, at, 0 if self.truncated else count)
            sections.append(rows)
        self.answers, self.authorities, self.extras = sections


def _read_rows(data: bytes, at: int, count: int) -> tuple[list[Record], int]:
    rows: list[Record] = []
    for _ in range(count):
        name, at = read_name(data, at)
        kind, _, ttl, length = _row(data, at)
        at += _ROW.size
        if kind != OPT:
            rows.append((name, kind, ttl & 0x7FFFFFFF, _plain_data(data, at, kind, length)))
        at += length
    return rows, at


# type → bytes before, number of, bytes after the names in its data: NS, CNAME, PTR, SOA, MX, SRV, DNAME
_NAMES_IN_DATA = {
    2: (0, 1, 0), CNAME: (0, 1, 0), PTR: (0, 1, 0), SOA: (0, 2, 20), 15: (2, 1, 0), SRV: (6, 1, 0), 39: (0, 1, 0),
}  # fmt: skip


def _plain_data(data: bytes, at: int, kind: int, length: int) -> bytes:
    """Record data without compression; only the types of RFC 1035 (and SRV, DNAME) may hold pointers (RFC 3597)."""
    head, names, tail = _NAMES_IN_DATA.get(kind, (length, 0, 0))
    out, here = data[at : at + head], at + head
    for _ in range(names):
        name, here = read_name(data, here)
        out += write_name(name)
    return out + data[here : here + tail]
