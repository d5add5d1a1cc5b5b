"""The edge: TLS, who is let in, WebSockets, a quick end."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from vmpod.api import auth
from vmpod.api.server import serve
from vmpod.base.errors import Problem

if TYPE_CHECKING:
    from tests.api.conftest import Caller, FakeStreams, Live

NS = "/api/v1/namespaces/default"
PODS = f"{NS}/pods"


def _trust(live: Live, *, known: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(live.pki.ca))
    if known:
        context.load_cert_chain(live.pki.client_cert, live.pki.client_key)
    return context


@pytest.fixture
async def web(live: Live) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=_trust(live))
    async with aiohttp.ClientSession(live.url, connector=connector, auto_decompress=False) as session:
        yield session


async def test_anonymous_clients_learn_nothing(live: Live) -> None:
    connector = aiohttp.TCPConnector(ssl=_trust(live, known=False))
    async with aiohttp.ClientSession(live.url, connector=connector) as session:
        for path in ("/version", "/healthz", "/livez", "/readyz"):
            async with session.get(path) as answer:
                assert answer.status == 200
        for path in ("/", "/api", NS, "/nope"):
            async with session.get(path, headers={"authorization": "Bearer nope"}) as answer:
                assert answer.status == 401
                assert (await answer.json())["reason"] == "Unauthorized"


async def test_certificates_of_others_are_refused(live: Live, tmp_path: Any) -> None:
    from vmpod.base.paths import Paths

    other = await auth.ensure_pki(Paths(tmp_path / "other"))
    context = ssl.create_default_context(cafile=str(live.pki.ca))
    context.load_cert_chain(other.client_cert, other.client_key)
    async with aiohttp.ClientSession(live.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.get("/version"):
                pass


async def test_bodies_have_a_limit(web: aiohttp.ClientSession) -> None:
    async with web.post(f"{NS}/configmaps", data=io.BytesIO(b" " * (4 << 20))) as answer:
        assert answer.status == 413
        assert (await answer.json())["reason"] == "RequestEntityTooLarge"


async def test_long_answers_are_compressed(web: aiohttp.ClientSession, call: Caller) -> None:
    for name in "abc":
        await call("POST", f"{NS}/configmaps", {"metadata": {"name": name}, "data": {"x": "y" * 100_000}})
    async with web.get(f"{NS}/configmaps", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(await answer.read()))["items"]) == 3


async def test_stop_ends_watches_at_once(call: Caller, pki: auth.Pki, streams: FakeStreams) -> None:
    serving = await serve(call.api, "127.0.0.1", 0, auth.server_context(pki))
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(pki.client_cert, pki.client_key)
    url = f"https://127.0.0.1:{serving.port}"
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        answers = [await session.get(f"{NS}/configmaps", params={"watch": "1"}) for _ in range(3)]
        began = asyncio.get_running_loop().time()
        await serving.stop()
        assert asyncio.get_running_loop().time() - began < 0.8
        for answer in answers:
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()
            answer.close()


async def test_a_watch_ends_with_its_client(live: Live, call: Caller) -> None:
    async with aiohttp.ClientSession(live.url, connector=aiohttp.TCPConnector(ssl=_trust(live))) as session:
        async with session.get(f"{NS}/configmaps", params={"watch": "1"}):
            assert call.api.backend.store._hub._subscriptions["configmaps"]
    async with asyncio.timeout(60):
        while call.api.backend.store._hub._subscriptions["configmaps"]:
            await asyncio.sleep(0.01)


async def _pod(call: Caller) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}
    await call("POST", PODS, pod)


async def test_exec_speaks_channels(
    web: aiohttp.ClientSession, call: Caller, streams: FakeStreams, duplex: Any
) -> None:
    await _pod(call)
    far = duplex((1, b"out"), (3, b"{}"))
    streams.duplexes = [far]
    url = f"{PODS}/p/exec?command=a&command=b&stdout=1&stdin=1"
    async with web.ws_connect(url, protocols=["v9", "v5.channel.k8s.io", "v4.channel.k8s.io"]) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        assert [message.data async for message in socket] == [b"\x01out", b"\x03{}"]
        assert socket.close_code == 1000
    assert far.closed and streams.asked[0][2]["command"] == ["a", "b"]


async def test_upgrades_that_cannot_be(web: aiohttp.ClientSession, call: Caller, streams: FakeStreams) -> None:
    await _pod(call)
    url = f"{PODS}/p/exec?command=a&stdout=1"
    async with web.get(url) as answer:
        assert (answer.status, (await answer.json())["message"]) == (400, "Upgrade request required")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with web.ws_connect(url, protocols=["v1"]):
            pass
    assert refused.value.status == 400


async def _machine(call: Caller, **state: Any) -> None:
    vmis = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
    spec = {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}}
    made = await call("POST", vmis, {"metadata": {"name": "m"}, "spec": spec})
    await call("PUT", f"{vmis}/m/status", {**made, "status": {"phase": "Running", **state}})


async def test_consoles_speak_plain_bytes(
    web: aiohttp.ClientSession, call: Caller, streams: FakeStreams, duplex: Any
) -> None:
    await _machine(call)
    streams.duplexes = [duplex(echo=True)]
    url = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/m/console"
    async with web.ws_connect(url, protocols=["plain.kubevirt.io"]) as socket:
        assert socket.protocol == "plain.kubevirt.io"
        await socket.send_bytes(b"login")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.BINARY, b"login")


async def test_ports_of_machines(web: aiohttp.ClientSession, call: Caller, streams: FakeStreams, duplex: Any) -> None:
    await _machine(call)
    streams.duplexes = [duplex(echo=True)]
    url = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/m/portforward/22/tcp"
    async with web.ws_connect(url, protocols=["plain.kubevirt.io"]) as socket:
        await socket.send_bytes(b"SSH-2.0")
        assert (await socket.receive(timeout=5)).data == b"SSH-2.0"
    assert streams.asked[0][2] == {"port": 22, "protocol": "tcp"}
    assert streams.asked[0][0].resource == "virtualmachineinstances"


async def test_a_taken_port_is_told(live: Live, call: Caller) -> None:
    with pytest.raises(Problem, match=f"cannot start the engine: port {live.port} of 127.0.0.1 is taken"):
        await serve(call.api, "127.0.0.1", live.port, None)


async def test_a_write_outlives_its_client(live: Live, call: Caller) -> None:
    store = call.api.backend.store
    _, writer = await asyncio.open_connection("127.0.0.1", live.port, ssl=_trust(live), server_hostname="127.0.0.1")
    body = json.dumps({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    writer.write(f"POST {NS}/services HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    await asyncio.sleep(0.005)
    writer.transport.abort()
    async with asyncio.timeout(60):
        while (record := store.get("services", "default", "s")) is None:
            await asyncio.sleep(0.01)
    ip = json.loads(record.value)["spec"]["clusterIP"]
    await call("POST", f"{NS}/services", {"metadata": {"name": "t"}, "spec": {"clusterIP": ip, "ports": [{"port": 1}]}}, code=422)
