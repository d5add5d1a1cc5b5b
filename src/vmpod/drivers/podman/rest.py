"""Requests on libpod's socket, and its hijacked streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
import orjson

from vmpod.base.errors import Problem

_API = "/v4.0.0/libpod"
_HEAD_BYTES = 64 * 1024
T = TypeVar("T")


class PodmanError(Problem):
    """What podman refused. `code` is the HTTP status (0: no answer), `cause` podman's short cause."""

    def __init__(self, what: str, code: int, why: str, cause: str = "") -> None:
        super().__init__(what, why, "podman info" if code == 0 else "", "PodmanRefused")
        self.code = code
        self.cause = cause or why


class NotReached(PodmanError):
    """Nobody listens on the socket: nothing was asked yet, and may be asked again."""

    def __init__(self, what: str, socket: Path, gone: Exception) -> None:
        super().__init__(what, 0, f"podman does not answer on {socket}: {gone}")


class Rest:
    """One socket. Raises PodmanError for every answer that is not a success.

    `revive` brings back a service that is gone; what had not reached it is asked once more then.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.revive: Callable[[], Awaitable[None]] | None = None
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self.socket), limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(
        self, method: str, path: str, *, what: str, query: Mapping[str, str] | None = None,
        body: object = None, headers: Mapping[str, str] | None = None, timeout_s: float = 60.0,
    ) -> Any:
        """The decoded answer, None when it has no content."""
        async def once() -> Any:
            return await self._ask(method, path, what, query, body, headers, timeout_s)

        return await self._again(once)

    async def _again(self, once: Callable[[], Awaitable[T]]) -> T:
        try:
            return await once()
        except NotReached:
            if self.revive is None:
                raise
        await self.revive()
        return await once()

    async def _ask(
        self, method: str, path: str, what: str, query: Mapping[str, str] | None, body: object,
        headers: Mapping[str, str] | None, timeout_s: float,
    ) -> Any:
        data = orjson.dumps(body) if body is not None else None
        try:
            async with asyncio.timeout(timeout_s), self._open().request(
                method, "http://podman" + _API + path, params=dict(query or {}), data=data,
                headers={"Content-Type": "application/json", **(headers or {})},
            ) as answer:
                said = await answer.read()
                if answer.status >= 400:
                    raise refusal(what, answer.status, said)
                return orjson.loads(said) if said.strip() else None
        except aiohttp.ClientConnectorError as gone:
            raise NotReached(what, self.socket, gone) from gone
        except (aiohttp.ClientError, OSError) as gone:
            raise PodmanError(what, 0, f"podman does not answer on {self.socket}: {gone}") from gone
        except TimeoutError:
            raise PodmanError(what, 0, f"podman gave no answer within {timeout_s:g} s") from None

    async def lines(
        self, method: str, path: str, *, what: str, query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """The JSON documents of an answer that is written bit by bit."""
        try:
            async with self._open().request(
                method, "http://podman" + _API + path, params=dict(query or {}), headers=dict(headers or {}),
            ) as answer:
                if answer.status >= 400:
                    raise refusal(what, answer.status, await answer.read())
                pending = b""
                async for piece in answer.content.iter_any():
                    *whole, pending = (pending + piece).split(b"\n")
                    for line in whole:
                        if line.strip():
                            yield orjson.loads(line)
                if pending.strip():
                    yield orjson.loads(pending)
        except (aiohttp.ClientError, OSError) as gone:
            raise PodmanError(what, 0, f"podman does not answer on {self.socket}: {gone}") from gone

    async def hijack(
        self, path: str, *, what: str, query: Mapping[str, str] | None = None, body: object = None,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Both directions of a connection that podman gives up HTTP on (exec, attach)."""
        reader, writer = await self._again(lambda: self._connect(what))
        data = json.dumps(body).encode() if body is not None else b""
        target = _API + path + ("?" + urlencode(query) if query else "")
        writer.write(
            f"POST {target} HTTP/1.1\r\nHost: podman\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode() + data
        )
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            code = int(head.split(None, 2)[1])
            if code not in (101, 200):
                raise refusal(what, code, await asyncio.wait_for(reader.read(_HEAD_BYTES), 5))
        except (asyncio.IncompleteReadError, TimeoutError, ValueError) as broken:
            writer.close()
            raise PodmanError(what, 0, "podman ended the connection") from broken
        except (PodmanError, asyncio.CancelledError):
            writer.close()
            raise
        return reader, writer

    async def _connect(self, what: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(str(self.socket), limit=1 << 20)
        except OSError as gone:
            raise NotReached(what, self.socket, gone) from gone


def refusal(what: str, code: int, said: bytes) -> PodmanError:
    """The error that an answer of podman carries."""
    start, end = said.find(b"{"), said.rfind(b"}")
    try:
        told = orjson.loads(said[start : end + 1])
    except orjson.JSONDecodeError:
        return PodmanError(what, code, said.decode(errors="replace").strip() or f"status {code}")
    return PodmanError(what, code, str(told.get("message", "")), str(told.get("cause", "")))
