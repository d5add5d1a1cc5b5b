"""Byte streams into a machine: serial console (several readers), screen, forwarded ports."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import cast

from vmpod.base.tasks import Tasks
from vmpod.drivers.qemu import sockets
from vmpod.node.duplexes import STDIN, STDOUT, ConnectionDuplex

_BACKLOG_BYTES = 1 << 20
_DATAGRAMS = 1024
_CONNECT_TIMEOUT_S = 5.0


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


class Reader:
    """One reader of a console. One that is too slow loses its oldest output; the guest never waits for it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._ended = False

    def put(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        while self._held > _BACKLOG_BYTES and len(self._pieces) > 1:
            self._held -= len(self._pieces.popleft())
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def receive(self) -> tuple[int, bytes] | None:
        while not self._pieces:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        data = self._pieces.popleft()
        self._held -= len(data)
        return STDOUT, data

    async def send(self, channel: int, data: bytes) -> None:
        if channel == STDIN and data:
            await self._console.write(data)

    async def close(self) -> None:
        self.end()
        await self._console.leave(self)


class Console:
    """A serial port shared by any number of readers: QEMU itself serves one connection at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tasks = Tasks()
        self._readers: list[Reader] = []
        self._line: ConnectionDuplex | None = None
        self._lock = asyncio.Lock()

    async def join(self) -> Reader:
        """One more reader, from now on. Raises OSError when the machine is gone."""
        async with self._lock:
            if self._line is None:
                self._line = await open_socket(self._path)
                self._tasks.start(self._spread(self._line), f"console {self._path}")
            reader = Reader(self)
            self._readers.append(reader)
            return reader

    async def _spread(self, line: ConnectionDuplex) -> None:
        while (piece := await line.receive()) is not None:
            for reader in self._readers:
                reader.put(piece[1])
        await self._hang_up()

    async def _hang_up(self) -> None:
        line, self._line = self._line, None
        for reader in self._readers:
            reader.end()
        self._readers.clear()
        if line is not None:
            await line.close()

    async def write(self, data: bytes) -> None:
        """Keys from any of the readers."""
        if self._line is not None:
            await self._line.send(STDIN, data)

    async def leave(self, reader: Reader) -> None:
        """The last one to leave hangs up, so that another engine or tool may take the port."""
        async with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
            if not self._readers and self._line is not None:
                await self._tasks.stop()
                await self._hang_up()

    async def close(self) -> None:
        """End every reader."""
        await self._tasks.stop()
        await self._hang_up()
