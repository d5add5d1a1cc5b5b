"""The bytes that a guest would see of a disk image, whatever its format.

QEMU reads the format (`qemu-nbd`, told which one it is and never left to guess) and serves it on a socket in a folder
of our own.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from vmpod.base.errors import Problem
from vmpod.drivers.disks import nbd

_START_S = 20.0
_PAGE = 1 << 16
_PAGES_KEPT = 512


class Blocks(Protocol):
    """A disk, or a part of one, to read from."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer at the end of the disk."""
        ...


class Slice:
    """A part of a disk."""

    def __init__(self, whole: Blocks, start: int, size: int) -> None:
        self._whole = whole
        self._start = start
        self.size = max(0, min(size, whole.size - start))

    def read(self, offset: int, length: int) -> bytes:
        """As `Blocks.read`: nothing beyond the part."""
        length = max(0, min(length, self.size - offset))
        return self._whole.read(self._start + offset, length) if length else b""


class Joined:
    """Pieces of disks, one after the other, as the extents of a logical volume are."""

    def __init__(self, pieces: list[Slice]) -> None:
        self._pieces = pieces
        self.size = sum(piece.size for piece in pieces)

    def read(self, offset: int, length: int) -> bytes:
        """As `Blocks.read`."""
        found = b""
        for piece in self._pieces:
            if length <= 0:
                break
            if offset < piece.size:
                block = piece.read(offset, length)
                found, length, offset = found + block, length - len(block), offset + len(block)
            offset -= piece.size
        return found


class Bytes:
    """A disk that lies in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        """As `Blocks.read`."""
        return self._content[offset : offset + length]


class Nbd:
    """The disk that an NBD server shows; the blocks that were read last are kept. Raises Problem."""

    def __init__(self, connection: socket.socket) -> None:
        self._client = nbd.Client(connection)
        self._pages: dict[int, bytes] = {}
        self.size = self._client.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """As `Blocks.read`; errors of the image are Problems."""
        end = min(offset + length, self.size)
        if offset < 0 or offset >= end:
            return b""
        first = offset // _PAGE
        found = b"".join(self._page(number) for number in range(first, (end - 1) // _PAGE + 1))
        return found[offset - first * _PAGE : end - first * _PAGE]

    def _page(self, number: int) -> bytes:
        if (page := self._pages.pop(number, None)) is None:
            page = bytes(self._client.read(number * _PAGE, min(_PAGE, self.size - number * _PAGE)))
        self._pages[number] = page  # last in, so that the first of the dict is the one unused for longest
        if len(self._pages) > _PAGES_KEPT:
            del self._pages[next(iter(self._pages))]
        return page


@contextmanager
def serving(path: Path, format: str) -> Iterator[socket.socket]:
    """A connection to a server of an image of a known, harmless format (`formats.detect`). Raises Problem."""
    with tempfile.TemporaryDirectory(prefix="vmpod-look-") as folder:
        door = Path(folder, "nbd")
        argv = ["qemu-nbd", "--read-only", "--format", format, "--socket", str(door), "--cache", "unsafe", str(path)]
        try:
            server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise Problem(f"read {path}", "the program qemu-nbd is not installed", "vmpod doctor", "Missing") from None
        try:
            with _connected(server, door, path) as connection:
                yield connection
        finally:
            server.kill()
            server.communicate()


def _connected(server: subprocess.Popen[bytes], door: Path, path: Path) -> socket.socket:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(door))
            connection.settimeout(60.0)
            return connection
        except OSError:
            connection.close()
        if server.poll() is not None:
            said = server.stderr.read().decode(errors="replace").strip() if server.stderr else ""
            raise Problem(f"read {path}", f"the image is damaged ({said})", f"qemu-img info {path}", "Damaged")
        time.sleep(0.02)
    raise Problem(f"read {path}", "qemu-nbd did not open it", f"qemu-img info {path}", "Timeout")
