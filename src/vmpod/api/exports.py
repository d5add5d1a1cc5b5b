"""Downloads of a VirtualMachineExport: who shows its token needs no certificate.

They are answered at two doors: below the export's path at the API's own port, and at the address of its exporter pod.
Paths, codes and manifests are those of KubeVirt's export server.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from vmpod.api import exportmanifests
from vmpod.api.call import Backend
from vmpod.api.streams import Duplex, StreamRef
from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.client.inprocess import Response
from vmpod.kinds import PERSISTENTVOLUMECLAIM, POD, SECRET, VIRTUALMACHINEEXPORT
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError

_log = log.get("api.exports")
_OUTSIDE: Final = re.compile(
    r"/api/export\.kubevirt\.io/(?:v1|v1beta1)/namespaces/([^/]+)/virtualmachineexports/([^/]+)(/.*)"
)
_VOLUME: Final = re.compile(r"/volumes/([^/]+)/(disk\.img|disk\.img\.gz|disk\.tar\.gz)")
_MANIFEST: Final = re.compile(r"/(internal|external)/manifests/(all|secret)")
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_TOKEN: Final = "x-kubevirt-export-token"
_FORMATS: Final = {"disk.img": "raw", "disk.img.gz": "gzip", "disk.tar.gz": "tar.gz"}
_PACKINGS: Final = {"disk.img.gz": "gzip", "disk.tar.gz": "tar"}


@dataclass(frozen=True)
class Asked:
    """A request: header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


def outside(path: str) -> tuple[tuple[str, str], str] | None:
    """The export that a path of the API's port is of, and the path at the export; None when it is of none."""
    found = _OUTSIDE.fullmatch(path)
    return ((found[1], found[2]), found[3]) if found else None


async def answer(backend: Backend, export: tuple[str, str], asked: Asked) -> Response:
    """Answer a request to an export: 404 without one, or for what it does not show, 503 while it is not ready,
    401 for a token that is missing or wrong."""
    record = backend.store.get(VIRTUALMACHINEEXPORT.resource, *export)
    if record is None:
        return _text(404, "there is no such export")
    found = orjson.loads(record.value)
    if asked.path == "/exportready":
        return _text(200, "OK")
    if meta.get(found, "status", "phase") != "Ready" or meta.is_deleting(found):
        return _text(503, "the export is not ready")
    if not _is_shown(found, asked.path):
        return _text(404, "404 page not found")
    token = _token(backend, found)
    if not token or not _may(token, asked):
        return _text(401, "")
    if asked.method not in ("GET", "HEAD"):
        return _text(400, "")
    try:
        return await _send(backend, found, token, asked)
    except ApiError as error:
        return _text(error.code, error.message)


def _is_shown(export: Object, path: str) -> bool:
    links = meta.get(export, "status", "links", "external", default={})
    if manifest := _MANIFEST.fullmatch(path):
        wanted = {"all": "all", "secret": "auth-header-secret"}[manifest[2]]
        return any(one["type"] == wanted for one in links.get("manifests") or ())
    volume = _VOLUME.fullmatch(path)
    offered = (format for one in links.get("volumes") or () for format in one["formats"])
    return volume is not None and any(one["url"].endswith(path) for one in offered)


def _token(backend: Backend, export: Object) -> bytes:
    wanted = str(meta.get(export, "status", "tokenSecretRef", default=""))
    record = backend.store.get(SECRET.resource, meta.namespace(export), wanted)
    secret = orjson.loads(record.value) if record else {}
    try:
        return base64.b64decode(str(meta.get(secret, "data", "token", default="")), validate=True)
    except binascii.Error:
        return b""


def _may(token: bytes, asked: Asked) -> bool:
    """Compared in the same time whatever is shown."""
    shown = (asked.headers.get(_TOKEN, ""), asked.query.get(_TOKEN, ""))
    return any(hmac.compare_digest(one.encode("utf-8", "surrogateescape"), token) for one in shown)


async def _send(backend: Backend, export: Object, token: bytes, asked: Asked) -> Response:
    if manifest := _MANIFEST.fullmatch(asked.path):
        return exportmanifests.answer(backend, export, manifest[1], manifest[2], token, asked.headers.get("accept", ""))
    volume = _VOLUME.fullmatch(asked.path)
    assert volume is not None
    pod = backend.store.get(POD.resource, meta.namespace(export), str(meta.get(export, "status", "serviceName")))
    ref = StreamRef(PERSISTENTVOLUMECLAIM.resource, meta.namespace(export), volume[1])
    params = {"pod": pod.uid if pod else "", "packing": _PACKINGS.get(volume[2], "")}
    if volume[2] == "disk.img":
        return await _raw(backend, ref, params, asked)
    headers = {"content-type": "application/gzip"}
    if asked.method == "HEAD":
        return Response(200, headers)
    return Response(200, headers, stream=_pieces(await backend.streams.open(ref, "export", params)))


async def _raw(backend: Backend, ref: StreamRef, params: Mapping[str, str], asked: Asked) -> Response:
    """The disk as the guest sees it, or the part of it that is asked for."""
    size = int((await backend.streams.ask(ref, "size", {}))["bytes"])
    headers = {"content-type": "application/octet-stream", "accept-ranges": "bytes"}
    start, end, code = 0, size, 200
    if wanted := _RANGE.fullmatch(asked.headers.get("range", "")):
        start, end = _part(wanted[1], wanted[2], size)
        code = 206
        if start >= end:
            return Response(416, {**headers, "content-range": f"bytes */{size}"})
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)
    if asked.method == "HEAD":
        return Response(code, headers)
    stream = await backend.streams.open(ref, "export", {**params, "start": start, "end": end})
    return Response(code, headers, stream=_pieces(stream))


def _part(first: str, last: str, size: int) -> tuple[int, int]:
    """Start and end of a range (RFC 9110, 14.1.2); the end is not of it."""
    if not first:
        return (size - min(int(last), size), size) if last else (size, size)
    return int(first), min(int(last) + 1, size) if last else size


async def _pieces(stream: Duplex) -> AsyncIterator[bytes]:
    """What a stream gives; an end before its time is told by a cut connection, as there is no other way."""
    try:
        while (piece := await stream.receive()) is not None:
            yield piece[1]
    except Problem as problem:
        _log.warning("%s", problem)
        raise ConnectionResetError(str(problem)) from None
    finally:
        await stream.close()


def _text(code: int, said: str) -> Response:
    return Response(code, {"content-type": "text/plain; charset=utf-8"}, f"{said}\n".encode() if said else b"")


