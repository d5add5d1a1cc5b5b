"""GET of a collection: whole, or in pages of one revision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from vmpod.api import representation
from vmpod.api.call import Call
from vmpod.api.pages import Token
from vmpod.api.representation import Form
from vmpod.api.revisions import check_list_revision
from vmpod.api.selection import selection_of
from vmpod.api.verbs.watch import watch_objects
from vmpod.client.inprocess import Response
from vmpod.model import status
from vmpod.store import Record

_MATTERS: Final = ("labelSelector", "fieldSelector")


async def list_objects(call: Call) -> Response:
    """The collection, of all namespaces when the path names none; with `watch` its changes."""
    if call.flag("watch"):
        return await watch_objects(call)
    await check_list_revision(call)
    form = representation.form_of(call)
    records, metadata = _page(call)
    if call.request.shared and form.is_plain:
        return _shared(call, records, metadata)
    return await _listed(call, form, records, metadata)


def _page(call: Call) -> tuple[Sequence[Record], dict[str, Any]]:
    """The records to answer with, and the metadata of the list."""
    limit, token = _limit(call), call.query("continue")
    query = "\0".join((call.kind.resource, call.namespace, *(call.query(name) for name in _MATTERS)))
    if token:
        at = Token.decode(token)
        revision, start, found = at.revision, at.start, call.backend.pages.find(query, at.revision)
    else:
        everything, revision = call.store.list(call.kind.resource, call.namespace or None)
        start, found = 0, selection_of(call).select(everything)
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if not limit or start + limit >= len(found):
        return found[start:], metadata
    call.backend.pages.hold(query, revision, found)
    metadata["continue"] = Token(revision, start + limit).encode()
    if not any(call.query(name) for name in _MATTERS):
        metadata["remainingItemCount"] = len(found) - start - limit
    return found[start : start + limit], metadata


def _limit(call: Call) -> int:
    text = call.query("limit") or "0"
    if not text.lstrip("-").isdecimal():
        raise status.bad_request(f'strconv.ParseInt: parsing {status.quote(text)}: invalid syntax')
    return max(0, int(text))


def _shared(call: Call, records: Sequence[Record], metadata: dict[str, Any]) -> Response:
    """For callers in this process: the stored bytes themselves."""
    items = [representation.stored_bytes(call, record) for record in records]
    return Response(200, items=items, revision=int(metadata["resourceVersion"]))


async def _listed(call: Call, form: Form, records: Sequence[Record], metadata: dict[str, Any]) -> Response:
    if form.shape == "Table":
        answer = await representation.table_rows(call, form, records, metadata["resourceVersion"])
        answer["metadata"] = metadata
    else:
        answer = {
            "kind": "PartialObjectMetadataList" if form.shape else f"{call.kind.kind}List",
            "apiVersion": f"meta.k8s.io/{form.version}" if form.shape else call.api_version,
            "metadata": metadata,
            "items": _items(call, form, records),
        }
    await asyncio.sleep(0)
    return representation.body_response(call, answer, media=form.media)


def _items(call: Call, form: Form, records: Sequence[Record]) -> list[Any]:
    if form.media == representation.YAML and not form.shape:
        return [representation.whole(call, record) for record in records]
    return representation.list_items(call, form, records)
