"""PATCH of one object: JSON (RFC 6902), merge (RFC 7386) and strategic merge."""

from __future__ import annotations

from typing import Any, Final

import orjson

from vmpod.api import body
from vmpod.api.call import Call
from vmpod.api.representation import object_response
from vmpod.api.verbs.update import Change, Prepare, check_identity, prepare_status, prepare_whole, rewrite
from vmpod.client.inprocess import Response
from vmpod.kinds import Kind, schema
from vmpod.model import meta, patch, status, strategic
from vmpod.model.meta import Object

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"


async def patch_object(call: Call) -> Response:
    """Change the object as the patch says."""
    return await _patch(call, prepare_whole)


async def patch_status(call: Call) -> Response:
    """Change nothing but `status`."""
    return await _patch(call, prepare_status)


async def _patch(call: Call, prepare: Prepare) -> Response:
    change, pinned = read_patch(call, call.kind)

    def changed(stored: Object) -> Object:
        wanted = change(stored)
        _check_kind(call, wanted)
        check_identity(call, wanted)
        return _checked(call, wanted)

    return object_response(call, await rewrite(call, changed, prepare, pinned=pinned))


def _checked(call: Call, wanted: Object) -> Object:
    """Without unknown fields; under Strict they are an error, told about the patch as upstream does."""
    wanted, faults = body.known_fields(call, wanted)
    if faults:
        why = f"strict decoding error: {', '.join(faults)}"
        raise status.invalid("", "", [status.wrong("patch", call.request.body.decode(errors="replace"), why)])
    return wanted


def read_patch(call: Call, kind: Kind | None) -> tuple[Change, bool]:
    """The patch in the body as a change, and whether it names a resourceVersion.

    `kind` is None for documents without a schema of their own (a Scale), which take no strategic patch.
    Raises ApiError 415 for a type that is not taken, 400 for a body that is no patch.
    """
    media = body.content_type(call)
    patchable = kind is not None and not schema.is_custom(kind)
    if media == APPLY:
        raise _no_server_side_apply()
    if media not in (JSON_PATCH, MERGE_PATCH, *([STRATEGIC] if patchable else [])):
        raise status.unsupported_media_type((JSON_PATCH, MERGE_PATCH, *([STRATEGIC] if patchable else [])))
    data = body.from_json(call.request.body)
    _check_shape(media, data)
    if media == JSON_PATCH:
        return lambda stored: patch.json_patch(stored, data), _pins_by_path(data)
    pinned = bool(meta.get(data, "metadata", "resourceVersion"))
    if media == MERGE_PATCH or kind is None:
        return lambda stored: patch.merge_patch(stored, data), pinned
    shape = schema.patch_schema(kind)
    return lambda stored: strategic.strategic_merge(stored, data, shape), pinned


def _no_server_side_apply() -> status.ApiError:
    return status.ApiError(
        415, "UnsupportedMediaType",
        f"server-side apply ({APPLY}) is not served: use client-side apply, `kubectl apply --server-side=false`",
    )


def _check_shape(media: str, data: Any) -> None:
    if media == JSON_PATCH and not isinstance(data, list):
        raise status.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if media != JSON_PATCH and not isinstance(data, dict):
        raise status.bad_request("a merge patch must be an object")


def _pins_by_path(operations: list[Any]) -> bool:
    return any(
        isinstance(step, dict) and step.get("path") == "/metadata/resourceVersion" for step in operations
    )


def _check_kind(call: Call, obj: Object) -> None:
    said = (obj.get("apiVersion"), obj.get("kind"))
    if said not in ((call.kind.api_version, call.kind.kind), (call.api_version, call.kind.kind)):
        raise status.bad_request(
            f"the patch turns a {call.kind.kind} ({call.kind.api_version}) into {said[1]} ({said[0]}): "
            f"{orjson.dumps(said).decode()}"
        )
    obj["apiVersion"] = call.kind.api_version
