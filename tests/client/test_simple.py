"""The command line's client, against a real TLS server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest

from vmpod.base.errors import Problem
from vmpod.client.http1 import Answer, Wire
from vmpod.client.inprocess import Request, Response
from vmpod.client.kubeconfig import Context
from vmpod.client.simple import SimpleClient, target
from vmpod.kinds.configmap import CONFIGMAP
from vmpod.model import meta
from vmpod.model.status import ApiError
from vmpod.testing.api import FakeApi
from vmpod.testing.server import serve

_T = TypeVar("_T")


async def _in_thread(context: Context, work: Callable[[SimpleClient], _T]) -> _T:
    """Run blocking code beside the server."""

    def run() -> _T:
        with SimpleClient(context, timeout_s=5) as client:
            return work(client)

    return await asyncio.to_thread(run)


async def test_verbs(context: Context, api: FakeApi, made: Any) -> None:
    def work(client: SimpleClient) -> None:
        created = client.create(CONFIGMAP, made("a", app="x"))
        assert client.get(CONFIGMAP, "d", "a") == created
        assert client.find(CONFIGMAP, "d", "b") is None
        client.update(CONFIGMAP, {**created, "data": {"k": "2"}})
        patched = client.patch(CONFIGMAP, "d", "a", {"data": {"j": "3"}})
        assert patched["data"] == {"k": "2", "j": "3"}
        listed = client.list(CONFIGMAP, labels="app=x")
        assert listed.items == [patched] and listed.revision == meta.revision(patched)
        with pytest.raises(ApiError, match="the object has been modified") as conflict:
            client.update(CONFIGMAP, {**created, "data": {}})
        assert conflict.value.reason == "Conflict"
        client.delete(CONFIGMAP, "d", "a", uid=meta.uid(created))
        with pytest.raises(ApiError, match="not found"):
            client.get(CONFIGMAP, "d", "a")

    await _in_thread(context, work)
    assert {request.user.name for request in api.requests} == {"tester"}


async def test_watch_streams_until_closed(context: Context, api: FakeApi, made: Any) -> None:
    def work(client: SimpleClient) -> list[tuple[str, str]]:
        first = client.create(CONFIGMAP, made("a"))
        events = client.watch(CONFIGMAP, revision=meta.revision(first))
        client.create(CONFIGMAP, made("b"))
        client.delete(CONFIGMAP, "d", "a")
        told = [next(events) for _ in range(2)]
        events.close()
        return [(type_, meta.name(obj)) for type_, obj in told]

    assert await _in_thread(context, work) == [("ADDED", "b"), ("DELETED", "a")]


async def test_watch_of_a_compacted_revision(context: Context, api: FakeApi, made: Any) -> None:
    api.put(CONFIGMAP, made("a"))
    api.compact()
    with pytest.raises(ApiError) as gone:
        await _in_thread(context, lambda client: next(client.watch(CONFIGMAP, revision=0)))
    assert gone.value.code == 410


async def test_raw_gives_headers_and_warnings() -> None:
    async def answer(request: Request, /) -> Response:
        assert request.query == {"a b": "c&d"}
        return Response(200, {"warning": '299 - "beware"', "x-it": "1"}, b"whole")

    def work(client: SimpleClient) -> None:
        answered = client.raw("GET", "/x y", query={"a b": "c&d"})
        assert (answered.status, answered.body, answered.headers["x-it"]) == (200, b"whole", "1")
        assert answered.warnings == ('299 - "beware"',) == tuple(client.warnings)

    async with serve(answer) as context:
        await _in_thread(context, work)


async def test_streams_come_in_pieces() -> None:
    more = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def answer(request: Request, /) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            yield b"first"
            await more.wait()
            yield b"second"

        return Response(200, stream=stream())

    def work(client: SimpleClient) -> list[bytes]:
        chunks = client.stream("/log")
        first = next(chunks)
        loop.call_soon_threadsafe(more.set)
        return [first, *chunks]

    async with serve(answer) as context:
        assert await _in_thread(context, work) == [b"first", b"second"]


async def test_a_connection_that_the_server_dropped_is_made_anew(made: Any) -> None:
    """The first connection ends after one answer, without a word."""
    api = FakeApi((CONFIGMAP,))
    api.put(CONFIGMAP, made("a"))

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    context = Context("x", f"http://127.0.0.1:{port}")
    async with server:
        got = await _in_thread(context, lambda client: [client.raw("GET", "/").body for _ in range(3)])
    assert got == [b"{}"] * 3


async def test_a_dead_server_is_a_problem() -> None:
    with pytest.raises(Problem, match=r"cannot reach http://127.0.0.1:9: Connection refused") as problem:
        await _in_thread(Context("x", "http://127.0.0.1:9"), lambda client: client.raw("GET", "/"))
    assert problem.value.fix == "vmpod engine start"


async def test_an_untrusted_server_is_a_problem(context: Context) -> None:
    stranger = context._replace(ca=b"")
    with pytest.raises(Problem, match="certificate verify failed"):
        await _in_thread(stranger, lambda client: client.raw("GET", "/"))


async def test_bad_certificates_are_named(context: Context) -> None:
    broken = context._replace(certificate=b"nonsense")
    with pytest.raises(Problem, match="cannot use the certificates of context test"):
        await _in_thread(broken, lambda client: client.raw("GET", "/"))


class _Said:
    """A socket that has said something and then falls silent."""

    def __init__(self, data: bytes, step: int) -> None:
        self._pieces = [data[at : at + step] for at in range(0, len(data), step)]

    def recv(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("message", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", b"body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody", b"body"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_bodies(message: bytes, body: bytes, step: int) -> None:
    wire = Wire(_Said(message, step))  # type: ignore[arg-type]
    assert Answer(wire, "GET").read() == body


def test_targets_are_quoted() -> None:
    assert target("/a b/c:d@e", {"k": "v w"}) == "/a%20b/c:d@e?k=v+w"


def test_the_import_stays_light() -> None:
    code = "import sys, vmpod.client.simple; print([m for m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("aiohttp", "asyncio", "http.client", "orjson", "yaml", "ssl", "dataclasses", "vmpod.kinds"):
        assert f"'{heavy}'" not in out
