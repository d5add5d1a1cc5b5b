"""The pumps between a WebSocket and a stream of the node."""

from __future__ import annotations

import asyncio

import pytest

from vmpod.api.sockets import plain


class Leaver:
    """A client that sends its words and is gone: whatever is sent to it fails before they are read."""

    def __init__(self, *words: bytes) -> None:
        self.words = list(words)

    async def receive(self) -> bytes | None:
        await asyncio.sleep(0.01)
        return self.words.pop(0) if self.words else None

    async def send(self, data: bytes) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    async def close(self) -> None:
        return None


class Talker:
    """A machine that says something at once, then fails if it is to."""

    def __init__(self, fault: type[Exception] | None = None) -> None:
        self.heard = b""
        self.is_closed = False
        self.fault = fault

    async def receive(self) -> tuple[int, bytes] | None:
        if self.fault:
            raise self.fault
        return 1, b"welcome"

    async def send(self, channel: int, data: bytes) -> None:
        self.heard += data

    async def close(self) -> None:
        self.is_closed = True


async def test_what_a_client_sent_before_it_left_goes_through() -> None:
    machine = Talker()
    await plain(machine, "").run(Leaver(b"po", b"weroff"))
    assert machine.heard == b"poweroff" and machine.is_closed


async def test_a_stream_that_was_taken_over_says_so() -> None:
    machine = Talker(ConnectionAbortedError)
    with pytest.raises(ConnectionAbortedError):
        await plain(machine, "").run(Leaver(b"x"))
    assert machine.is_closed
