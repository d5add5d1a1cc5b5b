"""subresources.kubevirt.io, VirtualMachine: start, stop, restart, portforward.

They change objects only. When which is allowed, and in which words it is refused, is KubeVirt's
pkg/virt-api/rest/lifecycle.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson

from vmpod.api import body
from vmpod.api.call import Call
from vmpod.api.deletion import DeleteOptions
from vmpod.api.verbs.delete import remove
from vmpod.api.verbs.update import Prepare, prepare_as_is, prepare_status, prepare_whole, rewrite
from vmpod.client.inprocess import Response
from vmpod.kinds import POD, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model import meta, status
from vmpod.model.meta import Object

NOT_RUNNING = "VM is not running"
_CREATED_BY = "kubevirt.io/created-by"
_FINAL = ("Succeeded", "Failed")
_ACCEPTED = Response(202)


def run_strategy(vm: Object) -> str:
    """`spec.runStrategy`, or what the deprecated `spec.running` amounts to."""
    running = meta.get(vm, "spec", "running")
    if running is not None:
        return "Always" if running else "Halted"
    return str(meta.get(vm, "spec", "runStrategy", default="Halted"))


def machine_of(call: Call) -> Object | None:
    """The VMI of the VirtualMachine that the call names."""
    record = call.store.get(VIRTUALMACHINEINSTANCE.resource, call.namespace, call.name)
    return orjson.loads(record.value) if record else None


def is_final(machine: Object | None) -> bool:
    """Whether there is no VMI or it has ended."""
    return machine is None or meta.get(machine, "status", "phase") in _FINAL


def refused(call: Call, why: str) -> status.ApiError:
    """409 in KubeVirt's words; it names the resource in the singular."""
    return status.conflict("virtualmachine.kubevirt.io", call.name, why)


def read_options(call: Call) -> Object:
    """The options in the body; virtctl may send none, and never a content type."""
    found = body.from_json(call.request.body) if call.request.body.strip() else {}
    if not isinstance(found, dict):
        raise status.bad_request("Can not unmarshal Request body to struct")
    return found


async def start(call: Call) -> Response:
    """PUT …/start."""
    call = _stored(call)
    options = read_options(call)
    if meta.get(machine_of(call), "status", "phase", default="") not in ("", "Unknown", *_FINAL):
        raise refused(call, "VM is already running")
    if run_strategy(orjson.loads(call.current().value)) == "Halted" and not options.get("paused"):
        return await _write(call, options, _running(True), prepare_whole)
    is_paused = bool(options.get("paused"))
    return await _write(call, options, lambda vm: _start_requested(call, vm, is_paused), prepare_status)


def _start_requested(call: Call, vm: Object, paused: bool) -> Object:
    strategy, machine = run_strategy(vm), machine_of(call)
    request: Object = {"action": "Start"} | ({"data": {"paused": "true"}} if paused else {})
    phase = meta.get(machine, "status", "phase", default="")
    match strategy:
        case "Halted" | "Manual" if not phase:
            return _requested(call, vm, request)
        case "Manual":
            return _requested(call, vm, _stop_request(machine), request)
        case "RerunOnFailure" if phase == "Failed":
            raise refused(call, f"{strategy} does not support starting VM from failed state")
        case "RerunOnFailure":
            return _requested(call, vm, *([_stop_request(machine)] if phase else []), request)
        case _:
            raise refused(call, f"{strategy} does not support manual start requests")


async def stop(call: Call) -> Response:
    """PUT …/stop."""
    call = _stored(call)
    options = read_options(call)
    grace, machine = _seconds(options, "gracePeriod"), machine_of(call)
    strategy = run_strategy(orjson.loads(call.current().value))
    _check_stop(call, strategy, machine, grace)
    if grace is not None and not is_final(machine):
        await _shorten(call, options, grace)
    if strategy in ("Halted", "Manual", "RerunOnFailure"):
        return await _write(call, options, lambda vm: _requested(call, vm, _stop_request(machine)), prepare_status)
    return await _write(call, options, _running(False), prepare_whole)


def _seconds(options: Object, key: str) -> int | None:
    """A number of seconds in the options. Raises ApiError for anything else."""
    found = options.get(key)
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        raise status.bad_request(f"Can not unmarshal Request body to struct, error: {key} is not a number")
    return found


def _check_stop(call: Call, strategy: str, machine: Object | None, grace: int | None) -> None:
    if strategy in ("Halted", "Manual", "RerunOnFailure") and is_final(machine):
        raise refused(call, NOT_RUNNING)
    held = meta.get(machine, "spec", "terminationGracePeriodSeconds")
    if strategy == "Halted" and (grace is None or (held is not None and grace >= held)):
        raise refused(call, f"{strategy} only supports manual stop requests with a shorter graceperiod")


async def _shorten(call: Call, options: Object, grace_s: int) -> None:
    """A forced stop: less time for the guest."""
    machine = call.about(VIRTUALMACHINEINSTANCE, call.namespace, call.name)

    def shortened(stored: Object) -> Object:
        stored["spec"]["terminationGracePeriodSeconds"] = grace_s
        return stored

    if not options.get("dryRun"):
        await rewrite(machine, shortened, prepare_as_is)


async def restart(call: Call) -> Response:
    """PUT …/restart."""
    call = _stored(call)
    options = read_options(call)
    grace, machine = _forced_grace(options), machine_of(call)
    strategy = run_strategy(orjson.loads(call.current().value))
    if strategy in ("Halted", "Once"):
        raise refused(call, f"RunStategy {strategy} does not support manual restart requests")  # spelled so upstream
    if machine is None:
        raise refused(call, f"{NOT_RUNNING}: Halted")
    requests = (_stop_request(machine), {"action": "Start"})
    answer = await _write(call, options, lambda vm: _requested(call, vm, *requests), prepare_status)
    if grace == 0 and not options.get("dryRun"):
        await _end_launchers(call, meta.uid(machine))
    return answer


def _forced_grace(options: Object) -> int | None:
    """0 for a restart that does not wait for the guest; nothing else is offered."""
    grace = _seconds(options, "gracePeriodSeconds")
    if grace is not None and grace > 0:
        raise status.bad_request("For force restart, only gracePeriod=0 is supported for now")
    if grace is not None and grace < 0:
        raise status.bad_request("gracePeriod has to be greater or equal to 0")
    return grace


async def _end_launchers(call: Call, machine_uid: str) -> None:
    """A forced restart does not wait for the guest."""
    for record in call.store.list(POD.resource, call.namespace)[0]:
        if record.labels.get(_CREATED_BY) == machine_uid:
            await remove(call.about(POD, record.namespace, record.name), DeleteOptions(grace_s=0, uid=record.uid))


def _stored(call: Call) -> Call:
    """The same call on the VirtualMachine itself."""
    return call.about(VIRTUALMACHINE, call.namespace, call.name)


def _stop_request(machine: Object | None) -> Object:
    return {"action": "Stop", "uid": meta.uid(machine or {})}


def _requested(call: Call, vm: Object, *requests: Object) -> Object:
    """The VM with requests to its controller; a lone Stop replaces what is still open, all else must wait."""
    state = vm.setdefault("status", {})
    if state.get("stateChangeRequests") and not (len(requests) == 1 and requests[0]["action"] == "Stop"):
        raise refused(call, "unable to complete request: stop/start already underway")
    state["stateChangeRequests"] = list(requests)
    state.pop("startFailure", None)  # nobody who asks waits for what failed before
    return vm


def _running(wanted: bool) -> Callable[[Object], Object]:
    def changed(vm: Object) -> Object:
        if meta.get(vm, "spec", "running") is not None:
            vm["spec"]["running"] = wanted
        else:
            vm["spec"]["runStrategy"] = "Always" if wanted else "Halted"
        return vm

    return changed


async def _write(call: Call, options: Object, change: Callable[[Object], Object], prepare: Prepare) -> Response:
    if options.get("dryRun"):
        query = {**call.request.query, "dryRun": "All"}
        call = replace(call, request=replace(call.request, query=query))
    await rewrite(call, change, prepare)
    return _ACCEPTED
