"""GET /openapi/v3: the index with content hashes, and one document per group version, kept compressed."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache

from vmpod.api.call import Call
from vmpod.api.representation import JSON, body_response
from vmpod.client.inprocess import Response
from vmpod.kinds import schema
from vmpod.model import status

_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_FOREVER = "public, immutable, max-age=31536000"


async def index(call: Call) -> Response:
    """Where the document of each group version is; its hash is in the URL, so clients may keep it."""
    paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(path)}"} for path in schema.openapi_groups()}
    return body_response(call, {"paths": paths}, media=JSON)


async def document(call: Call) -> Response:
    """The OpenAPI v3 document of one group version."""
    path = "/".join(call.rest)
    if path not in schema.openapi_groups():
        raise status.no_route()
    etag = f'"{_hash(path)}"'
    headers = {"content-type": JSON, "etag": etag, "vary": "accept, accept-encoding"}
    if call.query("hash") == _hash(path):
        headers["cache-control"] = _FOREVER
    if call.request.headers.get("if-none-match") == etag:
        return Response(304, headers)
    if "gzip" in call.request.headers.get("accept-encoding", ""):
        return Response(200, {**headers, "content-encoding": "gzip"}, packed(path))
    return Response(200, headers, gzip.decompress(packed(path)))


async def legacy(call: Call) -> Response:
    """GET /openapi/v2: a document without schemas, which are all in v3.

    kubectl looks here for a kind that v3 lacks, and blames the connection when there is no document at all; of this
    one it takes that nothing is known, and then names the kind that is not served.
    """
    if _PROTOBUF in call.request.headers.get("accept", "").replace("@", "."):  # "@" is no token of RFC 2045
        return Response(200, {"content-type": _PROTOBUF}, b"\x0a\x032.0")  # field 1, swagger
    info = {"title": "Kubernetes", "version": call.backend.config.version, "description": "See /openapi/v3."}
    return body_response(call, {"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}, media=JSON)


@cache
def packed(path: str) -> bytes:
    """A document as gzip'ed JSON; the decoded form is not kept."""
    return gzip.compress(schema.openapi_text(path), 6, mtime=0)


@cache
def _hash(path: str) -> str:
    return hashlib.sha512(packed(path)).hexdigest().upper()
