"""The blocking WebSocket against aiohttp's server."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.client.kubeconfig import Context
from vmpod.client.simple import SimpleClient
from vmpod.client.websocket import WebSocket, masked
from vmpod.model.status import ApiError
from vmpod.testing.server import ECHO_PROTOCOL

_T = TypeVar("_T")


async def _with_socket(context: Context, work: Callable[[WebSocket], _T]) -> _T:
    def run() -> _T:
        with SimpleClient(context, timeout_s=5) as client:
            socket = client.socket("/echo", protocol=ECHO_PROTOCOL)
            try:
                return work(socket)
            finally:
                socket.close()

    return await asyncio.to_thread(run)


async def test_messages_of_every_length_class(context: Context) -> None:
    sizes = (0, 1, 125, 126, 65535, 65536, 300_000)

    def work(socket: WebSocket) -> list[bytes | None]:
        assert socket.protocol == ECHO_PROTOCOL
        echoed = []
        for size in sizes:
            socket.send(b"x" * size)
            echoed.append(socket.receive())
        return echoed

    assert await _with_socket(context, work) == [b"x" * size for size in sizes]


async def test_the_other_side_says_why_it_closes(context: Context) -> None:
    def work(socket: WebSocket) -> tuple[list[bytes], int, str]:
        socket.send(b"goodbye")
        return list(socket), socket.close_code, socket.close_reason

    assert await _with_socket(context, work) == ([b"goodbye"], 4001, "as you wish")


async def test_it_can_be_selected_on(context: Context) -> None:
    def work(socket: WebSocket) -> bytes | None:
        socket.send(b"1")
        socket.send(b"2")
        while not socket.pending:
            ready, _, _ = select.select([socket], [], [], 5)
            assert ready
            first = socket.receive()
            assert first == b"1"
            return socket.receive()
        return None

    assert await _with_socket(context, work) == b"2"


async def test_a_refused_upgrade_is_an_error(context: Context) -> None:
    def run() -> None:
        SimpleClient(context, timeout_s=5).socket("/api/v1/namespaces/d/configmaps/none", protocol="x")

    with pytest.raises(ApiError) as error:
        await asyncio.to_thread(run)
    assert error.value.code == 404


@given(data=st.binary(max_size=70), mask=st.binary(min_size=4, max_size=4))
def test_masking_is_the_rule_of_the_rfc(data: bytes, mask: bytes) -> None:
    assert masked(data, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    assert masked(masked(data, mask), mask) == data
