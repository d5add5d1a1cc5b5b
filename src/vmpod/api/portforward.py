"""Ports of a pod, forwarded over SPDY/3.1 frames inside a WebSocket.

For each connection the client opens two streams with the same `requestid`: `error`, on which we tell why it failed,
and `data`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from vmpod.api import spdy
from vmpod.api.sockets import Socket
from vmpod.api.streams import STDIN, STDOUT, Duplex
from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks

PROTOCOL: Final = "SPDY/3.1+portforward.k8s.io"
_MAX_WAITING: Final = 64  # chunks of one connection that wait for the pod; then the session is not read any further

OpenPort = Callable[[int], Awaitable[Duplex]]
_log = log.get("api.portforward")


class Forwarder:
    """One session of port forwarding."""

    def __init__(self, socket: Socket, open_port: OpenPort) -> None:
        self._socket = socket
        self._open = open_port
        self._session = spdy.Session()
        self._errors: dict[str, int] = {}
        self._pairs: dict[int, Pair] = {}
        self._room = asyncio.Condition()
        self._tasks = Tasks()

    async def run(self) -> None:
        """Serve until the client leaves."""
        try:
            while (data := await self._socket.receive()) is not None:
                for event in self._session.feed(data):
                    await self._take(event)
        except spdy.Violation as fault:
            _log.warning("port forwarding ended: %s", fault)
            await self._socket.send(self._session.goaway())
        except ConnectionError:
            pass
        finally:
            await self._tasks.stop()

    async def _take(self, event: spdy.Event) -> None:
        match event:
            case spdy.Opened():
                await self._opened(event)
            case spdy.Data():
                await self._data(event)
            case spdy.Reset(stream):
                self._end(stream)
            case spdy.Pinged(number):
                await self._socket.send(self._session.pong(number))
            case spdy.Widened():
                async with self._room:
                    self._room.notify_all()
            case spdy.Leaving():
                pass

    async def _opened(self, event: spdy.Opened) -> None:
        await self._socket.send(self._session.reply(event.stream))
        request = event.headers.get("requestid", "")
        match event.headers.get("streamtype"):
            case "error":
                self._errors[request] = event.stream
            case "data" if (port := _port(event.headers)) and request in self._errors:
                pair = Pair(event.stream, self._errors.pop(request), port)
                self._pairs[event.stream] = pair
                self._tasks.start(self._serve(pair), f"port-forward {port}")
                if event.fin:
                    await pair.inbox.put(b"")
            case _:
                await self._socket.send(self._session.reset(event.stream, 1))

    async def _data(self, event: spdy.Data) -> None:
        if pair := self._pairs.get(event.stream):
            if event.data:
                await pair.inbox.put(event.data)
            if event.fin:
                await pair.inbox.put(b"")
        elif event.data:
            await self._socket.send(self._session.consumed(event.stream, len(event.data)))

    def _end(self, stream: int) -> None:
        self._session.forget(stream)
        if (pair := self._pairs.pop(stream, None)) and pair.task is not None:
            pair.task.cancel()

    async def _serve(self, pair: Pair) -> None:
        """One connection, from its opening to its end."""
        pair.task = asyncio.current_task()
        try:
            duplex = await self._open(pair.port)
        except Problem as fault:
            await self._fail(pair, f"error forwarding port {pair.port} to pod: {fault}")
            return
        try:
            await self._carry(pair, duplex)
        finally:
            await duplex.close()
            self._pairs.pop(pair.data, None)
            self._session.forget(pair.data)
            self._session.forget(pair.error)

    async def _fail(self, pair: Pair, why: str) -> None:
        await self._send(pair.error, why.encode(), fin=True)
        await self._send(pair.data, b"", fin=True)
        self._end(pair.data)

    async def _carry(self, pair: Pair, duplex: Duplex) -> None:
        inward = asyncio.ensure_future(self._inward(pair, duplex))
        try:
            while (found := await duplex.receive()) is not None:
                if found[0] == STDOUT and found[1]:
                    await self._send(pair.data, found[1])
            await self._send(pair.data, b"", fin=True)
            await self._send(pair.error, b"", fin=True)
        finally:
            inward.cancel()
            await asyncio.gather(inward, return_exceptions=True)

    async def _inward(self, pair: Pair, duplex: Duplex) -> None:
        while True:
            data = await pair.inbox.get()
            await duplex.send(STDIN, data)
            if not data:
                return
            await self._socket.send(self._session.consumed(pair.data, len(data)))

    async def _send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        while data:
            async with self._room:
                await self._room.wait_for(lambda: self._session.room(stream) > 0)
                part = data[: self._session.room(stream)]
            data = data[len(part) :]
            await self._socket.send(self._session.data(stream, part, fin=fin and not data))
            if fin and not data:
                return
        if fin:
            await self._socket.send(self._session.data(stream, b"", fin=True))


class Pair:
    """The two streams of one forwarded connection, and what the client sent that the pod has not taken."""

    def __init__(self, data: int, error: int, port: int) -> None:
        self.data = data
        self.error = error
        self.port = port
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue(_MAX_WAITING)
        self.task: asyncio.Task[None] | None = None


def _port(headers: Mapping[str, str]) -> int:
    text = headers.get("port", "")
    return int(text) if text.isdecimal() and 0 < int(text) < 65536 else 0
