"""Copy bytes between file descriptors of ours and a stream of the engine (console, screen, port of a machine)."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, cast

from vmpod.base.errors import Problem
from vmpod.client.http1 import Lost
from vmpod.client.simple import target
from vmpod.client.websocket import WebSocket

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient

PROTOCOL = "plain.kubevirt.io"
_CHUNK = 1 << 15
_TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.5


class Stream(WebSocket):
    """A WebSocket that is read frame by frame, so that waiting for a message never holds up what is sent."""

    def step(self) -> bytes | None:
        """One frame: its data, b"" for one without (a ping is answered), None when the other side closed."""
        if self._closed:
            return None
        try:
            _, opcode, data = self._frame()
            if opcode <= 0x2:
                return data
            self._control(opcode, data)
        except (Lost, OSError):
            self._closed = True
        return None if self._closed else b""


def connect(client: SimpleClient, path: str) -> Stream:
    """Open a stream. Raises ApiError when the engine refuses it."""
    return cast(Stream, Stream.open(client.context, target(path, None), PROTOCOL, _TIMEOUT_S))


def connect_when_running(client: SimpleClient, path: str, timeout_s: float) -> Stream:
    """Open a stream of a machine that may still be starting: the engine answers 400 until it runs. Raises ApiError."""
    from vmpod.model.status import ApiError

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return connect(client, path)
        except ApiError as error:
            if error.code != 400 or "not running" not in error.message or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_EVERY_S)


def copy(stream: Stream, source: int, sink: int, *, escape: bytes = b"", linger_s: float = 0.5) -> bool:
    """Copy both ways until the stream ends, or until `source` does and the stream was silent for `linger_s` seconds.

    True when the other side ended it. `escape` in what is typed ends it too; it is not sent.
    """
    sources: list[int] = [source]
    while True:
        held = stream.pending
        ready = select.select([stream.fileno(), *sources], [], [], 0 if held else None if sources else linger_s)[0]
        if not ready and not held:
            return False
        if held or stream.fileno() in ready:
            if (data := stream.step()) is None:
                return True
            _write(sink, data)
        if source in ready:
            typed = os.read(source, _CHUNK)
            before, found, _ = typed.partition(escape) if escape else (typed, b"", b"")
            if before:
                _send(stream, before)
            if found:
                return False
            if not typed:
                sources.clear()


def _send(stream: Stream, data: bytes) -> None:
    try:
        stream.send(data)
    except OSError as error:
        raise Problem("send to the machine", str(error), "vmpod engine status", "Lost") from None


def _write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]
