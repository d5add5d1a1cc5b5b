"""Raw bytes into a qcow2 image, in one pass, so that the room that they took is given back on the way.

`qemu-img convert` needs the whole of its source until the end: twice the room of the data. What is poured is read once,
written to `qemu-nbd`, and punched out of the source.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.drivers.disks import nbd, nbdserver

_PIECE_BYTES, _CLUSTER_BYTES = 1 << 20, 1 << 16
_WINDOW_BYTES = 8 << 20  # so much is read before its room is given back
_PUNCH = 1 | 2  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, fallocate(2)


def pour(source: Path, target: Path, each: Callable[[int], None]) -> None:
    """Make a new qcow2 image of a raw one that is not needed any more. `each` hears of the bytes so far.

    Raises Problem and OSError.
    """
    size = source.stat().st_size
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", str(target), str(size)]
    asyncio.run(proc.run(argv, what=f"convert {source}"))
    listener, connection = nbdserver.pair()
    node = {"driver": "qcow2", "file": {"driver": "file", "filename": str(target)}}
    with source.open("r+b", buffering=0) as file, nbdserver.serve(node, listener, writable=True), connection:
        client, freed = nbd.Client(connection), 0
        for start, data in _data(file, size):
            for offset, part in _parts(data):
                client.write(start + offset, part)
            if start - freed >= _WINDOW_BYTES:
                give_back(file.fileno(), start)
                freed = start
                each(start)
        client.flush()
        client.close()


def give_back(handle: int, end: int) -> None:
    """Let the room of a file's first bytes go, where the file system can; it stays as long as it was."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate(handle, _PUNCH, ctypes.c_long(0), ctypes.c_long(end))


def _data(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """What is in a file, without its holes: where, and the bytes."""
    start = 0
    while start < size:
        try:
            start = os.lseek(file.fileno(), start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        start -= start % _CLUSTER_BYTES
        piece = os.pread(file.fileno(), _PIECE_BYTES, start)
        if not piece:
            raise Problem(f"convert {file.name}", "it has become shorter meanwhile", reason="Failed")
        yield start, piece
        start += len(piece)


def _parts(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """The parts of a piece that are not zeros, by clusters of the image."""
    view, begun = memoryview(data), -1
    for offset in range(0, len(data), _CLUSTER_BYTES):
        is_zero = not data[offset:offset + _CLUSTER_BYTES].strip(b"\0")
        if is_zero and begun >= 0:
            yield begun, view[begun:offset]
            begun = -1
        elif not is_zero and begun < 0:
            begun = offset
    if begun >= 0:
        yield begun, view[begun:]
