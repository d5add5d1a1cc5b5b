"""VirtualMachine → DataVolumes and one VirtualMachineInstance; the instance's state folded back into the status."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers import runstrategy
from vmpod.controllers.children import (
    adopt,
    child_metadata,
    delete,
    finalizers,
    is_controlled_by,
    with_finalizer,
    without_finalizers,
)
from vmpod.controllers.instances import GENERATION, hotplug_patch, instance_of, needs_restart
from vmpod.controllers.instancetypes import NO_TYPES, RETRY_S, Types, expanded, references, revisions
from vmpod.controllers.launcher import claim_name
from vmpod.controllers.printablestatus import DATAVOLUME_ERROR, View, is_volume_ready, printable_status
from vmpod.kinds import DATAVOLUME, PERSISTENTVOLUMECLAIM, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Note, Patch, Plan
from vmpod.reconcile.loop import Key, own, owned_by

FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
_NOT_COPIED = frozenset({"Ready", "Failure", "RestartRequired"})

KIND = VIRTUALMACHINE
WATCHES = (
    own(VIRTUALMACHINE), own(VIRTUALMACHINEINSTANCE), owned_by(VIRTUALMACHINEINSTANCE, VIRTUALMACHINE),
    owned_by(DATAVOLUME, VIRTUALMACHINE),
)


@dataclass(frozen=True)
class Seen:
    """A machine (its template as its instance type and preference make it), its instance, what its volumes are made of.

    `foreign`: an instance of its name that is not its own.
    """

    vm: Object
    vmi: Object | None
    foreign: Object | None
    volumes: Mapping[str, Object | None]
    claims: Mapping[str, Object | None]
    now: datetime
    types: Types = NO_TYPES


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    vm = cache.get(VIRTUALMACHINE, *key)
    if vm is None:
        return None
    vm, types = expanded(vm, cache)
    found = cache.get(VIRTUALMACHINEINSTANCE, *key)
    mine = found if found is not None and is_controlled_by(found, vm) else None
    templates = [name(one) for one in get(vm, "spec", "dataVolumeTemplates", default=())]
    claims = [claim for one in get(vm, "spec", "template", "spec", "volumes", default=()) if (claim := claim_name(one))]
    return Seen(
        vm, mine, found if mine is None else None,
        {one: cache.get(DATAVOLUME, key[0], one) for one in templates},
        {one: cache.get(PERSISTENTVOLUMECLAIM, key[0], one) for one in claims}, now, types,
    )


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.vm):
        return _plan_deletion(seen)
    if kept := revisions(seen.vm, seen.types):
        return Plan(kept)  # before anything is made of them; the status names them, and the machine goes on
    step, volumes = _plan_instance(seen), _plan_volumes(seen)
    waits = FINALIZER in finalizers(seen.vm) or any(isinstance(one, Patch) for one in step.actions)
    mark = () if waits else (with_finalizer(VIRTUALMACHINE, seen.vm, FINALIZER),)  # last: the guest need not wait
    return Plan((*volumes.actions, *step.actions, *mark), step.again_in, (*volumes.events, *step.events))


def _plan_deletion(seen: Seen) -> Plan:
    if FINALIZER not in finalizers(seen.vm):
        return Plan()
    if seen.vmi is None or "orphan" in finalizers(seen.vm):
        return Plan((without_finalizers(VIRTUALMACHINE, seen.vm, FINALIZER),))
    return Plan() if is_deleting(seen.vmi) else _stop(seen, seen.vmi)


def _plan_volumes(seen: Seen) -> Plan:
    actions: list[Action] = []
    events: list[Note] = []
    for template in get(seen.vm, "spec", "dataVolumeTemplates", default=()):
        found = seen.volumes.get(name(template))
        if found is None:
            actions.append(Create(DATAVOLUME, _volume(seen.vm, template)))
            text = f"Created DataVolume {name(template)}"
            events.append(Note("Normal", "SuccessfulDataVolumeCreate", text, seen.vm))
        elif controller_of(found) is None and not is_deleting(found):
            actions.append(adopt(DATAVOLUME, found, seen.vm))
        elif get(found, "status", "phase") == "Failed":
            events += _import_failed(seen.vm, found)
    return Plan(tuple(actions), None, tuple(events))


def _import_failed(vm: Object, volume: Object) -> tuple[Note, ...]:
    """Told once: the status says it from then on."""
    if get(vm, "status", "printableStatus") == DATAVOLUME_ERROR:
        return ()
    why = (conditions.find(get(volume, "status", "conditions"), "Running") or {}).get("message") or "see the DataVolume"
    text = f"DataVolume {name(volume)} failed to import disk image: {why}"
    return (Note("Warning", "FailedDataVolumeImport", text, vm),)


def _volume(vm: Object, template: Object) -> Object:
    meta = child_metadata(vm, name(template), template)
    meta["labels"] = meta.get("labels", {}) | {"kubevirt.io/created-by": uid(vm)}
    return {"apiVersion": DATAVOLUME.api_version, "kind": "DataVolume", "metadata": meta,
            "spec": deepcopy(template.get("spec") or {})}


def _plan_instance(seen: Seen) -> Plan:
    decision = runstrategy.decide(seen.vm, seen.vmi)
    if decision.stop and seen.vmi is not None:
        return _stop(seen, seen.vmi)
    if decision.start:
        return _start(seen)
    if seen.vmi is not None and (plug := hotplug_patch(seen.vm, seen.vmi)) is not None:
        return Plan((plug,))
    if seen.vmi is not None and get(seen.vm, "status", "startFailure"):
        left = runstrategy.STEADY_S - runstrategy.running_for_s(seen.vmi, seen.now)
        return Plan(again_in=max(left, 0.1) if get(seen.vmi, "status", "phase") == "Running" else None)
    return Plan()


def _stop(seen: Seen, vmi: Object) -> Plan:
    text = f"Stopped the virtual machine by deleting the virtual machine instance {uid(vmi)}"
    note = Note("Normal", "SuccessfulDelete", text, seen.vm)
    return Plan((delete(VIRTUALMACHINEINSTANCE, vmi),), None, (note,))


def _start(seen: Seen) -> Plan:
    if (refusal := _refusal(seen)) is not None:
        again_in = RETRY_S if refusal == seen.types.refusal else None
        return Plan((), again_in, (Note("Warning", *refusal, seen.vm),) if _is_news(seen, refusal) else ())
    if (left := runstrategy.left_s(seen.vm, seen.now)) > 0:
        return Plan(again_in=left)
    if not all(found is not None and is_volume_ready(found) for found in seen.volumes.values()):
        return Plan()
    if runstrategy.strategy(seen.vm) == "Halted":
        return Plan((_run_always(seen.vm),))
    text = f"Started the virtual machine by creating the new virtual machine instance {name(seen.vm)}"
    note = Note("Normal", "SuccessfulCreate", text, seen.vm)
    return Plan((Create(VIRTUALMACHINEINSTANCE, instance_of(seen.vm)),), None, (note,))


def _run_always(vm: Object) -> Patch:
    """A start request on a halted machine turns its strategy, as virt-controller does."""
    spec = {"runStrategy": "Always"} if get(vm, "spec", "runStrategy") else {"running": True}
    return Patch(VIRTUALMACHINE, namespace(vm), name(vm), {"spec": spec})


def _refusal(seen: Seen) -> tuple[str, str] | None:
    """Reason and message of what keeps this machine from ever starting as it is."""
    if seen.foreign is not None:
        text = f"a virtual machine instance {name(seen.vm)} exists that does not belong to this virtual machine"
        return ("FailedCreate", text) if not is_deleting(seen.foreign) else None
    if seen.types.refusal is not None:
        return seen.types.refusal
    return None


def _is_news(seen: Seen, refusal: tuple[str, str]) -> bool:
    known = conditions.find(get(seen.vm, "status", "conditions"), "Failure") or {}
    return known.get("message") != refusal[1]


def status(seen: Seen, plan: Plan) -> Object | None:
    vm, vmi = seen.vm, seen.vmi
    decision = runstrategy.decide(vm, vmi)
    failure = runstrategy.start_failure(vm, vmi, seen.now)
    requests = [] if is_deleting(vm) else runstrategy.pending_requests(vm, vmi, rerun=decision.rerun)
    fresh: Object = {**(vm.get("status") or {}), "created": vmi is not None, "ready": _is_ready(vmi)}
    fresh |= _generations(vm, vmi)
    fresh["conditions"] = _conditions(seen)
    optional = {"stateChangeRequests": requests, "startFailure": failure, "runStrategy": _settled(seen, plan, decision)}
    optional |= references(vm, seen.types)
    for key, value in optional.items():
        fresh.pop(key, None)
        if value:
            fresh[key] = value
    fresh["printableStatus"] = _printable(seen, fresh)
    return fresh


def _is_ready(vmi: Object | None) -> bool:
    return conditions.is_true(get(vmi, "status", "conditions"), "Ready")


def _printable(seen: Seen, fresh: Object) -> str:
    volumes = tuple(found for found in seen.volumes.values() if found is not None)
    left = runstrategy.left_s({"status": fresh}, seen.now)
    return printable_status(View(seen.vm | {"status": fresh}, seen.vmi, volumes, seen.claims, left))


def _settled(seen: Seen, plan: Plan, decision: runstrategy.Decision) -> str:
    """status.runStrategy: the strategy that was acted on, so that Once and RerunOnFailure start exactly once."""
    starts = any(isinstance(one, Create) and one.kind is VIRTUALMACHINEINSTANCE for one in plan.actions)
    if decision.start and not starts:
        return str(get(seen.vm, "status", "runStrategy", default=""))
    return runstrategy.strategy(seen.vm)


def _generations(vm: Object, vmi: Object | None) -> Object:
    """Which wish the instance was made from, and the present one."""
    wanted = int(get(vm, "metadata", "generation", default=1))
    stale = vmi is not None and needs_restart(vm, vmi)
    seen = annotations_of(vmi).get(GENERATION, "") if vmi is not None and stale else ""
    return {"observedGeneration": int(seen) if seen.isdecimal() else wanted, "desiredGeneration": wanted}


def _conditions(seen: Seen) -> list[Object]:
    old = get(seen.vm, "status", "conditions", default=[])
    copied = [dict(one) for one in get(seen.vmi, "status", "conditions", default=()) if one["type"] not in _NOT_COPIED]
    result = [one for one in old if one["type"] in _NOT_COPIED - {"Failure", "RestartRequired"}]
    ready = conditions.find(get(seen.vmi, "status", "conditions"), "Ready")
    if ready is not None:
        result = [ready]
    else:
        absent, starting = ("VMINotExists", "VMI does not exist"), ("GuestNotRunning", "Guest is not running")
        why = absent if seen.vmi is None else starting
        result = conditions.set_condition(result, "Ready", False, *why, seen.now)
    if not is_deleting(seen.vm) and (refusal := _refusal(seen)) is not None:
        failed = [one for one in old if one["type"] == "Failure"]
        result += conditions.set_condition(failed, "Failure", True, *refusal, seen.now)
    if seen.vmi is not None and needs_restart(seen.vm, seen.vmi):
        waiting = [one for one in old if one["type"] == "RestartRequired"]
        text = "a non-live-updatable field was changed in the template spec"
        result += conditions.set_condition(waiting, "RestartRequired", True, "RestartRequired", text, seen.now)
    return result + copied
