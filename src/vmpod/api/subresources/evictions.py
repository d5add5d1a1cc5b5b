"""Eviction of pods: a machine's launcher by its VMI's evictionStrategy, as KubeVirt's webhook answers; migrations.

The webhook's answers are those of pkg/virt-api/webhooks' pod eviction admitter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson

from vmpod.api import body, deletion
from vmpod.api.call import Call
from vmpod.api.representation import body_response
from vmpod.api.subresources.virtualmachines import machine_of, read_options, refused
from vmpod.api.verbs.create import insert
from vmpod.api.verbs.delete import remove
from vmpod.api.verbs.update import prepare_as_is, rewrite
from vmpod.client.inprocess import Request, Response
from vmpod.kinds import VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.model import conditions, meta, status
from vmpod.model.meta import Object

_DENIED: Final = 'admission webhook "virt-launcher-eviction-interceptor.kubevirt.io" denied the request: '
_FINAL: Final = ("Succeeded", "Failed")
_MIGRATE: Final = "kubevirt-migrate-vm-"
_RETRY_S: Final = 0  # as upstream: told to come back, a client asks again and again without a word


async def evict(call: Call) -> Response:
    """POST …/eviction: delete the pod, unless its machine forbids it; there are no disruption budgets to ask.

    Raises ApiError 429 for a machine that is to be moved instead: whoever evicts asks again later.
    """
    sent = body.read_object(call)
    options = deletion.read_options(sent.get("deleteOptions") or {}, call.request.query)
    pod: Object = orjson.loads(call.current().value)
    machine = _machine_in(call, pod)
    if machine is not None:
        await _ask_machine(_dry(call, sent), pod, machine)
    await remove(call, options)
    return body_response(call, status.success(), 201)


def _machine_in(call: Call, pod: Object) -> Object | None:
    """The VMI that lives in a launcher pod; None for other pods and for launchers that have ended."""
    owner = meta.controller_of(pod)
    is_launcher = meta.labels(pod).get("kubevirt.io") == "virt-launcher"
    if owner is None or not is_launcher or meta.get(pod, "status", "phase") in _FINAL:
        return None
    record = call.store.get(VIRTUALMACHINEINSTANCE.resource, call.namespace, str(owner.get("name", "")))
    machine: Object | None = orjson.loads(record.value) if record else None
    return machine if machine is not None and meta.uid(machine) == owner.get("uid") else None


def _dry(call: Call, sent: Object) -> Call:
    """The call as a dry run where the options in the body ask for one: then nothing is marked."""
    if "All" not in (meta.get(sent, "deleteOptions", "dryRun") or ()):
        return call
    request: Request = call.request
    return replace(call, request=replace(request, query={**request.query, "dryRun": "All"}))


async def _ask_machine(call: Call, pod: Object, machine: Object) -> None:
    """Raises ApiError 429 unless the strategy lets the machine be shut down."""
    strategy = meta.get(machine, "spec", "evictionStrategy", default="None")
    can_move = conditions.is_true(meta.get(machine, "status", "conditions", default=[]), "LiveMigratable")
    if strategy == "LiveMigrate" and not can_move:
        why = f"VMI {meta.name(machine)} is configured with an eviction strategy but is not live-migratable"
        raise status.too_many_requests(_DENIED + why, _RETRY_S)
    if strategy == "External" or (strategy in ("LiveMigrate", "LiveMigrateIfPossible") and can_move):
        await _mark(call, pod, machine)
        why = f'Eviction triggered evacuation of VMI "{call.namespace}/{meta.name(machine)}"'
        raise status.too_many_requests(_DENIED + why, _RETRY_S)


async def _mark(call: Call, pod: Object, machine: Object) -> None:
    """Note in the VMI's status which node it should leave."""
    node = meta.get(pod, "spec", "nodeName", default="")

    def marked(stored: Object) -> Object:
        held = stored.setdefault("status", {})
        if node and held.get("nodeName") == node:
            held.setdefault("evacuationNodeName", node)
        return stored

    await rewrite(call.about(VIRTUALMACHINEINSTANCE, call.namespace, meta.name(machine)), marked, prepare_as_is)


async def cancel(call: Call) -> Response:
    """PUT …/evacuate/cancel, of a VMI or of the VM with its name: the machine need not leave its node any more."""
    options = read_options(call)
    node = str(options.get("evacuationNodeName") or "")
    machine = call.about(VIRTUALMACHINEINSTANCE, call.namespace, call.name)

    def stays(stored: Object) -> Object:
        held = meta.get(stored, "status", "evacuationNodeName", default="")
        if node and held and held != node:
            why = f"VMI is being evacuated from node {status.quote(held)}, not {status.quote(node)}"
            raise status.conflict("virtualmachineinstance.kubevirt.io", call.name, why)
        stored.get("status", {}).pop("evacuationNodeName", None)
        return stored

    if not options.get("dryRun"):
        await rewrite(machine, stays, prepare_as_is)
    return Response(200)


async def migrate(call: Call) -> Response:
    """PUT …/migrate: 202 with a new VirtualMachineInstanceMigration, or refused in the words of KubeVirt's webhook."""
    options, machine = read_options(call), machine_of(call)
    if machine is None or meta.get(machine, "status", "phase") != "Running":
        raise refused(call, "VM is not running")
    wish: Object = {"vmiName": call.name}
    if options.get("addedNodeSelector"):
        wish["addedNodeSelector"] = options["addedNodeSelector"]
    kind = VIRTUALMACHINEINSTANCEMIGRATION
    migration = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"generateName": _MIGRATE},
                 "spec": wish}  # fmt: skip
    try:
        await insert(_dry(call, {"deleteOptions": options}).about(kind, call.namespace, ""), migration)
    except status.ApiError as error:
        raise refused(call, error.message) from None
    return Response(202)
