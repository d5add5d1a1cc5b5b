"""The upload proxy of CDI: images that clients send into claims. Who shows an upload token needs no certificate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import orjson

from vmpod.api import tickets
from vmpod.api.call import Backend
from vmpod.api.streams import STDIN, Duplex, StreamRef
from vmpod.api.tickets import Ticket
from vmpod.client.inprocess import Response
from vmpod.kinds import PERSISTENTVOLUMECLAIM
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError

_VERSIONS: Final = ("v1alpha1", "v1beta1")
FORMS: Final = frozenset(f"/{one}/upload-form{how}" for one in _VERSIONS for how in ("", "-async"))
_ARCHIVES: Final = frozenset(f"/{one}/upload-archive" for one in _VERSIONS)
PATHS: Final = FORMS | _ARCHIVES | {f"/{one}/upload{how}" for one in _VERSIONS for how in ("", "-async")}
_PHASE: Final = "cdi.kubevirt.io/storage.pod.phase"
_CONTENT: Final = "cdi.kubevirt.io/storage.contentType"
_PART_BYTES: Final = 1 << 20
_SILENT_S: Final = 60.0
_PART_S: Final = 300.0  # a megabyte may take so long: a client that sends less only holds the claim


async def take(
    backend: Backend, method: str, path: str, bearer: str, size: int, parts: AsyncIterator[bytes]
) -> Response:
    """Answer a request to one of PATHS: plain text, as CDI's proxy does.

    400 without a token or for an archive where a disk is wanted, 401 with a token that is forged, over, or of an
    earlier claim of the name, 408 to who sends next to nothing, 503 while the claim is not ready, gone, or filled
    already. Both kinds of upload are answered when the image is the claim's disk, so that a refusal is told.
    """
    if method not in ("HEAD", "POST", "PUT"):
        return _text(405, "an image is sent by POST")
    scheme, _, token = bearer.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return _text(400, "missing Authorization header with a bearer token")
    ticket = tickets.read(backend.config.upload_key, token.strip(), backend.now())
    if ticket is None:
        return _text(401, "the upload token is not valid or has expired")
    if refusal := _refusal(backend, ticket):
        return _text(*refusal)
    if path in _ARCHIVES and _marks(backend, ticket).get(_CONTENT) != "archive":
        return _text(400, f"the claim {ticket.name} takes a disk image, not an archive")
    if method == "HEAD":
        return _text(200, "")
    try:
        return await _pass_on(backend, ticket, size, parts)
    except ApiError as error:
        return _text(error.code, error.message)


def _claim(backend: Backend, ticket: Ticket) -> Object:
    record = backend.store.get(PERSISTENTVOLUMECLAIM.resource, ticket.namespace, ticket.name)
    return dict(orjson.loads(record.value)) if record else {}


def _marks(backend: Backend, ticket: Ticket) -> dict[str, str]:
    return meta.annotations(_claim(backend, ticket))


def _refusal(backend: Backend, ticket: Ticket) -> tuple[int, str] | None:
    """Why the token of a claim is of no use any more."""
    claim = _claim(backend, ticket)
    if not claim:
        return 503, f"rejecting Upload Request for PVC {ticket.name} that doesn't exist"
    if meta.uid(claim) != ticket.uid:
        return 401, f"the upload token is of a claim {ticket.name} that is gone"
    if meta.annotations(claim).get(_PHASE) == "Succeeded":
        return 503, f"rejecting Upload Request for PVC {ticket.name} that already finished uploading"
    return None


async def _pass_on(backend: Backend, ticket: Ticket, size: int, parts: AsyncIterator[bytes]) -> Response:
    ref = StreamRef(PERSISTENTVOLUMECLAIM.resource, ticket.namespace, ticket.name)
    stream = await backend.streams.open(ref, "upload", {"size": size})
    try:
        await _send(stream, parts)
        told = await stream.receive()
    finally:
        await stream.close()
    status = orjson.loads(told[1]) if told else {}
    if status.get("status") == "Success":
        return _text(200, "")
    return _text(int(status.get("code") or 500), str(status.get("message") or "the upload was given up"))


async def _send(stream: Duplex, parts: AsyncIterator[bytes]) -> None:
    """All parts, a megabyte at a time, and the end."""
    held: list[bytes] = []
    size = 0
    async for part in arriving(parts):
        held.append(part)
        size += len(part)
        if size >= _PART_BYTES:
            await stream.send(STDIN, b"".join(held))
            held, size = [], 0
    if held:
        await stream.send(STDIN, b"".join(held))
    await stream.send(STDIN, b"")


async def arriving(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The parts as they come. Raises ApiError (408) at a client that sends nothing, or too little: it keeps others from
    the claim. Only the time in which we wait for it counts."""
    source, clock = aiter(parts), asyncio.get_running_loop().time
    waited, got = 0.0, 0
    while True:
        since = clock()
        try:
            async with asyncio.timeout(_SILENT_S):
                part = await anext(source)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ApiError(408, "Timeout", f"the upload was given up: nothing came for {_SILENT_S:g} s") from None
        waited, got = waited + clock() - since, got + len(part)
        if got >= _PART_BYTES:
            waited, got = 0.0, 0
        elif waited > _PART_S:
            raise ApiError(408, "Timeout", f"the upload was given up: less than a megabyte came in {_PART_S:g} s")
        yield part


def _text(code: int, said: str) -> Response:
    return Response(code, {"content-type": "text/plain; charset=utf-8"}, f"{said}\n".encode() if said else b"")
