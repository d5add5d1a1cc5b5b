"""subresources.kubevirt.io: memorydump and removememorydump. They write a wish into the status; the node does the rest.

When which is allowed, and in which words it is refused, is KubeVirt's pkg/virt-api/rest/memorydump.go.
"""

from __future__ import annotations

from typing import Final

import orjson

from vmpod.api.call import Call
from vmpod.api.subresources.virtualmachines import machine_of, read_options, refused
from vmpod.api.verbs.update import prepare_status, rewrite
from vmpod.client.inprocess import Response
from vmpod.kinds import PERSISTENTVOLUMECLAIM, VIRTUALMACHINE
from vmpod.kinds.parts.memorydump import expected_bytes
from vmpod.model import meta, quantity, status
from vmpod.model.meta import Object

_OVER: Final = ("Completed", "Failed")
_CLAIM: Final = "persistentvolumeclaim"


async def request(call: Call) -> Response:
    """PUT …/memorydump: 202; the status tells how far it is."""
    call = call.about(VIRTUALMACHINE, call.namespace, call.name)
    if not call.request.body.strip():
        raise status.bad_request("Request with no body")
    wanted = str(read_options(call).get("claimName") or "")

    def asked(vm: Object) -> Object:
        held = meta.get(vm, "status", "memoryDumpRequest", default={})
        claim = _claim_name(call, held, wanted)
        _check(call, claim)
        if held.get("phase") == "Dissociating":
            raise refused(call, f"can't dump memory for pvc [{claim}] a remove memory dump request is in progress")
        if held and held.get("phase") not in _OVER:
            raise refused(call, f"memory dump request for pvc [{claim}] already in progress")
        return _with(vm, {"claimName": claim, "phase": "Associating"})

    await rewrite(call, asked, prepare_status)
    return Response(202)


async def remove(call: Call) -> Response:
    """PUT …/removememorydump: the claim and what is on it stay."""
    call = call.about(VIRTUALMACHINE, call.namespace, call.name)

    def asked(vm: Object) -> Object:
        held = meta.get(vm, "status", "memoryDumpRequest", default={})
        if not held:
            raise refused(call, f"can't remove memory dump association for vm {call.name}, no association found")
        if held.get("remove"):
            raise refused(call, f"memory dump remove request for pvc [{held['claimName']}] already exists")
        return _with(vm, {**held, "phase": "Dissociating", "remove": True})

    await rewrite(call, asked, prepare_status)
    return Response(202)


def _with(vm: Object, wish: Object) -> Object:
    return {**vm, "status": {**(vm.get("status") or {}), "memoryDumpRequest": wish}}


def _claim_name(call: Call, held: Object, wanted: str) -> str:
    if not wanted and not held:
        raise status.bad_request("Memory dump requires claim name to be set")
    known = str(held.get("claimName") or "")
    if wanted and known and wanted != known:
        raise refused(call, f"can't request memory dump for pvc [{wanted}] while pvc [{known}] is still associated as "
                            "the memory dump pvc")  # fmt: skip
    return wanted or known


def _check(call: Call, claim: str) -> None:
    """Raises ApiError: 404 without an instance or claim, 409 for one that will not do."""
    vmi = machine_of(call)
    if vmi is None:
        raise status.not_found("virtualmachineinstance.kubevirt.io", call.name)
    if meta.get(vmi, "status", "phase") != "Running":
        raise status.conflict("virtualmachineinstance.kubevirt.io", call.name, "VMI is not running")
    record = call.store.get(PERSISTENTVOLUMECLAIM.resource, call.namespace, claim)
    if record is None:
        raise status.not_found(_CLAIM, claim)
    spec = orjson.loads(record.value)["spec"]
    if spec.get("volumeMode") == "Block":
        raise status.conflict(_CLAIM, claim, "pvc should be filesystem pvc")
    if spec.get("accessModes") == ["ReadOnlyMany"]:
        raise status.conflict(_CLAIM, claim, "pvc access mode can't be read only")
    room, expected = str(spec["resources"]["requests"]["storage"]), expected_bytes(vmi)
    if quantity.to_bytes(room) < expected:
        told = f"pvc size [{room}] should be bigger then [{quantity.format_bytes(expected)}]"
        raise status.conflict(_CLAIM, claim, told)
