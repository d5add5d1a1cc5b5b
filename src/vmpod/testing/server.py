"""A `Dispatch` behind a real listener on loopback, so that clients can be tried over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import WSMsgType, web

from vmpod.client.inprocess import Dispatch, Request, User
from vmpod.client.kubeconfig import Context
from vmpod.testing.certificates import Certificates

ECHO_PROTOCOL = "plain.kubevirt.io"


@asynccontextmanager
async def serve(dispatch: Dispatch, certificates: Certificates | None = None) -> AsyncIterator[Context]:
    """Serve until the block ends; yields the context to reach it. A WebSocket at /echo gives back what it gets."""
    app = web.Application(client_max_size=16 << 20)
    app.router.add_get("/echo", _echo)
    app.router.add_route("*", "/{rest:.*}", _Edge(dispatch).serve)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_tls(certificates))
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield _context(port, certificates)
    finally:
        await runner.cleanup()


def _context(port: int, certificates: Certificates | None) -> Context:
    if certificates is None:
        return Context("test", f"http://127.0.0.1:{port}")
    return Context(
        "test", f"https://127.0.0.1:{port}",
        ca=certificates.ca, certificate=certificates.client, key=certificates.client_key,
    )  # fmt: skip


def _tls(certificates: Certificates | None) -> ssl.SSLContext | None:
    if certificates is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=certificates.ca.decode())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_bytes(certificates.server + certificates.server_key)
        context.load_cert_chain(file)
    return context


class _Edge:
    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def serve(self, incoming: web.Request) -> web.StreamResponse:
        answer = await self._dispatch(
            Request(
                incoming.method, incoming.path, dict(incoming.query),
                {name.lower(): value for name, value in incoming.headers.items()},
                await incoming.read(), User(_common_name(incoming)),
            )
        )  # fmt: skip
        if answer.stream is None:
            return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)
        out = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
        await out.prepare(incoming)
        async for chunk in answer.stream:
            await out.write(chunk)
        return out


def _common_name(incoming: web.Request) -> str:
    shown = incoming.transport.get_extra_info("peercert") if incoming.transport else None
    fields = {key: value for part in (shown or {}).get("subject", ()) for key, value in part}
    return str(fields.get("commonName", ""))


async def _echo(incoming: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=[ECHO_PROTOCOL], max_msg_size=0)
    if not socket.can_prepare(incoming):
        return web.Response(status=400, text="a WebSocket is wanted")
    await socket.prepare(incoming)
    await socket.ping(b"are you there")
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
            if message.data == b"goodbye":
                await socket.close(code=4001, message=b"as you wish")
    await asyncio.sleep(0)
    return socket
