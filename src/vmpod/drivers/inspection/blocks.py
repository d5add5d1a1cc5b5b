"""The bytes that a guest would see of a disk image, whatever its format.

QEMU reads the format (`qemu-nbd`, told which one it is and never left to guess) and serves it on a socket in a folder
of our own; we ask for blocks by the NBD protocol (its document: "Newstyle negotiation", "Simple reply message").
"""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from vmpod.base.errors import Problem

_MAGIC = b"NBDMAGIC"
_OPTION = b"IHAVEOPT"
_FIXED_NEWSTYLE = 1
_NO_ZEROES = 2
_EXPORT_NAME = 1
_REQUEST = 0x25609513
_REPLY = 0x67446698
_READ = 0
_MOST = 1 << 20
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
    """The client's side of one NBD connection; it keeps the blocks it read last. Raises Problem."""

    def __init__(self, door: socket.socket, name: str) -> None:
        self._door = door
        self._name = name
        self._pages: dict[int, bytes] = {}
        self.size = self._greet()

    def _greet(self) -> int:
        if self._take(8) != _MAGIC or self._take(8) != _OPTION:
            raise self._broken("qemu-nbd greeted otherwise than NBD does")
        self._take(2)
        self._door.sendall(struct.pack(">I", _FIXED_NEWSTYLE | _NO_ZEROES))
        self._door.sendall(_OPTION + struct.pack(">II", _EXPORT_NAME, 0))
        size, _flags = struct.unpack(">QH", self._take(10))
        return int(size)

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
            page = self._ask(number * _PAGE, min(_PAGE, self.size - number * _PAGE))
        self._pages[number] = page  # last in, so that the first of the dict is the one unused for longest
        if len(self._pages) > _PAGES_KEPT:
            del self._pages[next(iter(self._pages))]
        return page

    def _ask(self, offset: int, length: int) -> bytes:
        self._door.sendall(struct.pack(">IHHQQI", _REQUEST, 0, _READ, 0, offset, length))
        magic, error, _handle = struct.unpack(">IIQ", self._take(16))
        if magic != _REPLY or error:
            raise self._broken(f"reading at {offset} failed (error {error})")
        return self._take(length)

    def _take(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            block = self._door.recv(min(_MOST, count - len(found)))
            if not block:
                raise self._broken("qemu-nbd ended")
            found += block
        return bytes(found)

    def _broken(self, why: str) -> Problem:
        return Problem(f"read {self._name}", f"the image is damaged ({why})", f"qemu-img check {self._name}", "Damaged")


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
