"""The edge: HTTP/1.1 over TLS on aiohttp, WebSockets, and a quick end.

Endpoints never see aiohttp; the edge turns its requests into ours and writes our answers.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp import BodyPartReader, ClientError, WSCloseCode, WSMsgType, web
from aiohttp.web_protocol import RequestHandler

from vmpod.api import exports, representation, uploads
from vmpod.api.app import Api, error_response
from vmpod.api.auth import user_of
from vmpod.api.sockets import Tunnel
from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.base.tasks import Tasks
from vmpod.client.inprocess import Request, Response
from vmpod.model import status

_log = log.get("api.server")
_STOP_S: Final = 0.2
_KEEPALIVE_S: Final = 180.0
_PING_S: Final = 30.0
_FORM_CHUNK: Final = 1 << 18
_HEAD_S = 32.0  # until the head of a first request is there, as kube-apiserver waits


async def serve(api: Api, host: str, port: int, tls: ssl.SSLContext | None) -> Serving:
    """Listen; with port 0 on a free one. Raises Problem when that cannot be."""
    edge = _Edge(api)
    server = _Server(
        edge.answer, handler_cancellation=True, keepalive_timeout=_KEEPALIVE_S, access_log=None,
    )
    try:
        listener = await asyncio.get_running_loop().create_server(server, host, port, ssl=tls, backlog=512)
    except OSError as fault:
        raise _refused(host, port, fault) from None
    return Serving(edge, server, listener)


def _refused(host: str, port: int, fault: OSError) -> Problem:
    what = "start the engine"
    if fault.errno == errno.EADDRINUSE:
        why = f"port {port} of {host} is taken by another process"
        return Problem(what, why, "vmpod engine start --port 0   (chooses a free one)", "PortTaken")
    why = f"it may not listen on {host} port {port}: {fault.strerror or fault}"
    return Problem(what, why, "vmpod engine start --listen 127.0.0.1 --port 0", "Listen")


class Serving:
    """A listening API."""

    def __init__(self, edge: _Edge, server: web.Server, listener: asyncio.AbstractServer) -> None:
        self._edge = edge
        self._server = server
        self._listener = listener

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(cast(asyncio.Server, self._listener).sockets[0].getsockname()[1])

    async def serve_export(self, listener: socket.socket, key: tuple[str, str], tls: ssl.SSLContext) -> ExportDoor:
        """Answer for one export on a socket of its own, where nothing else of the API is."""
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self._edge.export(request, key, request.path)

        server = _Server(answer, handler_cancellation=True, access_log=None)
        return ExportDoor(server, await asyncio.get_running_loop().create_server(server, sock=listener, ssl=tls))

    async def stop(self) -> None:
        """Take no more, end watches and tunnels at once, let short requests finish for 0.2 s."""
        self._listener.close()
        await self._edge.stop()
        await self._server.shutdown(_STOP_S)


class ExportDoor:
    """The address of one export."""

    def __init__(self, server: web.Server, listener: asyncio.AbstractServer) -> None:
        self._server = server
        self._listener = listener

    async def stop(self) -> None:
        """Cut off whoever is there."""
        self._listener.close()
        await self._server.shutdown(0)


class _Server(web.Server):
    """Hangs up on whoever connects and says nothing, or says it too slowly; after a first request aiohttp does."""

    def __init__(self, handler: Any, **more: Any) -> None:
        super().__init__(handler, request_factory=cast(Any, self._begin), **more)
        self._silent: dict[RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._silent[handler] = self._loop.call_later(_HEAD_S, transport.abort)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._hear(handler)
        super().connection_lost(handler, exc)

    def _begin(self, message: Any, payload: Any, protocol: RequestHandler, writer: Any, task: Any) -> web.BaseRequest:
        """The request whose head has come."""
        self._hear(protocol)
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop)

    def _hear(self, handler: RequestHandler) -> None:
        if timer := self._silent.pop(handler, None):
            timer.cancel()


class _Edge:
    """Turns requests into answers, and remembers those that would never end by themselves."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._endless: set[asyncio.Task[Any]] = set()
        self._writes = Tasks()

    async def stop(self) -> None:
        tasks = [task for task in self._endless if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_S)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its head to its end."""
        if request.path in uploads.PATHS:
            return await self._upload(request)
        if export := exports.outside(request.path):
            return await self.export(request, *export)
        try:
            ours = await self._read(request)
        except status.ApiError as error:
            return _plain(error_response(error))
        found = await self._answer(ours)
        if isinstance(found, Tunnel):
            return await self._tunnel(request, found)
        if found.stream is not None:
            return await self._stream(request, found, found.stream)
        return _plain(await representation.compressed(found, ours.headers.get("accept-encoding", "")))

    async def _upload(self, request: web.BaseRequest) -> web.StreamResponse:
        """The image goes on as it comes; a client that hangs up cancels this task."""
        bearer, size = request.headers.get("Authorization", ""), request.content_length or 0
        with self._remembered():
            try:
                found = await uploads.take(
                    self._api.backend, request.method, request.path, bearer, size, _image(request))
            except (ConnectionError, ClientError) as fault:
                found = Response(400, {"content-type": "text/plain"}, f"the upload was cut off: {fault}\n".encode())
        return _plain(found)

    async def export(self, request: web.BaseRequest, key: tuple[str, str], path: str) -> web.StreamResponse:
        """A download from an export."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = exports.Asked(request.method, path, request.rel_url.query, headers)
        found = await exports.answer(self._api.backend, key, asked)
        return await self._stream(request, found, found.stream) if found.stream is not None else _plain(found)

    async def _answer(self, request: Request) -> Response | Tunnel:
        """A write goes on to its end when its client hangs up, so that what it took is accounted for."""
        if request.method == "GET":
            return await self._api.connect(request)
        return await asyncio.shield(self._writes.start(self._api.connect(request), request.path))

    async def _read(self, request: web.BaseRequest) -> Request:
        headers = {name.lower(): value for name, value in request.headers.items()}
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        body = await self._body(request) if request.body_exists else b""
        url = request.rel_url
        return Request(request.method, url.path, url.query, headers, body, user_of(certificate))

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit, parts, size = self._api.config.max_body_bytes, [], 0
        async for part in request.content.iter_any():
            size += len(part)
            if size > limit:
                raise status.too_large(f"limit is {limit}")
            parts.append(part)
        return b"".join(parts)

    async def _stream(
        self, request: web.BaseRequest, answer: Response, chunks: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
        with self._remembered():
            try:
                if "content-length" not in answer.headers:
                    response.enable_chunked_encoding()
                await response.prepare(request)
                async for chunk in chunks:
                    await response.write(chunk)
                await response.write_eof()
            except ConnectionError:
                _hang_up(request)
            except asyncio.CancelledError:
                _hang_up(request)  # nothing of an answer that was cut short may look complete
                raise
            finally:
                await _close(chunks)
        return response

    async def _tunnel(self, request: web.BaseRequest, tunnel: Tunnel) -> web.StreamResponse:
        protocols = (tunnel.protocol,) if tunnel.protocol else ()
        response = web.WebSocketResponse(protocols=protocols, max_msg_size=0, heartbeat=_PING_S, compress=False)
        with self._remembered():
            try:
                await response.prepare(request)
            except web.HTTPException as fault:
                await tunnel.abandon()
                return _plain(error_response(status.bad_request(f"unable to upgrade: {fault.text}")))
            try:
                await tunnel.run(_WebSocket(response))
            except ConnectionAbortedError:  # virtctl tells why only when there is no farewell (code 1006)
                _break_off(request)
            except ConnectionError:
                pass
            except Exception:
                _log.exception("%s failed", request.path)
                await response.close(code=1011)
            finally:
                if response.close_code == WSCloseCode.ABNORMAL_CLOSURE:  # a client that hangs takes no more bytes
                    _break_off(request)
        return response

    def _remembered(self) -> _Remembered:
        return _Remembered(self._endless)


def _image(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """What an upload sends: its body, or the entry `file` of its form."""
    return _form_file(request) if request.path in uploads.FORMS else request.content.iter_any()


async def _form_file(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if request.content_type != "multipart/form-data":
        raise status.bad_request(f"a form is multipart/form-data, not {request.content_type}")
    try:
        async for entry in await request.multipart():
            if isinstance(entry, BodyPartReader) and entry.name == "file":
                while part := await entry.read_chunk(_FORM_CHUNK):
                    yield part
                return
    except ValueError as fault:
        raise status.bad_request(f"the form is damaged: {fault}") from None
    raise status.bad_request('the form has no entry "file"')


class _Remembered:
    """While inside, the task is one of those that `stop` ends."""

    def __init__(self, tasks: set[asyncio.Task[Any]]) -> None:
        self._tasks = tasks
        self._task = asyncio.current_task()

    def __enter__(self) -> None:
        if self._task is not None:
            self._tasks.add(self._task)

    def __exit__(self, *failure: object) -> None:
        if self._task is not None:
            self._tasks.discard(self._task)


class _WebSocket:
    """aiohttp's WebSocket as vmpod.api.sockets.Socket."""

    def __init__(self, response: web.WebSocketResponse) -> None:
        self._response = response

    async def receive(self) -> bytes | None:
        message = await self._response.receive()
        match message.type:
            case WSMsgType.BINARY:
                return bytes(message.data)
            case WSMsgType.TEXT:
                return str(message.data).encode()
            case _:
                return None

    async def send(self, data: bytes) -> None:
        await self._response.send_bytes(data)

    async def close(self) -> None:
        with suppress(ConnectionError):
            await self._response.close()


def _plain(answer: Response) -> web.Response:
    return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)


def _hang_up(request: web.BaseRequest) -> None:
    protocol: RequestHandler = request.protocol
    if protocol.transport is not None:
        protocol.transport.close()


def _break_off(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _close(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        with suppress(RuntimeError):
            await close()
