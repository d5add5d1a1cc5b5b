"""subresources.kubevirt.io: a VirtualMachine with what its instance type and preference say written into it."""

from __future__ import annotations

import orjson

from vmpod.api import body, instancetypes
from vmpod.api.call import Call
from vmpod.api.representation import body_response
from vmpod.client.inprocess import Response
from vmpod.kinds import VIRTUALMACHINE
from vmpod.kinds.parts.matchers import default_matchers
from vmpod.model import meta, status
from vmpod.model.meta import Object


async def expand_stored(call: Call) -> Response:
    """GET virtualmachines/NAME/expand-spec."""
    call = call.about(VIRTUALMACHINE, call.namespace, call.name)
    return body_response(call, instancetypes.expand(call, orjson.loads(call.current().value)))


async def expand_sent(call: Call) -> Response:
    """PUT namespaces/NAMESPACE/expand-vm-spec: of a machine that need not exist."""
    if not call.request.body.strip():
        raise status.bad_request("Request contains no body")
    vm = body.from_json(call.request.body)
    if not isinstance(vm, dict) or vm.get("kind") != "VirtualMachine" or not isinstance(vm.get("spec"), dict):
        raise status.bad_request("Object is not a valid VirtualMachine")
    call = call.about(VIRTUALMACHINE, call.namespace, meta.name(vm))
    return body_response(call, instancetypes.expand(call, _placed(vm, call.namespace)))


def _placed(vm: Object, namespace: str) -> Object:
    """In the namespace of the path, its matchers complete."""
    metadata = vm.setdefault("metadata", {})
    if metadata.get("namespace", namespace) != namespace:
        raise status.bad_request(f"VM namespace must be {namespace}")
    metadata["namespace"] = namespace
    default_matchers(vm["spec"])
    return vm
