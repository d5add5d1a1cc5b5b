"""WebSockets as the verbs see them, and the pumps between a socket and a stream of the node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from vmpod.api.call import Call
from vmpod.api.streams import RESIZE, STDIN, STDOUT, Duplex
from vmpod.model import status

CHANNELS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
PLAIN: Final = "plain.kubevirt.io"
_CLOSE_CHANNEL: Final = 255  # v5: the byte that follows names the channel that has ended
_LAST_WORDS_S: Final = 0.2


class Socket(Protocol):
    """An open WebSocket."""

    async def receive(self) -> bytes | None:
        """The next binary message (text is given as its bytes); None when the client has closed."""
        ...

    async def send(self, data: bytes) -> None:
        """One binary message."""
        ...

    async def close(self) -> None:
        """The normal end, code 1000."""
        ...


@dataclass(frozen=True)
class Tunnel:
    """The answer to an upgrade: which subprotocol was chosen and what then goes on.

    `abandon` gives back what was opened if the upgrade never happens.
    """

    protocol: str
    run: Callable[[Socket], Awaitable[None]]
    abandon: Callable[[], Awaitable[None]]


def is_websocket(call: Call) -> bool:
    """Whether the client asks for a WebSocket, which is what streams go over here."""
    return call.request.headers.get("upgrade", "").lower() == "websocket"


def choose_protocol(call: Call, known: Sequence[str]) -> str:
    """The subprotocol to speak; empty when the client offers none.

    Raises ApiError 400 when the request is no upgrade or offers only what we do not speak.
    """
    upgrade = call.request.headers.get("upgrade", "").lower()
    if upgrade.startswith("spdy/"):
        raise status.bad_request("unable to upgrade: streams go over WebSockets here: use kubectl 1.31 or newer")
    if upgrade != "websocket":
        raise status.bad_request("Upgrade request required")
    offered = [text.strip() for text in call.request.headers.get("sec-websocket-protocol", "").split(",")]
    offered = [text for text in offered if text]
    for protocol in known:
        if protocol in offered:
            return protocol
    if offered:
        raise status.bad_request(
            f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {list(known)}"
        )
    return ""


def channels(duplex: Duplex, protocol: str) -> Tunnel:
    """Numbered channels: the first byte of each message (exec, attach)."""

    async def run(socket: Socket) -> None:
        await pump(_channels_in(socket, duplex), _channels_out(socket, duplex), duplex)
        await socket.close()

    return Tunnel(protocol, run, duplex.close)


async def _channels_in(socket: Socket, duplex: Duplex) -> None:
    while (message := await socket.receive()) is not None:
        if len(message) >= 2 and message[0] == _CLOSE_CHANNEL:
            if message[1] == STDIN:
                await duplex.send(STDIN, b"")
        elif len(message) > 1 and message[0] in (STDIN, RESIZE):
            await duplex.send(message[0], message[1:])


async def _channels_out(socket: Socket, duplex: Duplex) -> None:
    while (found := await duplex.receive()) is not None:
        channel, data = found
        await socket.send(bytes((channel,)) + data)


def plain(duplex: Duplex, protocol: str) -> Tunnel:
    """Bytes as they are (consoles, VNC, forwarded ports of machines)."""

    async def run(socket: Socket) -> None:
        await pump(_plain_in(socket, duplex), _plain_out(socket, duplex), duplex)
        await asyncio.sleep(_LAST_WORDS_S)  # virtctl can exit before it printed what came right before a close
        await socket.close()

    return Tunnel(protocol, run, duplex.close)


async def _plain_in(socket: Socket, duplex: Duplex) -> None:
    while (message := await socket.receive()) is not None:
        if message:
            await duplex.send(STDIN, message)


async def _plain_out(socket: Socket, duplex: Duplex) -> None:
    while (found := await duplex.receive()) is not None:
        channel, data = found
        if channel == STDOUT and data:
            await socket.send(data)


async def pump(inward: Coroutine[Any, Any, None], outward: Coroutine[Any, Any, None], duplex: Duplex) -> None:
    """Run both directions until the client leaves or the far side ends; then close the stream.

    Raises ConnectionAbortedError when the far side broke off, as for a console that another client has taken over.
    """
    tasks = [asyncio.ensure_future(inward), asyncio.ensure_future(outward)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[1] in done and (left := tasks[1].exception()) is not None and _is_hang_up(left):
            await asyncio.wait(tasks, timeout=_LAST_WORDS_S)  # the client is gone; what it had sent still goes through
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await duplex.close()
    for task in done:
        if not task.cancelled() and (fault := task.exception()) is not None and not _is_hang_up(fault):
            raise fault


def _is_hang_up(fault: BaseException) -> bool:
    if isinstance(fault, ConnectionAbortedError):
        return False
    return isinstance(fault, (ConnectionError, asyncio.IncompleteReadError))
