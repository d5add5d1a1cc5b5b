"""Scale (autoscaling/v1) of everything that has `spec.replicas` and a selector."""

from __future__ import annotations

from dataclasses import replace

import orjson

from vmpod.api import body
from vmpod.api.call import Call
from vmpod.api.representation import body_response
from vmpod.api.verbs.patch import read_patch
from vmpod.api.verbs.update import prepare_whole, rewrite
from vmpod.client.inprocess import Response
from vmpod.model import meta, selectors, status
from vmpod.model.meta import Object
from vmpod.store import Record

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


async def get_scale(call: Call) -> Response:
    """GET …/scale."""
    return body_response(call, scale_of(orjson.loads(call.current().value)))


async def update_scale(call: Call) -> Response:
    """PUT …/scale."""
    sent = body.read_object(call)
    pinned = bool(meta.metadata(sent).get("resourceVersion"))
    return _answer(call, await rewrite(call, lambda stored: _scaled(stored, sent), prepare_whole, pinned=pinned))


async def patch_scale(call: Call) -> Response:
    """PATCH …/scale."""
    change, pinned = read_patch(call, None)
    record = await rewrite(call, lambda stored: _scaled(stored, change(scale_of(stored))), prepare_whole, pinned=pinned)
    return _answer(call, record)


def _answer(call: Call, record: Record) -> Response:
    return replace(body_response(call, scale_of(orjson.loads(record.value))), revision=record.revision)


def _scaled(stored: Object, scale: Object) -> Object:
    replicas = meta.get(scale, "spec", "replicas", default=0)
    if not isinstance(replicas, int) or replicas < 0:
        fault = status.wrong("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("Scale.autoscaling", meta.name(stored), [fault])
    if revision := meta.metadata(scale).get("resourceVersion"):
        stored["metadata"]["resourceVersion"] = revision
    stored["spec"]["replicas"] = replicas
    return stored


def scale_of(obj: Object) -> Object:
    """The Scale that an object with `spec.replicas` shows."""
    metadata = meta.metadata(obj)
    selector = str(selectors.from_object(meta.get(obj, "spec", "selector", default={})))
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in _KEPT if key in metadata},
        "spec": {"replicas": meta.get(obj, "spec", "replicas", default=0)},
        "status": {"replicas": meta.get(obj, "status", "replicas", default=0), "selector": selector},
    }
