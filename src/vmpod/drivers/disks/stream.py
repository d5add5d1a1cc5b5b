"""A disk as a stream of bytes: a process of its own, `python -m vmpod.drivers.disks.stream JSON PARENT`.

It reads one job (see `Job`) from its first argument and writes the disk as the guest sees it to its standard output:
raw, or packed by gzip. It opens the images of the chain itself, and no other file: what an image says of its backing
file is not looked at. Then it becomes a user without privileges, and has the chain put together by `qemu-nbd`, over a
socket that nobody else knows. No temporary file is made, and what is zero is never read.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vmpod.base import files
from vmpod.base.errors import Problem
from vmpod.drivers.disks import nbd, nbdserver
from vmpod.drivers.disks.lifeline import end_with

_PIECE_BYTES = 2 << 20
_ZEROS_BYTES = 32 << 20  # zeros that one ready-made member of a gzip file stands for
_LEVEL = 1  # of gzip: the others cost several times as much, for a tenth less


@dataclass(frozen=True)
class Job:
    """What to send: the images from the disk down to its base as (path, format), and which bytes of the disk.

    `packing` is gzip or empty; `end` -1 is the end of the disk; `uid` is who reads, with a group of the same number.
    """

    images: tuple[tuple[str, str], ...]
    packing: str = ""
    start: int = 0
    end: int = -1
    uid: int = 107


def run(job: Job, out: BinaryIO, parent: int) -> None:
    """Do the whole job, while the process `parent` lives. Raises Problem and OSError."""
    end_with(parent)
    handles = [_opened(Path(path)) for path, _ in job.images]
    listener, connection = nbdserver.pair()
    _become(job.uid)
    end_with(parent)
    chain = _chain([(handle, format) for handle, (_, format) in zip(handles, job.images, strict=True)])
    with nbdserver.serve(chain, listener, handles), connection:  # it ends with its connection
        client = nbd.Client(connection)
        end = client.size_bytes if job.end < 0 else min(job.end, client.size_bytes)
        pieces = _pieces(client, job.start, end)
        for part in _packed(pieces) if job.packing else _plain(pieces):
            out.write(part)
        out.flush()
        client.close()


def _opened(path: Path) -> int:
    """An image, where others may write: no link is followed. Its number is out of the way of the server's socket."""
    with files.open_plain(path) as file:
        return nbdserver.moved(file.fileno())


def _become(uid: int) -> None:
    """Give all privileges up, for good."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _chain(images: list[tuple[int, str]]) -> dict[str, Any]:
    """The chain as QEMU's block layer is told of it: by open files, each on the next one, the last on none."""
    described: dict[str, Any] | None = None
    for handle, format in reversed(images):
        file = {"driver": "file", "filename": f"/proc/self/fd/{handle}", "locking": "off"}
        node: dict[str, Any] = {"driver": format, "file": file}
        described = node | ({"backing": described} if format == "qcow2" else {})
    return described or {}


@dataclass(frozen=True)
class _Zeros:
    length: int


def _pieces(client: nbd.Client, start: int, end: int) -> Iterator[bytearray | _Zeros]:
    zeros = 0
    for one in client.extents(start, end):
        if one.is_zero:
            zeros += one.length
            continue
        if zeros:
            yield _Zeros(zeros)
            zeros = 0
        for offset in range(0, one.length, _PIECE_BYTES):
            yield client.read(one.start + offset, min(_PIECE_BYTES, one.length - offset))
    if zeros:
        yield _Zeros(zeros)


def _plain(pieces: Iterator[bytearray | _Zeros]) -> Iterator[bytes | bytearray | memoryview]:
    nothing = memoryview(bytes(_PIECE_BYTES))
    for piece in pieces:
        if isinstance(piece, _Zeros):
            for offset in range(0, piece.length, _PIECE_BYTES):
                yield nothing[:min(_PIECE_BYTES, piece.length - offset)]
        else:
            yield piece


def _packed(pieces: Iterator[bytearray | _Zeros]) -> Iterator[bytes]:
    """A gzip file of several members (RFC 1952): those of many zeros are packed once and sent again and again."""
    ready, packer = b"", _packer()
    for piece in pieces:
        if not isinstance(piece, _Zeros):
            yield packer.compress(piece)
            continue
        whole, rest = divmod(piece.length, _ZEROS_BYTES)
        if whole:
            ready = ready or _member(_ZEROS_BYTES)
            yield packer.flush()
            for _ in range(whole):
                yield ready
            packer = _packer()
        for offset in range(0, rest, _PIECE_BYTES):
            yield packer.compress(bytes(min(_PIECE_BYTES, rest - offset)))
    yield packer.flush()


def _packer() -> Any:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)


def _member(length: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    parts = [packer.compress(bytes(_PIECE_BYTES)) for _ in range(length // _PIECE_BYTES)]
    return b"".join([*parts, packer.flush()])


def main() -> None:
    """The process: the exit code is 0 only when the whole disk was sent."""
    asked = json.loads(sys.argv[1])
    job = Job(**asked | {"images": tuple((path, format) for path, format in asked["images"])})
    try:
        run(job, sys.stdout.buffer, int(sys.argv[2]))
    except (Problem, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
