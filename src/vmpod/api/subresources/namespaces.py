"""PUT …/finalize of a Namespace: whoever emptied it takes its finalizer away."""

from __future__ import annotations

from vmpod.api import body
from vmpod.api.call import Call
from vmpod.api.representation import object_response
from vmpod.api.verbs.update import prepare_as_is, rewrite
from vmpod.client.inprocess import Response
from vmpod.model import meta, status
from vmpod.model.meta import Object


async def finalize(call: Call) -> Response:
    """Replace `spec.finalizers`; a namespace that is being deleted and has none left is gone."""
    sent = body.read_kind(call)
    revision = meta.metadata(sent).get("resourceVersion")

    def finalized(stored: Object) -> Object:
        if revision and revision != stored["metadata"]["resourceVersion"]:
            raise status.conflict(call.kind.resource, call.name)
        finalizers = meta.get(sent, "spec", "finalizers", default=[])
        stored["spec"] = {**(stored.get("spec") or {}), "finalizers": finalizers}
        return stored

    return object_response(call, await rewrite(call, finalized, prepare_as_is, pinned=bool(revision)))
