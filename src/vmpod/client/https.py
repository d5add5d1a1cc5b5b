"""The transport to an API over HTTPS, with the certificate or token of a kubeconfig context."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import aiohttp

from vmpod.base.errors import Problem
from vmpod.client.inprocess import Response
from vmpod.client.kubeconfig import Context
from vmpod.client.tls import context_for


class Https:
    """Connections to the server of one context. `timeout_s` seconds without an answer end a request."""

    def __init__(self, context: Context, *, timeout_s: float = 60.0) -> None:
        self.context = context
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def _connected(self) -> aiohttp.ClientSession:
        """The session; made with the first request, for it belongs to the running event loop."""
        if self._session is None:
            tls = context_for(self.context) if self.context.server.startswith("https:") else False
            headers = {"user-agent": "vmpod"}
            if self.context.token:
                headers["authorization"] = f"Bearer {self.context.token}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=0), headers=headers
            )
        return self._session

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: bool = False,
    ) -> Response:
        """One request. Raises Problem when the server cannot be reached."""
        timeout = aiohttp.ClientTimeout(total=None if stream else self._timeout_s, sock_connect=10)
        try:
            answer = await self._connected().request(
                method, self.context.server + path, params=query, headers=headers, data=body or None,
                timeout=timeout, server_hostname=self.context.server_name or None,
            )  # fmt: skip
            head = {name.lower(): value for name, value in answer.headers.items()}
            if stream and answer.status < 400:
                return Response(answer.status, head, stream=_chunks(answer))
            async with answer:
                return Response(answer.status, head, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            raise Problem(f"reach {self.context.server}", why, "vmpod engine start", "Unreachable") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with answer:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientPayloadError, ConnectionError):
            return  # the server went away in the middle: the caller resumes
