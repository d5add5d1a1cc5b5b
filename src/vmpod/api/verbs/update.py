"""PUT of one object, and the one way in which stored objects change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import orjson

from vmpod.api import admission, body, deletion
from vmpod.api.call import Call
from vmpod.api.representation import object_response
from vmpod.client.inprocess import ENGINE, Response
from vmpod.model import meta, status
from vmpod.model.meta import Object
from vmpod.store import Conflict, Missing, Record

Change = Callable[[Object], Object]  # a private copy of what is stored → what is wanted
Prepare = Callable[[Call, Object, Object], Object]  # call, wanted, stored → what to store

_ATTEMPTS: Final = 8
_OURS: Final = ("managedFields", "selfLink")


async def update_object(call: Call) -> Response:
    """Replace the object with the one in the body; without a resourceVersion in it, whatever is stored."""
    return await _put(call, prepare_whole)


async def update_status(call: Call) -> Response:
    """Replace nothing but `status`."""
    return await _put(call, prepare_status)


async def _put(call: Call, prepare: Prepare) -> Response:
    """A status that the engine itself wrote is taken as it is: that is nine of ten writes while a machine starts."""
    own = call.request.shared and prepare is prepare_status
    new = body.read_kind(call) if own else body.checked_fields(call, body.read_kind(call))
    check_identity(call, new)
    pinned = bool(meta.metadata(new).get("resourceVersion"))
    return object_response(call, await rewrite(call, lambda _: new, prepare, pinned=pinned))


def check_identity(call: Call, obj: Object) -> None:
    """Raises ApiError 400 when the body is about another object than the path."""
    metadata = obj.setdefault("metadata", {})
    name = metadata.setdefault("name", call.name)
    if name != call.name:
        raise status.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({call.name})"
        )
    if not call.kind.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", call.namespace) != call.namespace:
        raise status.bad_request(
            f"the namespace of the object ({metadata['namespace']}) does not match the namespace on the URL "
            f"({call.namespace})"
        )


async def rewrite(call: Call, change: Change, prepare: Prepare, *, pinned: bool = False) -> Record:
    """Change a stored object; starts anew when somebody was faster, unless `pinned` to a revision.

    Raises ApiError. A change that changes nothing is not stored.
    """
    for _ in range(_ATTEMPTS):
        record = call.current()
        new = prepare(call, change(orjson.loads(record.value)), orjson.loads(record.value))
        try:
            return await _store(call, record, new)
        except Conflict:
            if pinned:
                raise status.conflict(call.kind.resource, call.name) from None
        except Missing:
            raise status.not_found(call.kind.resource, call.name) from None
        finally:
            admission.settle(call.backend, call.kind, call.namespace, call.name)
    raise status.conflict(call.kind.resource, call.name)


async def _store(call: Call, record: Record, new: Object) -> Record:
    """Write, or end an object that only waited for this."""
    kind = call.kind
    new["metadata"]["resourceVersion"] = str(record.revision)
    if call.is_dry_run:
        return replace(record, value=orjson.dumps(new))
    if deletion.is_complete(kind, new):
        return await call.store.delete(kind.resource, call.namespace, call.name, record.revision)
    if new == orjson.loads(record.value):
        return record
    return await call.store.update(kind.resource, call.namespace, call.name, new, record.revision)


def prepare_whole(call: Call, new: Object, old: Object) -> Object:
    """The object as a PUT or PATCH of it is stored: defaults, what the server owns, every fault at once."""
    kind = call.kind
    _check_same(call, new, old)
    new = kind.prepare_update(kind.default(new), old)
    for key in _OURS:
        new["metadata"].pop(key, None)
    admission.admit_update(call, new, old)
    guarded = [] if call.request.user == ENGINE else kind.guard(new, old)
    if faults := [*_finalizer_faults(new, old), *kind.validate(new, old), *guarded]:
        title = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
        raise status.invalid(title, call.name, faults)
    call.warnings.extend(text for text in kind.warnings(new) if text not in call.warnings)
    return new


def prepare_status(call: Call, new: Object, old: Object) -> Object:
    """The stored object with another `status`."""
    _check_same(call, new, old)
    if "status" not in new:
        return {key: value for key, value in old.items() if key != "status"}
    return {**old, "status": new["status"]}


def prepare_as_is(call: Call, new: Object, old: Object) -> Object:
    """What the server itself changed, past validation."""
    return new


def _check_same(call: Call, new: Object, old: Object) -> None:
    """Optimistic locking, and that it is still the same object."""
    wanted, stored = meta.metadata(new), meta.metadata(old)
    if wanted.get("uid") and wanted["uid"] != stored.get("uid"):
        raise status.conflict(
            call.kind.resource, call.name,
            f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: {stored.get('uid')}",
        )
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != stored.get("resourceVersion"):
        raise status.conflict(call.kind.resource, call.name)


def _finalizer_faults(new: Object, old: Object) -> list[status.FieldError]:
    """An object on its way out takes no new finalizers (apimachinery ValidateObjectMetaAccessorUpdate)."""
    if not meta.is_deleting(old):
        return []
    held = meta.metadata(old).get("finalizers") or []
    added = [name for name in meta.metadata(new).get("finalizers") or [] if name not in held]
    if not added:
        return []
    told = ", ".join(f'"{name}"' for name in added)
    return [status.refused(
        "metadata.finalizers",
        f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{told}}}",
    )]
