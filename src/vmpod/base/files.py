"""Files where a guest, a container or QEMU may write too: what lies there is never followed or waited for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COPIED_BYTES = 1 << 20


def open_plain(path: Path, *, write: bool = False) -> BinaryIO:
    """Open a regular file that is there, for reading (and writing).

    Raises OSError: ELOOP for a symbolic link, EINVAL for a pipe, folder or device.
    """
    handle = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _PLAIN)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(handle, "r+b" if write else "rb")


def write_anew(path: Path, data: bytes) -> None:
    """Replace a file: whatever had its name is removed, not written to. Raises OSError."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)


def copy_sparse(source: BinaryIO, target: Path, each: Callable[[int], None] | None = None) -> None:
    """Write a stream to a new file, zeroes as holes. `each` hears of the bytes so far, every 8 MiB; it may raise."""
    done = 0
    with target.open("wb") as out:
        while block := source.read(_COPIED_BYTES):
            if block.strip(b"\0"):
                out.write(block)
            else:
                out.seek(len(block), os.SEEK_CUR)
            done += len(block)
            if each is not None and done % (8 * _COPIED_BYTES) < _COPIED_BYTES:
                each(done)
        out.truncate()
