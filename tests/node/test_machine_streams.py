"""Consoles with their one client, and ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from vmpod.node import machine_streams
from vmpod.node.machine_streams import Seat, open_tcp, open_udp
from vmpod.testing.leaks import assert_no_tasks


class Port:
    """A serial port of QEMU's: one connection at a time; it echoes."""

    def __init__(self) -> None:
        self.connections = 0
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    port = Port()
    server = await asyncio.start_unix_server(port.serve, tmp_path / "serial.sock")
    yield port
    server.close()
    if port.writer is not None:
        port.writer.close()
    await server.wait_closed()
    await assert_no_tasks()


async def test_one_client_at_a_time_and_the_next_takes_over(port: Port, tmp_path: Path) -> None:
    seat = Seat(tmp_path / "serial.sock")
    one = await seat.take()
    await one.send(0, b"hello")
    assert await one.receive() == (1, b"hello")
    waiting = asyncio.ensure_future(one.receive())
    await asyncio.sleep(0)
    two = await seat.take()
    with pytest.raises(ConnectionAbortedError):
        await waiting
    with pytest.raises(ConnectionAbortedError):
        await one.receive()
    await one.close()
    assert seat.is_taken
    await two.send(0, b"again")
    assert await two.receive() == (1, b"again")
    await two.close()
    await two.close()
    assert not seat.is_taken
    three = await seat.take()
    await seat.close()
    assert await three.receive() is None
    assert port.connections >= 2


async def test_the_end_of_the_machine_ends_the_stream(port: Port, tmp_path: Path) -> None:
    one = await Seat(tmp_path / "serial.sock").take()
    await one.send(0, b"x")
    assert await one.receive() == (1, b"x")
    assert port.writer is not None
    port.writer.close()
    assert await one.receive() is None
    await one.close()


async def test_what_was_sent_last_is_read_before_the_end(tmp_path: Path) -> None:
    """QEMU forgets what it has not read once both directions are closed."""
    heard, slow = b"", asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        await slow.wait()
        await asyncio.sleep(0.05)
        assert not writer.transport.is_closing()
        writer.write(b"still here?")
        await writer.drain()
        heard = await reader.read(100)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "serial.sock"):
        one = await Seat(tmp_path / "serial.sock").take()
        await one.send(0, b"c")
        slow.set()
        await one.close()
        assert heard == b"c"


async def test_a_machine_that_takes_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_streams, "_LAST_READ_S", 0.05)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "serial.sock"):
        one = await Seat(tmp_path / "serial.sock").take()
        await one.send(0, b"c")
        await one.close()
        ended.set()


async def test_nothing_is_lost_and_nothing_piles_up(port: Port, tmp_path: Path) -> None:
    """A client that takes nothing for a while holds the guest up; then it gets all, in order."""
    one = await Seat(tmp_path / "serial.sock").take()
    await one.send(0, b"x")
    await one.receive()
    assert port.writer is not None
    whole = b"".join(b"%08d" % number for number in range(1 << 18))
    port.writer.write(whole)
    held = asyncio.ensure_future(port.writer.drain())
    await asyncio.sleep(0.1)
    assert not held.done()
    got = bytearray()
    while len(got) < len(whole):
        piece = await one.receive()
        assert piece is not None
        got += piece[1]
    assert got == whole
    await held
    await one.close()


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Seat(tmp_path / "none.sock").take()


async def test_tcp_both_ways_with_half_close() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    stream = await open_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
    await stream.send(0, b"abc")
    await stream.send(0, b"")
    assert await stream.receive() == (1, b"ABC")
    assert await stream.receive() is None
    await stream.close()
    server.close()
    await server.wait_closed()


async def test_udp() -> None:
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data[::-1], addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
    stream = await open_udp("127.0.0.1", transport.get_extra_info("sockname")[1])
    await stream.send(0, b"abc")
    assert await asyncio.wait_for(stream.receive(), 60) == (1, b"cba")
    await stream.close()
    assert await stream.receive() is None
    transport.close()
    await asyncio.sleep(0)
