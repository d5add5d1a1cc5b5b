"""DELETE of one object and of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from vmpod.api import admission, body, deletion
from vmpod.api.call import Call
from vmpod.api.deletion import DeleteOptions
from vmpod.api.representation import body_response, object_response, stored_bytes
from vmpod.api.selection import selection_of
from vmpod.client.inprocess import Response
from vmpod.kinds import NODE, POD
from vmpod.model import meta, status
from vmpod.store import Conflict, Missing, Record

_ATTEMPTS: Final = 8
# Kinds of which a DELETE answers with the last state (ReturnDeletedObject in their upstream registries).
_ANSWERED_WITH_OBJECT: Final = frozenset({
    "pods", "services", "serviceaccounts", "persistentvolumeclaims", "persistentvolumes",
    "storageclasses.storage.k8s.io",
})


async def delete_object(call: Call) -> Response:
    """End one object: a Status when it is gone, the object when it waits for something."""
    record, gone = await remove(call, read_delete_options(call))
    if gone and call.kind.resource not in _ANSWERED_WITH_OBJECT:
        plural, group = call.kind.plural, call.kind.group
        about = {"name": call.name, "group": group, "kind": plural, "uid": record.uid}
        told = status.success({key: text for key, text in about.items() if text})
        return replace(body_response(call, told), revision=record.revision)
    return object_response(call, record)


def read_delete_options(call: Call) -> DeleteOptions:
    """The options of the request. Raises ApiError."""
    sent: Mapping[str, Any] = body.read_object(call) if call.request.body else {}
    return deletion.read_options(sent, call.request.query)


async def remove(call: Call, options: DeleteOptions) -> tuple[Record, bool]:
    """End the call's object: its record and whether it is gone. Raises ApiError."""
    for _ in range(_ATTEMPTS):
        record = call.current()
        obj = orjson.loads(record.value)
        deletion.check_preconditions(call.kind, obj, options)
        wanted = options if _may_run(call, obj) else replace(options, grace_s=0)
        waiting = deletion.decide(call.kind, obj, wanted, call.backend.now())
        if options.dry_run or waiting == obj:
            return record, waiting is None
        try:
            if waiting is None:
                return await _delete(call, record), True
            return await call.store.update(
                call.kind.resource, call.namespace, call.name, waiting, record.revision
            ), False
        except Conflict:
            continue
        except Missing:
            raise status.not_found(call.kind.resource, call.name) from None
    raise status.conflict(call.kind.resource, call.name)


def _may_run(call: Call, obj: meta.Object) -> bool:
    """Whether somebody has to end it first: not a pod of a node that does not exist (upstream: podgc)."""
    node = meta.get(obj, "spec", "nodeName") if call.kind is POD else None
    return not node or call.store.get(NODE.resource, "", str(node)) is not None


async def _delete(call: Call, record: Record) -> Record:
    try:
        return await call.store.delete(call.kind.resource, call.namespace, call.name, record.revision)
    finally:
        admission.settle(call.backend, call.kind, call.namespace, call.name)


async def delete_collection(call: Call) -> Response:
    """End everything that the selectors select; answers with the list of it."""
    options = read_delete_options(call)
    records, revision = call.store.list(call.kind.resource, call.namespace or None)
    ended = []
    for record in selection_of(call).select(records):
        one = replace(call, namespace=record.namespace, name=record.name)
        try:
            ended.append((await remove(one, options))[0])
        except status.ApiError as error:
            if error.code != 404:
                raise
    items = [orjson.Fragment(stored_bytes(call, record)) for record in ended]
    last = max((record.revision for record in ended), default=revision)
    return replace(body_response(call, _as_list(call, items, last)), revision=last)


def _as_list(call: Call, items: list[Any], revision: int) -> meta.Object:
    return {
        "kind": f"{call.kind.kind}List", "apiVersion": call.api_version,
        "metadata": {"resourceVersion": str(revision)}, "items": items,
    }
