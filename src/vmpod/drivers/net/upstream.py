"""Questions about the outside, asked of the host's own name servers, with a small memory."""

from __future__ import annotations

import os
import socket
import struct
import time

from vmpod.drivers.net import dnswire
from vmpod.drivers.net.dnswire import SERVFAIL, Answer, Malformed, Query, Record
from vmpod.drivers.net.loop import READ, WRITE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_RESOLV_CONF = "/etc/resolv.conf"
_TRY_S = 2.0
_TRIES = 3
_PENDING = 256
_CACHED = 1000
_LONGEST_S, _NEGATIVE_S = 300, 5


def read_servers(path: str = _RESOLV_CONF, *, but: str = "") -> list[str]:
    """The IPv4 name servers a resolv.conf names, without the address `but` (our own)."""
    try:
        with open(path) as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    named = [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]
    return [server for server in named if ":" not in server and server != but][:3]


class Outcome:
    """An answer from outside: its code and records, as the asking side puts into its own message."""

    __slots__ = ("answers", "authorities", "extras", "rcode")

    def __init__(self, rcode: int, answers: list[Record], authorities: list[Record], extras: list[Record]) -> None:
        self.rcode, self.answers, self.authorities, self.extras = rcode, answers, authorities, extras


FAILED = Outcome(SERVFAIL, [], [], [])


class Upstream:
    """Asks the servers of resolv.conf in turn; each question has a socket, so a port and an id, of its own."""

    def __init__(self, loop: Loop, own_address: str, resolv_conf: str = _RESOLV_CONF) -> None:
        self._loop, self._own, self._path = loop, own_address, resolv_conf
        self._pending = 0
        self._memory: dict[tuple[str, int, int], tuple[float, float, Outcome]] = {}

    def resolve(self, query: Query, name: str, done: Callable[[Outcome], None]) -> None:
        """Call `done` once: from memory at once, else with the first server's answer, or with FAILED."""
        key = (name, query.qtype, query.qclass)
        known = self._recall(key)
        if known is not None:
            done(known)
            return
        servers = read_servers(self._path, but=self._own)
        if not servers or self._pending >= _PENDING:
            done(FAILED)
            return
        self._pending += 1
        _Question(self._loop, query, name, servers, lambda outcome: self._finish(key, outcome, done)).start()

    def _finish(self, key: tuple[str, int, int], outcome: Outcome, done: Callable[[Outcome], None]) -> None:
        self._pending -= 1
        life = _lifetime(outcome)
        if life > 0:
            if len(self._memory) >= _CACHED:
                self._memory.pop(next(iter(self._memory)))
            now = time.monotonic()
            self._memory[key] = (now, now + life, outcome)
        done(outcome)

    def _recall(self, key: tuple[str, int, int]) -> Outcome | None:
        """A remembered answer with the time it has left; None when there is none."""
        entry = self._memory.get(key)
        if entry is None:
            return None
        since, until, outcome = entry
        now = time.monotonic()
        if now >= until:
            del self._memory[key]
            return None
        age = int(now - since)
        sections = (outcome.answers, outcome.authorities, outcome.extras)
        return Outcome(outcome.rcode, *(_aged(rows, age) for rows in sections))


def _aged(rows: list[Record], age_s: int) -> list[Record]:
    return [(name, kind, max(0, ttl - age_s), data) for name, kind, ttl, data in rows]


def _lifetime(outcome: Outcome) -> int:
    """How many seconds an answer may be remembered; 0 for failures."""
    if outcome.rcode not in (dnswire.NOERROR, dnswire.NXDOMAIN):
        return 0
    if not outcome.answers:
        return _NEGATIVE_S
    return min(_LONGEST_S, *(row[2] for row in outcome.answers))


class _Question:
    """One question on its way: over UDP, over TCP when the answer was cut, then the next server."""

    def __init__(
        self, loop: Loop, query: Query, name: str, servers: list[str], done: Callable[[Outcome], None]
    ) -> None:
        self._loop, self._query, self._name, self._servers, self._done = loop, query, name, servers, done
        self._socket: socket.socket | None = None
        self._attempt = 0
        self._id = 0
        self._over = False
        self._buffer = b""

    def start(self) -> None:
        self._try(stream=False)

    def _server(self) -> tuple[str, int]:
        return self._servers[self._attempt % len(self._servers)], 53

    def _try(self, *, stream: bool) -> None:
        self._close()
        self._id = int.from_bytes(os.urandom(2), "big")
        self._buffer = b""
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        self._socket = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
        attempt = self._attempt
        self._loop.later(_TRY_S, lambda: self._expire(attempt))
        try:
            self._socket.connect_ex(self._server())
            if stream:
                self._loop.watch(self._socket.fileno(), self._on_connected, WRITE)
            else:
                self._socket.send(self._message())
                self._loop.watch(self._socket.fileno(), self._on_datagram)
        except OSError:
            self._next()

    def _message(self) -> bytes:
        return dnswire.ask(self._id, self._query, self._name)

    def _on_datagram(self, _events: int) -> None:
        assert self._socket is not None
        try:
            self._accept(self._socket.recv(65535))
        except BlockingIOError:
            return
        except OSError:
            self._next()

    def _on_connected(self, _events: int) -> None:
        assert self._socket is not None
        message = self._message()
        try:
            self._socket.send(struct.pack("!H", len(message)) + message)
        except OSError:
            self._next()
            return
        self._loop.watch(self._socket.fileno(), self._on_stream, READ)

    def _on_stream(self, _events: int) -> None:
        assert self._socket is not None
        try:
            piece = self._socket.recv(65535)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._buffer += piece
        if len(self._buffer) >= 2 and len(self._buffer) >= 2 + int.from_bytes(self._buffer[:2], "big"):
            self._accept(self._buffer[2:])
        elif not piece:
            self._next()

    def _accept(self, data: bytes) -> None:
        try:
            answer = Answer(data)
        except Malformed:
            return  # not what we asked for: a later, right one may still come before the time is up
        if answer.id != self._id or answer.question != (self._name, self._query.qtype, self._query.qclass):
            return
        if answer.truncated:
            self._try(stream=True)
        elif answer.rcode == SERVFAIL and self._attempt + 1 < len(self._servers):
            self._next()
        else:
            self._end(Outcome(answer.rcode, answer.answers, answer.authorities, answer.extras))

    def _expire(self, attempt: int) -> None:
        if not self._over and attempt == self._attempt:
            self._next()

    def _next(self) -> None:
        self._attempt += 1
        if self._attempt >= _TRIES:
            self._end(FAILED)
        else:
            self._try(stream=False)

    def _end(self, outcome: Outcome) -> None:
        self._over = True
        self._close()
        self._done(outcome)

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
