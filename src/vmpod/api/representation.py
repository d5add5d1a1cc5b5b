"""How an object is shown: JSON or YAML, whole, as a table row or as metadata alone.

Which one is negotiated by the Accept header as k8s.io/apiserver's endpoints/handlers/negotiation does.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from vmpod.api.call import Call
from vmpod.client.inprocess import Response
from vmpod.model import meta, status, table, yaml
from vmpod.model.meta import Object
from vmpod.store import Record

JSON: Final = "application/json"
YAML: Final = "application/yaml"
_MEDIA: Final = {JSON: JSON, "application/*": JSON, "*/*": JSON, YAML: YAML, "application/x-yaml": YAML}
_GZIP_FROM_BYTES: Final = 128 << 10  # as kube-apiserver: smaller answers are sent as they are
_SHAPES: Final = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})
_YIELD_EVERY: Final = 200


@dataclass(frozen=True)
class Form:
    """What the client accepts best. `shape` is empty for whole objects."""

    media: str = JSON
    shape: str = ""
    version: str = "v1"

    @property
    def is_plain(self) -> bool:
        """Whether stored bytes can be sent as they are."""
        return self.media == JSON and not self.shape


@dataclass(frozen=True)
class Accepted:
    """One clause of an Accept header."""

    media: str
    params: Mapping[str, str]

    @property
    def quality(self) -> float:
        try:
            return float(self.params.get("q", "1"))
        except ValueError:
            return 0.0


def accepted(header: str) -> list[Accepted]:
    """The clauses of an Accept header, best first; order decides between equals."""
    clauses = []
    for text in (header or "*/*").split(","):
        media, *params = (part.strip() for part in text.split(";"))
        pairs = (param.partition("=") for param in params)
        clauses.append(Accepted(media.lower(), {key.strip().lower(): value.strip() for key, _, value in pairs}))
    return sorted(clauses, key=lambda clause: -clause.quality)


def negotiate(header: str, *, shapes: Iterable[str] = _SHAPES) -> Form:
    """The best form that we can answer with. Raises ApiError 406 when there is none."""
    for clause in accepted(header):
        media = _MEDIA.get(clause.media)
        shape = clause.params.get("as", "")
        if media is None or (shape and not _is_known(clause, shapes)):
            continue
        return Form(media, shape, clause.params.get("v", "v1"))
    raise status.not_acceptable((JSON, YAML))


def _is_known(clause: Accepted, shapes: Iterable[str]) -> bool:
    group, version = clause.params.get("g", ""), clause.params.get("v", "")
    return clause.params["as"] in shapes and group == "meta.k8s.io" and version in ("v1", "v1beta1")


def form_of(call: Call) -> Form:
    """What the client of a call accepts."""
    header = call.request.headers.get("accept", "")
    return Form() if header in ("", JSON, "*/*") else negotiate(header)


def in_version(call: Call, obj: Object) -> Object:
    """The object in the version that the client speaks; versions of our kinds differ in name only."""
    obj["apiVersion"] = call.api_version
    obj.setdefault("kind", call.kind.kind)
    return obj


def whole(call: Call, record: Record) -> Object:
    """A stored object, decoded, in the client's version."""
    return in_version(call, orjson.loads(record.value))


def stored_bytes(call: Call, record: Record) -> bytes:
    """The JSON of a record in the client's version, without decoding it where that can be avoided."""
    if call.version == call.kind.version:
        return record.value
    return orjson.dumps(whole(call, record))


def shaped(call: Call, form: Form, obj: Object) -> Object:
    """One object in the form asked for."""
    if form.shape == "Table":
        return table_of(call, form, [obj], str(meta.metadata(obj).get("resourceVersion") or ""))
    if form.shape:
        return table.partial(obj, form.version)
    return obj


def table_of(
    call: Call, form: Form, objects: Sequence[Object], revision: str, *, headers: bool = True
) -> Object:
    """Objects as rows with the columns of their kind; `headers` only in the first event of a watch."""
    include = call.query("includeObject") or "Metadata"
    if include not in ("Metadata", "Object", "None"):
        raise status.bad_request(
            f"the includeObject query parameter must be one of [None Metadata Object], got {include!r}"
        )
    columns = call.kind.columns or (table.NAME, table.AGE)
    return table.render(
        columns, objects, call.backend.now(), include,
        revision=revision, version=form.version, headers=headers,
    )


def object_response(call: Call, record: Record, code: int = 200) -> Response:
    """The answer that is one stored object."""
    form = form_of(call)
    if form.is_plain and call.version == call.kind.version:
        return Response(code, headers_of(call, JSON), record.value, revision=record.revision)
    answer = document_response(call, orjson.loads(record.value), code, form)
    return Response(answer.status, answer.headers, answer.body, revision=record.revision)


def document_response(call: Call, obj: Object, code: int = 200, form: Form | None = None) -> Response:
    """The answer that is one object of the call's kind which need not be stored (a dry run)."""
    form = form or form_of(call)
    return body_response(call, shaped(call, form, in_version(call, obj)), code, form.media)


def body_response(call: Call, body: Mapping[str, Any], code: int = 200, media: str = "") -> Response:
    """The answer that is any JSON document: a Status, a Scale, an APIResourceList."""
    media = media or negotiate(call.request.headers.get("accept", ""), shapes=_SHAPES).media
    if media == YAML:
        return Response(code, headers_of(call, YAML), yaml.dump(dict(body)).encode())
    indent = orjson.OPT_INDENT_2 if call.flag("pretty") else 0
    return Response(code, headers_of(call, JSON), orjson.dumps(body, option=indent))


def headers_of(call: Call, media: str) -> dict[str, str]:
    """Headers of an answer, with what the client should be warned of (RFC 7234 §5.5, as kubectl shows it)."""
    found = {"content-type": media, "cache-control": "no-cache, private"}
    if call.warnings:
        found["warning"] = ", ".join(warning_text(text) for text in dict.fromkeys(call.warnings))
    return found


def warning_text(text: str) -> str:
    """One warn-value: code 299, no agent, the text quoted."""
    clean = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{clean}"'


async def table_rows(call: Call, form: Form, records: Sequence[Record], revision: str) -> Object:
    """A Table of many records; gives way to other requests now and then."""
    objects: list[Object] = []
    for position, record in enumerate(records, 1):
        objects.append(whole(call, record))
        if position % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
    return table_of(call, form, objects, revision)


def list_items(call: Call, form: Form, records: Sequence[Record]) -> list[Any]:
    """The items of a list: stored bytes as they are, or metadata alone."""
    if form.shape:
        return [table.partial(whole(call, record), form.version) for record in records]
    return [orjson.Fragment(stored_bytes(call, record)) for record in records]


async def compressed(answer: Response, accept_encoding: str) -> Response:
    """The same answer, gzipped when it is long and the client takes that."""
    body = answer.body
    if len(body) < _GZIP_FROM_BYTES or "gzip" not in accept_encoding or "content-encoding" in answer.headers:
        return answer
    packed = await asyncio.to_thread(gzip.compress, body, 1)
    extra = {"content-encoding": "gzip", "vary": "accept-encoding"}
    return Response(answer.status, {**answer.headers, **extra}, packed, revision=answer.revision)
