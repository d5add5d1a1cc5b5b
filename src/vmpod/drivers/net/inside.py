"""Sockets of other network namespaces.

A thread may enter a namespace on its own (setns(2)); a socket stays in the one where it was made. So a thread of its
own goes in, makes the socket and ends; the others never leave their namespace.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter(path: str) -> None:
    """Take the calling thread into the namespace at `path`, for good. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(handle)


def made_inside(path: str, make: Callable[[], socket.socket]) -> socket.socket:
    """The socket that `make` makes within the namespace at `path`. Raises OSError."""
    made: list[socket.socket] = []
    errors: list[OSError] = []

    def work() -> None:
        try:
            enter(path)
            made.append(make())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="inside", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]
