"""Objects read and written through an API, whatever the transport.

Paths and parameters are those of the Kubernetes API conventions; failures raise `model.status.ApiError`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from vmpod.client.inprocess import Response, Transport
from vmpod.client.wire import JSON, PATCH_TYPES, delete_options, error_status, lines, selectors
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import from_status

Texts = list[bytes]


@dataclass(frozen=True)
class ObjectList:
    """The items of a list (each with apiVersion and kind) and the revision at which they were read."""

    items: list[Object]
    revision: int


class Client:
    """The public client: every method is one request."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def close(self) -> None:
        """Give connections back."""
        await self._transport.close()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: bool = False,
    ) -> Response:
        """One request as it is. Raises ApiError when the status code is 400 or more."""
        response = await self._transport.send(
            method, path, query=query, headers=headers, body=body, stream=stream
        )
        if response.status >= 400:
            raise from_status(error_status(response.status, await _whole(response)))
        return response

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object. Raises ApiError (404 NotFound)."""
        return _object(await self.raw("GET", kind.path(namespace, name)))

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        """All objects of a kind, in one namespace or (namespace "") in all."""
        texts, revision = await self.list_bytes(kind, namespace, labels=labels, fields=fields)
        return ObjectList([orjson.loads(text) for text in texts], revision)

    async def list_bytes(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> tuple[Texts, int]:
        """Like `list`, but each item as JSON text; in process these are the very bytes that are stored."""
        response = await self.raw("GET", kind.path(namespace), query=selectors(labels, fields))
        if response.items is not None:
            return [*response.items], response.revision
        body = orjson.loads(response.body)
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        return [_exact({**head, **item}) for item in body.get("items") or ()], meta.revision(body)

    async def watch(
        self, kind: Kind, namespace: str = "", *, revision: int, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """What happens after `revision`: (ADDED | MODIFIED | DELETED, object), until the server ends it.

        Raises ApiError (410 Expired) when the revision is compacted.
        """
        events = self.watch_bytes(kind, namespace, revision=revision, labels=labels, fields=fields)
        async with aclosing(events):
            async for type_, text in events:
                yield type_, orjson.loads(text)

    async def watch_bytes(
        self, kind: Kind, namespace: str = "", *, revision: int, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Like `watch`, with each object as JSON text."""
        query = {**selectors(labels, fields), "watch": "true", "resourceVersion": str(revision)}
        response = await self.raw("GET", kind.path(namespace), query=query, stream=True)
        events = response.events if response.events is not None else _events(response)
        try:
            async for type_, text in events:
                if type_ == "ERROR":
                    raise from_status(orjson.loads(text))
                yield type_, text
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Create an object in the namespace that its metadata names. Raises ApiError (409 AlreadyExists, 422)."""
        path = kind.path(meta.namespace(obj))
        return _object(await self.raw("POST", path, headers=JSON, body=orjson.dumps(obj)))

    async def update(self, kind: Kind, obj: Object, *, subresource: str = "") -> Object:
        """Replace an object, or only its `subresource`. Raises ApiError (409 when its revision is old)."""
        path = kind.path(meta.namespace(obj), meta.name(obj), subresource)
        return _object(await self.raw("PUT", path, headers=JSON, body=orjson.dumps(obj)))

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        *,
        patch_type: str = "merge",
        subresource: str = "",
    ) -> Object:
        """Change part of an object by a "merge", "json" or "strategic" patch."""
        headers = {"content-type": PATCH_TYPES[patch_type], "accept": "application/json"}
        path = kind.path(namespace, name, subresource)
        return _object(await self.raw("PATCH", path, headers=headers, body=orjson.dumps(patch)))

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: str = "",
        grace_s: int | None = None,
        propagation: str = "",
    ) -> Object:
        """Delete an object; its last state, or a Status. `uid` and `revision` are preconditions."""
        options = delete_options(uid=uid, revision=revision, grace_s=grace_s, propagation=propagation)
        body = orjson.dumps(options)
        return _object(await self.raw("DELETE", kind.path(namespace, name), headers=JSON, body=body))


def _object(response: Response) -> Object:
    obj: Object = orjson.loads(response.body)
    return obj


async def _whole(response: Response) -> bytes:
    if response.stream is None:
        return response.body
    return b"".join([chunk async for chunk in response.stream])


async def _events(response: Response) -> AsyncIterator[tuple[str, bytes]]:
    if response.stream is None:
        return
    async for line in lines(response.stream):
        event = orjson.loads(line)
        yield event["type"], _exact(event["object"])


def _exact(obj: Object) -> bytes:
    """JSON text to be kept: without the spare room that orjson leaves behind its output."""
    return bytes(memoryview(orjson.dumps(obj)))
