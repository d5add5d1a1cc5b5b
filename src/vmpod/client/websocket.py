"""A WebSocket over one blocking connection: binary messages, for consoles and exec on the command line.

Source: RFC 6455. No extensions are offered; text and binary messages are both given as bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmpod.base.errors import Problem
from vmpod.client import http1
from vmpod.client.http1 import Lost, Wire
from vmpod.client.wire import error_status

if TYPE_CHECKING:
    from vmpod.client.kubeconfig import Context

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL = 0x80
_MASKED = 0x80


class WebSocket:
    """An open WebSocket. `fileno` serves `select`; look at `pending` first, for bytes may wait above the socket."""

    def __init__(self, wire: Wire, protocol: str) -> None:
        self.protocol = protocol
        self.close_code = 0
        self.close_reason = ""
        self._wire = wire
        self._message = bytearray()
        self._closed = False

    @classmethod
    def open(cls, context: Context, target: str, protocol: str, timeout_s: float) -> WebSocket:
        """Connect and upgrade. Raises ApiError when the server refuses, Problem when it cannot be reached."""
        wire = http1.connect(context, timeout_s)
        try:
            chosen = _upgrade(wire, context, target, protocol)
        except (Lost, OSError) as error:
            wire.close()
            raise Problem(f"open {target}", str(error), "vmpod engine status", "Unreachable") from None
        except Problem:
            wire.close()
            raise
        wire.set_timeout(None)
        return cls(wire, chosen)

    def fileno(self) -> int:
        return self._wire.fileno()

    @property
    def pending(self) -> int:
        """Bytes that `receive` may use without the socket becoming readable."""
        return self._wire.pending

    def send(self, data: bytes) -> None:
        """Send one binary message. Raises OSError when the connection is lost."""
        self._send(_BINARY, data)

    def _send(self, opcode: int, data: bytes) -> None:
        mask = os.urandom(4)
        self._wire.send(_head(opcode, len(data)) + mask + masked(data, mask))

    def receive(self) -> bytes | None:
        """The next message; None when the other side closed. Answers pings on the way."""
        while not self._closed:
            try:
                final, opcode, data = self._frame()
            except (Lost, OSError):
                self._closed = True
                break
            if opcode in (_CONTINUATION, _TEXT, _BINARY):
                self._message += data
                if final:
                    whole, self._message = bytes(self._message), bytearray()
                    return whole
            else:
                self._control(opcode, data)
        return None

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._wire.exactly(2)
        length = second & ~_MASKED
        if length == 126:
            (length,) = struct.unpack(">H", self._wire.exactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._wire.exactly(8))
        mask = self._wire.exactly(4) if second & _MASKED else b""
        data = self._wire.exactly(length)
        return bool(first & _FINAL), first & 0x0F, masked(data, mask) if mask else data

    def _control(self, opcode: int, data: bytes) -> None:
        if opcode == _PING:
            self._send(_PONG, data)
        elif opcode == _CLOSE:
            self._closed = True
            if len(data) >= 2:
                self.close_code = int.from_bytes(data[:2], "big")
                self.close_reason = data[2:].decode(errors="replace")

    def __iter__(self) -> Iterator[bytes]:
        while (message := self.receive()) is not None:
            yield message

    def close(self) -> None:
        """Say goodbye and close the connection."""
        if not self._closed:
            self._closed = True
            try:
                self._send(_CLOSE, struct.pack(">H", 1000))
            except OSError:
                pass
        self._wire.close()


def _upgrade(wire: Wire, context: Context, target: str, protocol: str) -> str:
    """Make the connection a WebSocket; the subprotocol that the server chose."""
    key = base64.b64encode(os.urandom(16))
    headers = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": key.decode(),
        "sec-websocket-protocol": protocol,
    }
    answer = http1.exchange(wire, context, "GET", target, headers, b"")
    if answer.status != 101:
        from vmpod.model.status import from_status

        raise from_status(error_status(answer.status, answer.read()))
    proof = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    if answer.headers.get("sec-websocket-accept") != proof:
        raise Lost("the server does not speak WebSocket")
    return answer.headers.get("sec-websocket-protocol", "")


def _head(opcode: int, length: int) -> bytes:
    """The start of a final, masked frame."""
    if length < 126:
        return struct.pack(">BB", _FINAL | opcode, _MASKED | length)
    if length < 1 << 16:
        return struct.pack(">BBH", _FINAL | opcode, _MASKED | 126, length)
    return struct.pack(">BBQ", _FINAL | opcode, _MASKED | 127, length)


def masked(data: bytes, mask: bytes) -> bytes:
    """Data under a mask of four bytes; the same call takes it off. As one big number: quick without a loop."""
    count = len(data)
    pattern = (mask * (count // 4 + 1))[:count]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(count, "big")
