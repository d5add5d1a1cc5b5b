"""POST to a collection."""

from __future__ import annotations

import random
import uuid
from dataclasses import replace

import orjson

from vmpod.api import admission, body, configured
from vmpod.api.call import Call
from vmpod.api.representation import object_response
from vmpod.base import clock
from vmpod.client.inprocess import Response
from vmpod.model import meta, names, status
from vmpod.model.meta import Object
from vmpod.store import Exists, Record

_DRAWS = 8
_rng = random.Random()  # names and uids have to be distinct, not secret; asking the kernel each time is slow


async def create_object(call: Call) -> Response:
    """Store the object in the body: 201 with what was stored."""
    obj = body.checked_fields(call, body.read_kind(call))
    return object_response(call, await insert(call, obj), 201)


async def insert(call: Call, obj: Object) -> Record:
    """Store a new object of the call's kind. Raises ApiError."""
    _check_identity(call, obj)
    generated = not meta.name(obj)
    for draw in range(_DRAWS):
        fresh = orjson.loads(orjson.dumps(obj))
        if generated:
            fresh["metadata"]["name"] = names.generate(fresh["metadata"]["generateName"], _rng)
        try:
            return await _insert(replace(call, name=meta.name(fresh)), fresh)
        except Exists:
            if not generated or draw == _DRAWS - 1:
                raise status.already_exists(call.kind.resource, meta.name(fresh)) from None
    raise AssertionError("unreachable")


def _check_identity(call: Call, obj: Object) -> None:
    """Name and namespace, against each other and against the path."""
    metadata = obj.setdefault("metadata", {})
    if not call.kind.namespaced:
        metadata.pop("namespace", None)
    elif (metadata.get("namespace") or call.namespace) != call.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    elif not call.namespace:
        raise status.bad_request("an empty namespace may not be set during creation")
    else:
        metadata["namespace"] = call.namespace
    if metadata.get("resourceVersion"):
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and not metadata.get("generateName"):
        fault = status.required("metadata.name", "name or generateName is required")
        raise status.invalid(qualified(call), "", [fault])


def qualified(call: Call) -> str:
    """The kind as errors 422 name it: `Deployment.apps`."""
    return f"{call.kind.kind}.{call.kind.group}" if call.kind.group else call.kind.kind


async def _insert(call: Call, obj: Object) -> Record:
    kind = call.kind
    admission.check_namespace(call)
    if call.store.get(kind.resource, call.namespace, call.name) is not None:
        raise Exists(f"create {kind.resource} {call.name}", "the name is taken")
    try:
        obj = _prepared(call, obj)
        if call.is_dry_run:
            return Record(kind.resource, call.namespace, call.name, 0, orjson.dumps(obj), meta.labels(obj), "")
        return await call.store.create(kind.resource, call.namespace, call.name, obj)
    finally:
        admission.settle(call.backend, kind, call.namespace, call.name)


def _prepared(call: Call, obj: Object) -> Object:
    """Defaults, then what the server adds, then every fault at once."""
    kind = call.kind
    configured.complete(call, obj)
    obj = kind.prepare_create(kind.default(obj))
    obj["metadata"].pop("managedFields", None)
    admission.admit_create(call, obj)
    if faults := kind.validate(obj, None):
        raise status.invalid(qualified(call), call.name, faults)
    call.warnings.extend(kind.warnings(obj))
    uid = uuid.UUID(int=_rng.getrandbits(128), version=4)
    obj["metadata"] |= {"uid": str(uid), "creationTimestamp": clock.rfc3339(call.backend.now())}
    return obj
