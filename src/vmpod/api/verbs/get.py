"""GET of one object."""

from __future__ import annotations

from vmpod.api.call import Call
from vmpod.api.representation import object_response
from vmpod.api.verbs.watch import watch_objects
from vmpod.client.inprocess import Response


async def get_object(call: Call) -> Response:
    """The object; with `watch` its changes."""
    if call.flag("watch"):
        return await watch_objects(call)
    return object_response(call, call.current())
