"""Sockets made inside another network namespace.

A thread may enter a namespace on its own (setns(2)); a socket stays in the one where it was made. So a thread
of its own goes in, makes the socket and ends; the event loop never leaves its namespace.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

from vmpod.drivers.net import inside

_CONNECT_S = 5.0


def _listen(path: str, port: int) -> socket.socket:
    inside.enter(path)
    made = socket.create_server(("", port), backlog=64)
    made.setblocking(False)
    return made


def _connect(path: str, address: tuple[str, int]) -> socket.socket:
    if path:
        inside.enter(path)
    made = socket.create_connection(address, timeout=_CONNECT_S)
    made.setblocking(False)
    return made


async def connect(path: str, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection from within the namespace at `path` ("": this one). Raises OSError."""
    return await asyncio.open_connection(sock=await _made(lambda: _connect(path, (host, port))))


async def listen(path: str, port: int) -> socket.socket:
    """A socket that takes TCP connections within the namespace at `path`. Raises OSError."""
    return await _made(lambda: _listen(path, port))


async def _made(make: Callable[[], socket.socket]) -> socket.socket:
    """A socket that a thread of its own makes."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[socket.socket] = loop.create_future()

    def finish(made: socket.socket | None, error: OSError | None) -> None:
        if done.cancelled():
            if made is not None:
                made.close()
        elif made is not None:
            done.set_result(made)
        elif error is not None:
            done.set_exception(error)

    def run() -> None:
        try:
            made = make()
        except OSError as error:
            loop.call_soon_threadsafe(finish, None, error)
        else:
            loop.call_soon_threadsafe(finish, made, None)

    threading.Thread(target=run, name="netns", daemon=True).start()
    return await done
