"""A client of the Network Block Device protocol, as far as reading and filling a disk from front to end needs it.

After https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md: fixed newstyle negotiation, structured
replies, and the context `base:allocation`, which tells where nothing but zeros is.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vmpod.base.errors import Problem

_MAGIC, _OPTION_MAGIC, _REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_REQUEST, _SIMPLE, _CHUNK = 0x25609513, 0x67446698, 0x668E33EF
_STRUCTURED, _META, _GO = 8, 10, 7
_INFO_EXPORT, _REP_ACK, _REP_INFO, _REP_META = 0, 1, 3, 4
_READ, _WRITE, _DISCONNECT, _FLUSH, _STATUS = 0, 1, 2, 3, 7
_DONE, _DATA, _HOLE, _EXTENTS, _ERROR_BIT = 1, 1, 2, 5, 1 << 15
_ZERO: Final = 1 << 1  # of an extent's flags: it reads as zeros
_ASKED: Final = 1 << 30  # bytes whose allocation is asked for at once
_WHAT = "read the disk"


@dataclass(frozen=True)
class Extent:
    """A part of the disk, in bytes; `is_zero` where it reads as zeros."""

    start: int
    length: int
    is_zero: bool


class Client:
    """One connection to a server with one export of the empty name. Raises Problem when that does not work."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._cookie = 0
        self._context: int | None = None
        self.size_bytes = self._negotiate()

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """The parts from `start` to `end`, in order, without a gap."""
        while start < end:
            if self._context is None:
                yield Extent(start, end - start, False)
                return
            for length, flags in self._status(start, min(end - start, _ASKED)):
                length = min(length, end - start)
                if length:
                    yield Extent(start, length, bool(flags & _ZERO))
                start += length

    def read(self, start: int, length: int) -> bytearray:
        """The bytes of a part, at most as many as are asked for at once."""
        found = bytearray(length)
        for type, payload in self._asked(_READ, start, length):
            if type == _DATA:
                offset = struct.unpack(">Q", payload[:8])[0] - start
                found[offset:offset + len(payload) - 8] = memoryview(payload)[8:]
        return found

    def write(self, start: int, data: bytes | memoryview) -> None:
        """Raises OSError when they cannot be kept."""
        self._send(_WRITE, start, len(data))
        self._socket.sendall(data)
        self._done()

    def flush(self) -> None:
        """Have all that was written on the disk. Raises OSError."""
        self._send(_FLUSH, 0, 0)
        self._done()

    def _done(self) -> None:
        """The reply to what brings nothing back: a simple one from QEMU when it went well, else one as agreed upon."""
        head = self._take(16)
        magic, number = struct.unpack(">II", head[:8])
        if magic == _CHUNK:
            payload = self._take(struct.unpack(">I", self._take(4))[0])
            number = struct.unpack(">I", payload[:4])[0] if payload else 0
        elif magic != _SIMPLE:
            raise Problem(_WHAT, "its server speaks another protocol", reason="Failed")
        if number:
            raise OSError(number, os.strerror(number))

    def close(self) -> None:
        """Let the server go."""
        self._send(_DISCONNECT, 0, 0)
        self._socket.close()

    def _status(self, start: int, length: int) -> list[tuple[int, int]]:
        for type, payload in self._asked(_STATUS, start, length):
            if type == _EXTENTS:
                found: list[tuple[int, int]] = list(struct.iter_unpack(">II", memoryview(payload)[4:]))
                return found
        raise Problem(_WHAT, "its server does not tell which parts are used", reason="Failed")

    # the wire

    def _negotiate(self) -> int:
        magic, options, _ = struct.unpack(">QQH", self._take(18))
        if (magic, options) != (_MAGIC, _OPTION_MAGIC):
            raise Problem(_WHAT, "its server speaks another protocol", reason="Failed")
        self._socket.sendall(struct.pack(">I", 3))  # fixed newstyle, no padding
        if self._option(_STRUCTURED, b""):
            name = b"base:allocation"
            query = struct.pack(">III", 0, 1, len(name)) + name
            for type, payload in self._option(_META, query):
                if type == _REP_META:
                    self._context = struct.unpack(">I", payload[:4])[0]
        for type, payload in self._option(_GO, struct.pack(">IH", 0, 0)):
            if type == _REP_INFO and struct.unpack(">H", payload[:2])[0] == _INFO_EXPORT:
                return int(struct.unpack(">Q", payload[2:10])[0])
        raise Problem(_WHAT, "its server does not show it", reason="Failed")

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        """The replies to an option up to the acknowledgement, with it; none when it is refused."""
        self._socket.sendall(struct.pack(">QII", _OPTION_MAGIC, option, len(data)) + data)
        found = []
        while True:
            magic, _, type, length = struct.unpack(">QIII", self._take(20))
            payload = bytes(self._take(length))
            if magic != _REPLY_MAGIC or type & 1 << 31:
                return []
            found.append((type, payload))
            if type == _REP_ACK:
                return found

    def _send(self, command: int, start: int, length: int) -> None:
        self._cookie += 1
        self._socket.sendall(struct.pack(">IHHQQI", _REQUEST, 0, command, self._cookie, start, length))

    def _asked(self, command: int, start: int, length: int) -> Iterator[tuple[int, bytearray]]:
        """The chunks of a reply."""
        self._send(command, start, length)
        flags = 0
        while not flags & _DONE:
            magic, flags, type, _, size = struct.unpack(">IHHQI", self._take(20))
            payload = self._take(size)
            if magic != _CHUNK or type & _ERROR_BIT:
                raise Problem(_WHAT, f"its bytes from {start} on cannot be read", "qemu-img check", "Damaged")
            yield type, payload

    def _take(self, length: int) -> bytearray:
        found = bytearray(length)
        view, done = memoryview(found), 0
        while done < length:
            count = self._socket.recv_into(view[done:])
            if not count:
                raise Problem(_WHAT, "its server has ended", reason="Failed")
            done += count
        return found
