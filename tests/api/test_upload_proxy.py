"""The upload proxy: whose token opens what, and clients that send too slowly, too much or not what they said."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from vmpod.api import server, tickets, uploads
from vmpod.api.tickets import LIFE_S, Ticket

if TYPE_CHECKING:
    from tests.api.conftest import FakeDuplex, Live

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
PATH = "/v1beta1/upload"
SUCCESS = (3, orjson.dumps({"status": "Success"}))


@pytest.fixture
async def uid(live: Live) -> str:
    """A claim's."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = await live.call("POST", CLAIMS, {"metadata": {"name": "disk"}, "spec": spec}, code=201)
    return str(made["metadata"]["uid"])


def bearer(live: Live, uid: str, name: str = "disk", age_s: float = 0, key: bytes = b"") -> str:
    backend = live.call.api.backend
    return tickets.sign(key or backend.config.upload_key, Ticket("default", name, uid), backend.now() - timedelta(seconds=age_s))


async def opened(live: Live) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", live.port, ssl=ssl.create_default_context(cafile=str(live.pki.ca)))


async def told(live: Live, head: bytes, body: bytes = b"", *, ends: bool = False) -> bytes:
    """What is answered to a request as it is; with `ends` nothing more is sent."""
    reader, writer = await opened(live)
    try:
        writer.write(head + b"\r\n\r\n" + body)
        if ends:
            await writer.drain()
            writer.transport.abort()
            return b""
        async with asyncio.timeout(30):
            return await reader.read(4096)
    finally:
        writer.close()


def head(token: str, *lines: str, path: str = PATH) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *lines]).encode()


async def answers(live: Live) -> None:
    """Others are served meanwhile."""
    found = await told(live, b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close")
    assert found.startswith(b"HTTP/1.1 200")


async def test_an_image_reaches_the_claim_of_the_token(live: Live, duplex: type[FakeDuplex], uid: str) -> None:
    stream = duplex(SUCCESS)
    live.streams.duplexes.append(stream)
    assert (await told(live, head(bearer(live, uid), "Content-Length: 5"), b"image")).startswith(b"HTTP/1.1 200")
    assert stream.taken == [(0, b"image"), (0, b"")] and stream.closed
    (asked,) = live.streams.asked
    assert (asked[0].name, asked[1], asked[2]) == ("disk", "upload", {"size": 5})


@pytest.mark.parametrize(("case", "code", "words"), [
    ("expired", 401, b"not valid or has expired"), ("forged", 401, b"not valid or has expired"),
    ("earlier", 401, b"that is gone"), ("missing", 503, b"that doesn't exist"),
    ("filled", 503, b"rejecting Upload Request for PVC disk that already finished uploading"),
])  # fmt: skip
async def test_a_token_that_opens_nothing(live: Live, uid: str, case: str, code: int, words: bytes) -> None:
    if case == "filled":
        await live.call.patch(f"{CLAIMS}/disk", {"metadata": {"annotations": {"cdi.kubevirt.io/storage.pod.phase": "Succeeded"}}})
    token = {"expired": bearer(live, uid, age_s=LIFE_S), "forged": bearer(live, uid, key=b"mine"), "filled": bearer(live, uid),
             "earlier": bearer(live, "another"), "missing": bearer(live, uid, "none")}[case]  # fmt: skip
    found = await told(live, head(token, "Content-Length: 5"), b"image")
    assert found.startswith(f"HTTP/1.1 {code}".encode()) and words in found
    assert live.streams.asked == []


@pytest.mark.parametrize("lines", [
    ("Content-Length: -1",), ("Content-Length: five",), ("Content-Length: 5", "Content-Length: 6"),
    ("Content-Length: 5", "Transfer-Encoding: chunked"),
])  # fmt: skip
async def test_lengths_that_are_none(live: Live, uid: str, lines: tuple[str, ...]) -> None:
    found = await told(live, head(bearer(live, uid), *lines), b"image")
    assert b" 400 " in found.partition(b"\r\n")[0]
    assert live.streams.asked == []
    await answers(live)


async def test_a_body_that_ends_before_its_length(live: Live, duplex: type[FakeDuplex], uid: str) -> None:
    stream = duplex(SUCCESS)
    live.streams.duplexes.append(stream)
    await told(live, head(bearer(live, uid), "Content-Length: 500"), b"image", ends=True)
    async with asyncio.timeout(30):
        while not stream.closed:
            await asyncio.sleep(0.01)
    assert (0, b"") not in stream.taken  # the end has not come
    await answers(live)


async def trickle(writer: asyncio.StreamWriter, *, every_s: float = 0.05) -> None:
    """A byte now and then, until nobody takes it any more."""
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(every_s)


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(uploads, "_PART_S", 1.0)
    yield


async def end_of(live: Live, first: bytes) -> bytes:
    """What is answered to who sends this and then a byte now and then, or nothing."""
    reader, writer = await opened(live)
    writer.write(first)
    sending = asyncio.create_task(trickle(writer) if first else asyncio.sleep(0))
    try:
        async with asyncio.timeout(30):
            return await reader.read(4096)
    except ConnectionError:
        return b""
    finally:
        sending.cancel()
        writer.close()


async def test_a_body_that_trickles_is_given_up(live: Live, duplex: type[FakeDuplex], uid: str, impatient: None) -> None:
    stream = duplex(SUCCESS)
    live.streams.duplexes.append(stream)
    ending = asyncio.create_task(end_of(live, head(bearer(live, uid), "Content-Length: 9000000") + b"\r\n\r\n"))
    await answers(live)
    found = await ending
    assert found.startswith(b"HTTP/1.1 408") and b"less than a megabyte came in 1 s" in found
    assert stream.closed and (0, b"") not in stream.taken


async def test_a_form_that_trickles_is_given_up(live: Live, duplex: type[FakeDuplex], uid: str, impatient: None) -> None:
    stream = duplex(SUCCESS)
    live.streams.duplexes.append(stream)
    begun = head(bearer(live, uid), "Content-Type: multipart/form-data; boundary=edge", "Content-Length: 9000000",
                 path="/v1beta1/upload-form")  # fmt: skip
    part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    found = await end_of(live, begun + b"\r\n\r\n" + part)
    assert found.startswith(b"HTTP/1.1 408") and stream.closed


@pytest.mark.parametrize("first", [b"", b"POST /", b"POST /v1beta1/upload HTTP/1.1\r\nX: "])
async def test_a_head_that_does_not_come_ends_the_connection(
    live: Live, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr(server, "_HEAD_S", 0.5)
    assert await end_of(live, first) == b""
