"""qemu-nbd for one connection of ours, over a socket that nobody else knows."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from vmpod.base.errors import Problem

_SERVER_FD = 3  # SD_LISTEN_FDS_START
_FIRST_FD = 10  # what is opened here is kept out of the way of that one


def moved(handle: int) -> int:
    """A copy of an open file whose number is out of the way of the server's socket."""
    return fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)


def pair() -> tuple[socket.socket, socket.socket]:
    """A listening socket and a connection to it; its name is gone before anybody else could use it."""
    with tempfile.TemporaryDirectory(prefix="vmpod-") as folder:
        listener, connection = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/s")
        listener.listen(1)
        connection.connect(f"{folder}/s")
    with listener, connection:
        return socket.socket(fileno=moved(listener.fileno())), socket.socket(fileno=moved(connection.fileno()))


def serve(
    node: dict[str, Any], listener: socket.socket, handles: Sequence[int] = (), *, writable: bool = False
) -> subprocess.Popen[bytes]:
    """qemu-nbd on the socket, which is handed over as systemd does (sd_listen_fds(3)) and then its alone.

    It shows the block node, which may be made of the open files `handles`, and ends with its connection.
    """
    argv = ["qemu-nbd", *(() if writable else ("--read-only",)), f"json:{json.dumps(node)}"]
    argv = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh", *argv]
    none, number = subprocess.DEVNULL, listener.fileno()
    try:
        return subprocess.Popen(argv, stdin=none, stdout=none, pass_fds=[_SERVER_FD, *handles],
                                preexec_fn=lambda: os.dup2(number, _SERVER_FD))  # fmt: skip
    except FileNotFoundError:
        raise Problem("read the disk", "qemu-nbd is not installed", "vmpod doctor", "Missing") from None
    finally:
        listener.close()
