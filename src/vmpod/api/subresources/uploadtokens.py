"""UploadTokenRequest: leave to upload into a claim, given and not kept."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson

from vmpod.api import body, representation, tickets
from vmpod.api.call import Call
from vmpod.api.tickets import Ticket
from vmpod.base import clock
from vmpod.client.inprocess import Response
from vmpod.kinds import DATAVOLUME, PERSISTENTVOLUMECLAIM
from vmpod.model import meta, status
from vmpod.model.meta import Object

_KIND: Final = "UploadTokenRequest"
_GROUP: Final = "upload.cdi.kubevirt.io"
_CHECKS, _EVERY_S = 50, 0.1


async def create(call: Call) -> Response:
    """201 with `status.token`, which opens the claim that the request names."""
    asked = body.read_object(call)
    if asked.get("kind", _KIND) != _KIND:
        raise status.bad_request(f"an object of kind {_KIND} was expected, not {asked['kind']}")
    wanted = meta.get(asked, "spec", "pvcName", default="")
    if not wanted:
        raise status.invalid(_KIND, meta.name(asked), [status.required("spec.pvcName")], _GROUP)
    claim = await _claim(call, str(wanted))
    now = call.backend.now()
    ticket = Ticket(call.namespace, meta.name(claim), meta.uid(claim))
    token = tickets.sign(call.backend.config.upload_key, ticket, now)
    about = {**(asked.get("metadata") or {}), "namespace": call.namespace, "creationTimestamp": clock.rfc3339(now)}
    answer = {"kind": _KIND, "apiVersion": f"{_GROUP}/v1beta1", "metadata": about, "spec": asked["spec"]}
    return representation.body_response(call, answer | {"status": {"token": token}}, 201)


async def absent(call: Call) -> Response:
    """None is ever kept: `kubectl apply` asks for it before it makes it."""
    raise status.not_found(f"uploadtokenrequests.{_GROUP}", call.name)


async def _claim(call: Call, wanted: str) -> Object:
    """The claim of the name; that of a new DataVolume is waited for a moment. Raises ApiError 404."""
    for _ in range(_CHECKS):
        record = call.store.get(PERSISTENTVOLUMECLAIM.resource, call.namespace, wanted)
        if record is not None:
            return dict(orjson.loads(record.value))
        if call.store.get(DATAVOLUME.resource, call.namespace, wanted) is None:
            break
        await asyncio.sleep(_EVERY_S)
    raise status.not_found(PERSISTENTVOLUMECLAIM.resource, wanted)
