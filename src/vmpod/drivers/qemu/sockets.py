"""Connecting to a unix socket in a folder that QEMU may write: to a socket that lies there, and to no other.

It goes through a descriptor of the socket, for which a path longer than an address (107 bytes) is no matter either.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path


def connect(path: Path) -> socket.socket:
    """A non-blocking stream connected to `path`.

    Raises OSError (FileNotFoundError, ConnectionRefusedError) when nobody listens, and for a symbolic link.
    """
    out = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(out, path)
    except BaseException:
        out.close()
        raise
    out.setblocking(False)
    return out


def _connect(out: socket.socket, path: Path) -> None:
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise OSError(errno.ENOTSOCK, "it is not a socket", str(path))
        out.connect(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
