"""Consoles with several readers, and ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from vmpod.node.machine_streams import Console, open_tcp, open_udp
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


async def test_all_readers_see_all(port: Port, tmp_path: Path) -> None:
    console = Console(tmp_path / "serial.sock")
    one, two = await console.join(), await console.join()
    await one.send(0, b"hello")
    assert await one.receive() == (1, b"hello")
    assert await two.receive() == (1, b"hello")
    await one.close()
    await one.close()
    await two.send(0, b"again")
    assert await two.receive() == (1, b"again")
    assert port.connections == 1
    await two.close()
    assert await two.receive() is None
    three = await console.join()
    await three.send(0, b"new")
    assert await three.receive() == (1, b"new")
    assert port.connections == 2
    await console.close()
    assert await three.receive() is None


async def test_end_of_the_machine_ends_every_reader(port: Port, tmp_path: Path) -> None:
    console = Console(tmp_path / "serial.sock")
    one, two = await console.join(), await console.join()
    await one.send(0, b"x")
    await one.receive()
    assert port.writer is not None
    port.writer.close()
    assert await one.receive() is None
    assert await two.receive() == (1, b"x")
    assert await two.receive() is None
    await one.close()
    await console.close()


async def test_slow_reader_loses_the_oldest_and_holds_up_nobody(port: Port, tmp_path: Path) -> None:
    console = Console(tmp_path / "serial.sock")
    slow = await console.join()
    await slow.send(0, b"first")
    await asyncio.sleep(0.05)
    quick = await console.join()
    assert port.writer is not None
    for number in range(40):
        port.writer.write(b"%04d" % number * 16384)
    total = 0
    while total < 40 * 65536:
        piece = await quick.receive()
        assert piece is not None
        total += len(piece[1])
    await asyncio.sleep(0)
    first = await slow.receive()
    assert first is not None
    assert b"first" not in first[1]
    await console.close()


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Console(tmp_path / "none.sock").join()


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
    assert await asyncio.wait_for(stream.receive(), 5) == (1, b"cba")
    await stream.close()
    assert await stream.receive() is None
    transport.close()
    await asyncio.sleep(0)
