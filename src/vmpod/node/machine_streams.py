"""Byte streams into a machine: serial console, screen, USB ports, forwarded ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from vmpod.drivers.qemu import sockets
from vmpod.node.duplexes import STDIN, STDOUT, ConnectionDuplex

_DATAGRAMS = 1024
_CONNECT_TIMEOUT_S = 5.0
_LAST_READ_S = 1.0


async def open_socket(path: Path) -> ConnectionDuplex:
    """Connect to a unix socket of QEMU's. Raises OSError when nobody listens."""
    reader, writer = await asyncio.open_unix_connection(sock=sockets.connect(path))
    return ConnectionDuplex(reader, writer)


async def open_tcp(host: str, port: int) -> ConnectionDuplex:
    """Connect to a port. Raises OSError (TimeoutError after 5 s)."""
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_TIMEOUT_S)
    return ConnectionDuplex(reader, writer)


class Datagrams(asyncio.DatagramProtocol):
    """A UDP peer as a stream: each piece is one datagram."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue(_DATAGRAMS + 1)
        self._transport: asyncio.DatagramTransport | None = None
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # no loop's own class says that it is one

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._arrived.qsize() < _DATAGRAMS:  # a datagram may be lost
            self._arrived.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived.put_nowait(None)
        self._lost.set()

    async def receive(self) -> tuple[int, bytes] | None:
        data = await self._arrived.get()
        return None if data is None else (STDOUT, data)

    async def send(self, channel: int, data: bytes) -> None:
        if channel == STDIN and data and self._transport is not None:
            self._transport.sendto(data)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await self._lost.wait()


async def open_udp(host: str, port: int) -> Datagrams:
    """A socket that talks to one UDP port. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_datagram_endpoint(Datagrams, remote_addr=(host, port))
    return peer


class Seated:
    """The one client of a `Seat`."""

    def __init__(self, line: ConnectionDuplex, leave: Callable[[Seated], None]) -> None:
        self._line = line
        self._leave = leave
        self._is_displaced = False

    async def receive(self) -> tuple[int, bytes] | None:
        """Raises ConnectionAbortedError once another client has taken the seat."""
        piece = None if self._is_displaced else await self._line.receive()
        if self._is_displaced:
            raise ConnectionAbortedError("another client took over")
        return piece

    async def send(self, channel: int, data: bytes) -> None:
        if data:
            await self._line.send(channel, data)

    async def displace(self) -> None:
        """Another client sits here now."""
        self._is_displaced = True
        await self._line.close()

    async def close(self) -> None:
        """Let go once the machine has taken what was sent: QEMU drops what is unread when it sees the end first.

        It closes in answer to ours; one whose guest takes nothing is left after a second.
        """
        self._leave(self)
        if not self._is_displaced:
            await self._line.send(STDIN, b"")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._drained(), _LAST_READ_S)
        await self._line.close()

    async def _drained(self) -> None:
        while await self._line.receive() is not None:
            pass


class Seat:
    """A socket of a machine that one client at a time has: whoever comes next takes it over, as in KubeVirt.

    Nothing is read ahead. While its client takes nothing, QEMU keeps what comes out and the guest waits, so nothing
    is lost; a client that hangs is let go by whoever carries its stream, which frees the guest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._sitting: Seated | None = None

    @property
    def is_taken(self) -> bool:
        """Whether a client sits here."""
        return self._sitting is not None

    async def take(self) -> Seated:
        """Sit down, in the place of whoever sat here. Raises OSError when the machine is gone."""
        async with self._lock:
            before, self._sitting = self._sitting, None
            if before is not None:
                await before.displace()
            self._sitting = Seated(await open_socket(self._path), self._left)
            return self._sitting

    def _left(self, one: Seated) -> None:
        if self._sitting is one:
            self._sitting = None

    async def close(self) -> None:
        """End the client's stream."""
        if self._sitting is not None:
            await self._sitting.close()
