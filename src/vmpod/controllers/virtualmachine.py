"""VirtualMachine → DataVolumes and one VirtualMachineInstance; the instance's state folded back into the status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers import clusterconfig, liveupdate, runstrategy
from vmpod.controllers.children import (
    INSTANCE_FINALIZER,
    MACHINE_FINALIZER,
    delete,
    finalizers,
    is_controlled_by,
    with_finalizer,
    without_finalizers,
)
from vmpod.controllers.instances import hotplug_patch, instance_of
from vmpod.controllers.instancetypes import NO_TYPES, RETRY_S, Types, expanded, references, revisions
from vmpod.controllers.launcher import claim_name
from vmpod.controllers.printablestatus import View, is_volume_ready, printable_status
from vmpod.controllers.revisions import (
    generations,
    keep_start,
    revision_named_by,
    started_template,
    take_over,
)
from vmpod.controllers.templatevolumes import plan_volumes
from vmpod.kinds import CONTROLLERREVISION, DATAVOLUME, PERSISTENTVOLUMECLAIM, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, namespace, uid
from vmpod.reconcile.actions import Action, Create, Note, Patch, Plan, Replace
from vmpod.reconcile.loop import Key, own, owned_by

FINALIZER = MACHINE_FINALIZER
_NOT_COPIED = frozenset({"Ready", "Failure", "RestartRequired"})

KIND = VIRTUALMACHINE
WATCHES = (
    own(VIRTUALMACHINE), own(VIRTUALMACHINEINSTANCE), owned_by(VIRTUALMACHINEINSTANCE, VIRTUALMACHINE),
    owned_by(DATAVOLUME, VIRTUALMACHINE),
)


@dataclass(frozen=True)
class Seen:
    """A machine (its template as its instance type and preference make it), its instance, what its volumes are made of.

    `foreign`: an instance of its name that is not its own. `started` is the revision that the instance was made from,
    `starts` are the revisions that are the machine's own.
    """

    vm: Object
    vmi: Object | None
    foreign: Object | None
    volumes: Mapping[str, Object | None]
    claims: Mapping[str, Object | None]
    now: datetime
    types: Types = NO_TYPES
    started: Object | None = None
    starts: tuple[Object, ...] = ()
    config: Object = field(default_factory=dict)


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
        cache.get(CONTROLLERREVISION, key[0], revision_named_by(found)) if found is not None else None,
        tuple(cache.owned(CONTROLLERREVISION, uid(vm))), clusterconfig.configuration(cache),
    )


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.vm):
        return _plan_deletion(seen)
    if kept := revisions(seen.vm, seen.types):
        return Plan(kept)  # before anything is made of them; the status names them, and the machine goes on
    step, volumes = _plan_instance(seen), plan_volumes(seen.vm, seen.volumes)
    waits = FINALIZER in finalizers(seen.vm) or any(isinstance(one, Patch) for one in step.actions)
    mark = () if waits else (with_finalizer(VIRTUALMACHINE, seen.vm, FINALIZER),)  # last: the guest need not wait
    return Plan((*volumes.actions, *step.actions, *mark), step.again_in, (*volumes.events, *step.events))


def _plan_deletion(seen: Seen) -> Plan:
    if FINALIZER not in finalizers(seen.vm):
        return Plan()
    if seen.vmi is None or "orphan" in finalizers(seen.vm):
        return Plan((without_finalizers(VIRTUALMACHINE, seen.vm, FINALIZER),))
    return Plan(_released(seen, seen.vmi)) if is_deleting(seen.vmi) else _stop(seen, seen.vmi)


def _released(seen: Seen, vmi: Object) -> tuple[Action, ...]:
    """Let go of an instance that has ended, once what is remembered of its end stands in the status."""
    has_ended = runstrategy.is_final(vmi) or (is_deleting(vmi) and INSTANCE_FINALIZER not in finalizers(vmi))
    is_told = runstrategy.start_failure(seen.vm, vmi, seen.now) == get(seen.vm, "status", "startFailure")
    if not (has_ended and is_told and MACHINE_FINALIZER in finalizers(vmi)):
        return ()
    return (without_finalizers(VIRTUALMACHINEINSTANCE, vmi, MACHINE_FINALIZER),)


def _plan_instance(seen: Seen) -> Plan:
    if seen.foreign is not None and controller_of(seen.foreign) is None and not is_deleting(seen.foreign):
        return take_over(seen.vm, seen.foreign, seen.started)
    if seen.vmi is not None and (done := _released(seen, seen.vmi)):
        return Plan(done)
    decision = runstrategy.decide(seen.vm, seen.vmi)
    if decision.stop and seen.vmi is not None:
        return _stop(seen, seen.vmi)
    if decision.start:
        return _start(seen)
    return _follow(seen, seen.vmi) if seen.vmi is not None else Plan()


def _follow(seen: Seen, vmi: Object) -> Plan:
    """Bring a running instance up to what can change live, and count how long it has run after a failure."""
    if (plug := hotplug_patch(seen.vm, vmi)) is not None:
        return Plan((plug,))
    again_in = None
    if get(seen.vm, "status", "startFailure") and get(vmi, "status", "phase") == "Running":
        again_in = max(runstrategy.STEADY_S - runstrategy.running_for_s(vmi, seen.now), 0.1)
    fresh = liveupdate.updated(seen.vm, vmi, started_template(seen.started), seen.config)
    if fresh is not None:
        return Plan((Replace(VIRTUALMACHINEINSTANCE, fresh),), again_in)
    tidied = liveupdate.tidied(seen.vm, vmi)
    return Plan((Replace(VIRTUALMACHINE, tidied),) if tidied is not None else (), again_in)


def _restart_reason(seen: Seen) -> str:
    if seen.vmi is None:
        return ""
    return liveupdate.restart_reason(seen.vm, seen.vmi, started_template(seen.started), seen.config)


def _stop(seen: Seen, vmi: Object) -> Plan:
    text = f"Stopped the virtual machine by deleting the virtual machine instance {uid(vmi)}"
    note = Note("Normal", "SuccessfulDelete", text, seen.vm)
    return Plan((delete(VIRTUALMACHINEINSTANCE, vmi),), None, (note,))


def _start(seen: Seen) -> Plan:
    if (refusal := _refusal(seen)) is not None:
        again_in = RETRY_S if refusal == seen.types.refusal else None
        return Plan((), again_in, (Note("Warning", *refusal, seen.vm),) if _is_news(seen, refusal) else ())
    if any(get(seen.vm, "status", one) for one in ("snapshotInProgress", "restoreInProgress")):
        return Plan()  # its disks are being exchanged; the end of that changes this object
    if (left := runstrategy.left_s(seen.vm, seen.now)) > 0:
        return Plan(again_in=left)
    if not all(found is not None and is_volume_ready(found) for found in seen.volumes.values()):
        return Plan()
    if runstrategy.strategy(seen.vm) == "Halted":
        return Plan((_run_always(seen.vm),))
    text = f"Started the virtual machine by creating the new virtual machine instance {name(seen.vm)}"
    note = Note("Normal", "SuccessfulCreate", text, seen.vm)
    kept = keep_start(seen.vm, seen.starts)
    return Plan((*kept, Create(VIRTUALMACHINEINSTANCE, instance_of(seen.vm))), None, (note,))


def _run_always(vm: Object) -> Patch:
    """A start request on a halted machine turns its strategy, as virt-controller does."""
    spec = {"runStrategy": "Always"} if get(vm, "spec", "runStrategy") else {"running": True}
    return Patch(VIRTUALMACHINE, namespace(vm), name(vm), {"spec": spec})


def _refusal(seen: Seen) -> tuple[str, str] | None:
    """Reason and message of what keeps this machine from ever starting as it is."""
    if seen.foreign is not None and controller_of(seen.foreign) is not None:
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
    fresh |= generations(vm, vmi)
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
    if text := _restart_reason(seen):
        waiting = [one for one in old if one["type"] == "RestartRequired"]
        result += conditions.set_condition(waiting, "RestartRequired", True, "RestartRequired", text, seen.now)
    return result + copied
