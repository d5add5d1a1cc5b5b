"""Connections made inside another network namespace.

A thread may enter a namespace on its own (setns(2)); a socket stays in the one where it was made. So a thread
of its own goes in, connects and ends; the event loop never leaves its namespace.
"""

from __future__ import annotations

import asyncio
import socket
import threading

from vmpod.drivers.net import inside

_CONNECT_S = 5.0


def _connect(path: str, address: tuple[str, int]) -> socket.socket:
    if path:
        inside.enter(path)
    made = socket.create_connection(address, timeout=_CONNECT_S)
    made.setblocking(False)
    return made


async def connect(path: str, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection from within the namespace at `path` ("": this one). Raises OSError."""
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
            made = _connect(path, (host, port))
        except OSError as error:
            loop.call_soon_threadsafe(finish, None, error)
        else:
            loop.call_soon_threadsafe(finish, made, None)

    threading.Thread(target=run, name="connect", daemon=True).start()
    return await asyncio.open_connection(sock=await done)
