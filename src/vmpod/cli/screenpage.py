"""The screen of a machine in the browser: a page on loopback, for whoever has its token."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import signal
import socket
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from vmpod.cli.bridge import Stream

_PROTOCOL: Final = "vmpod.screen"
_TYPES: Final = {"screen.html": "text/html", "screen.js": "text/javascript"}
_CHUNK: Final = 1 << 16
_STOP_S: Final = 0.2


class Page:
    """The page and the WebSocket that it opens; `connect` opens a stream of the screen, and blocks."""

    def __init__(self, connect: Callable[[], Stream], port: int) -> None:
        self._connect = connect
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._token = secrets.token_urlsafe(32)
        self.url = f"http://{self._hosts[0]}/#{self._token}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request. Pages of other names, which a browser may be led to, get nothing."""
        if request.host not in self._hosts:
            return web.Response(status=403, text=f"this is {self._hosts[0]}\n")
        name = {"/": "screen.html", "/screen.js": "screen.js"}.get(request.path)
        if name and request.method in ("GET", "HEAD"):
            return self._file(name)
        return await self._screen(request) if request.path == "/screen" else web.Response(status=404)

    def _file(self, name: str) -> web.Response:
        policy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; connect-src"
        headers = {"content-security-policy": " ".join([policy, *(f"ws://{host}" for host in self._hosts)]),
                   "cache-control": "no-store", "x-frame-options": "DENY"}  # fmt: skip
        data = files("vmpod").joinpath("web", name).read_bytes()
        return web.Response(body=data, content_type=_TYPES[name], charset="utf-8", headers=headers)

    def _is_allowed(self, request: web.BaseRequest) -> bool:
        """Only our own page knows the token; what it offers as a subprotocol no other site can read."""
        offered = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        ours = request.headers.get("Origin", f"http://{request.host}") == f"http://{request.host}"
        return ours and any(hmac.compare_digest(one.encode(), f"token.{self._token}".encode()) for one in offered)

    async def _screen(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._is_allowed(request):
            return web.Response(status=403, text="the address lacks its token: open the whole of what was printed\n")
        response = web.WebSocketResponse(protocols=(_PROTOCOL,), max_msg_size=0, compress=False)
        await response.prepare(request)
        stream = await asyncio.to_thread(self._connect)
        try:
            await _join(response, stream)
        finally:
            stream.close()
        return response


async def _join(browser: web.WebSocketResponse, stream: Stream) -> None:
    """Copy both ways until either side ends; the stream, which blocks, in a thread of its own."""
    from vmpod.cli import bridge

    near, far = socket.socketpair()
    with far:
        reader, writer = await asyncio.open_connection(sock=near)
        copying = asyncio.create_task(
            asyncio.to_thread(bridge.copy, stream, far.fileno(), far.fileno(), linger_s=0.0))  # fmt: skip
        copying.add_done_callback(lambda _: far.shutdown(socket.SHUT_RDWR))
        typing = asyncio.create_task(_type(browser, writer))
        try:
            while data := await reader.read(_CHUNK):
                await browser.send_bytes(data)
            await browser.close()
        except ConnectionError:
            pass  # the page is gone
        finally:
            writer.close()
            await asyncio.gather(typing, copying, return_exceptions=True)


async def _type(browser: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    """What the browser says, to the machine; at its end the other direction ends, too."""
    try:
        async for message in browser:
            writer.write(message.data if isinstance(message.data, bytes) else str(message.data).encode())
            await writer.drain()
    finally:
        writer.close()


def show(listener: socket.socket, connect: Callable[[], Stream], tell: Callable[[str], None]) -> None:
    """Serve the page until an interrupt; `tell` hears its address, and so does the browser of a desktop."""
    asyncio.run(_serve(listener, connect, tell))


async def _serve(listener: socket.socket, connect: Callable[[], Stream], tell: Callable[[str], None]) -> None:
    page = Page(connect, listener.getsockname()[1])
    server = web.Server(page.answer, access_log=None)
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, interrupted.set)
    listening = await loop.create_server(server, sock=listener)
    tell(page.url)
    if any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        import webbrowser

        await asyncio.to_thread(webbrowser.open, page.url)
    await interrupted.wait()
    listening.close()
    await server.shutdown(_STOP_S)
