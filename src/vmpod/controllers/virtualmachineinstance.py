"""VirtualMachineInstance → launcher Pod, from Pending to Scheduled; afterwards the node writes its status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from vmpod.base.clock import parse, rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers import machinestate, pods
from vmpod.controllers.children import (
    INSTANCE_FINALIZER,
    MACHINE_FINALIZER,
    delete,
    finalizers,
    is_controlled_by,
    with_finalizer,
    without_finalizers,
)
from vmpod.controllers.clusterconfig import configuration
from vmpod.controllers.launcher import IMAGE, claim_name, grace_s, launcher_pod, placement, rewired
from vmpod.controllers.revisions import revision_named_by
from vmpod.controllers.runstrategy import is_final
from vmpod.controllers.volumesready import blocked, volumes_condition
from vmpod.kinds import DATAVOLUME, PERSISTENTVOLUMECLAIM, POD, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.kubevirt_config import CPU_RATIO, cpu_ratio
from vmpod.kinds.parts.migration import is_active
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, is_deleting, labels, name, namespace, uid
from vmpod.reconcile.actions import Action, Create, Note, Patch, Plan
from vmpod.reconcile.loop import Key, own, owned_by

FINALIZER = INSTANCE_FINALIZER
_UNPLACED = ("", "Pending")
_OURS = (*_UNPLACED, "Scheduling")
_WAIT_S = 2.0  # volumes have no link back to the instances that wait for them
_NODE_LATE_S = 10.0  # a launcher that ended this long ago without word from the node: we say it

KIND = VIRTUALMACHINEINSTANCE
WATCHES = (own(VIRTUALMACHINEINSTANCE), owned_by(POD, VIRTUALMACHINEINSTANCE))


@dataclass(frozen=True)
class Seen:
    """An instance, its launchers, and the claims and DataVolumes it names (None: missing).

    `has_machine`: the VirtualMachine that it belongs to is there.
    """

    vmi: Object
    pods: tuple[Object, ...]
    claims: Mapping[str, Object | None]
    volumes: Mapping[str, Object | None]
    now: datetime
    has_machine: bool = False
    state: Object | None = None
    """The claim that keeps what its firmware and its TPM store"""
    cpu_ratio: int = CPU_RATIO

    @property
    def launcher(self) -> Object | None:
        """The pod that the guest lives in; None when it is gone."""
        return next((pod for pod in self.pods if is_active(self.vmi, pod)), None)


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    vmi = cache.get(VIRTUALMACHINEINSTANCE, *key)
    if vmi is None:
        return None
    found = tuple(one for one in cache.owned(POD, uid(vmi)) if is_controlled_by(one, vmi))
    waits = get(vmi, "status", "phase", default="") in _OURS
    wanted = get(vmi, "spec", "volumes", default=()) if waits else ()
    claims = {claim: cache.get(PERSISTENTVOLUMECLAIM, key[0], claim) for one in wanted if (claim := claim_name(one))}
    sources = [source for one in wanted if (source := get(one, "dataVolume", "name"))]
    volumes = {one: cache.get(DATAVOLUME, key[0], one) for one in sources}
    state = machinestate.seen_claim(vmi, cache) if waits else None
    return Seen(vmi, found, claims, volumes, now, _has_machine(vmi, cache), state,
                cpu_ratio(configuration(cache)))


def _has_machine(vmi: Object, cache: Cache) -> bool:
    owner = controller_of(vmi) or {}
    machine = cache.get(VIRTUALMACHINE, namespace(vmi), str(owner.get("name", "")))
    return owner.get("kind") == "VirtualMachine" and machine is not None and uid(machine) == owner.get("uid")


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.vmi):
        return _plan_deletion(seen)
    if is_final(seen.vmi):
        return Plan(_released(seen))
    if FINALIZER not in finalizers(seen.vmi):
        return Plan((with_finalizer(VIRTUALMACHINEINSTANCE, seen.vmi, FINALIZER),))
    if not seen.pods:
        return _plan_launcher(seen)
    if _phase(seen) in _OURS:
        return Plan()
    pod = seen.launcher
    if pod is None:
        return Plan()
    return Plan((*_mark_node(seen.vmi, pod), *rewired(seen.vmi, seen.pods)), _late(seen, pod))


def _plan_deletion(seen: Seen) -> Plan:
    if not seen.pods:
        return Plan(_released(seen, FINALIZER))
    actions = tuple(delete(POD, pod, _grace(seen.vmi)) for pod in seen.pods if _is_to_be_stopped(seen.vmi, pod))
    text = "Deleted virtual machine pod {}"
    fresh = [pod for pod in seen.pods if not is_deleting(pod)]
    return Plan(actions, None, tuple(_note(seen, "SuccessfulDelete", text.format(name(pod))) for pod in fresh))


def _released(seen: Seen, *more: str) -> tuple[Action, ...]:
    """Finalizers that have done their work; that of a VirtualMachine which is not there goes with them."""
    done = {*more, *(() if seen.has_machine else (MACHINE_FINALIZER,))}
    held = done.intersection(finalizers(seen.vmi))
    return (without_finalizers(VIRTUALMACHINEINSTANCE, seen.vmi, *held),) if held else ()


def _grace(vmi: Object) -> int:
    """Seconds for the launcher: the present wish, 0 when the instance itself is deleted with force."""
    forced = get(vmi, "metadata", "deletionGracePeriodSeconds")
    return 0 if forced == 0 and get(vmi, "spec", "terminationGracePeriodSeconds") == 0 else grace_s(vmi)


def _is_to_be_stopped(vmi: Object, pod: Object) -> bool:
    given = get(pod, "metadata", "deletionGracePeriodSeconds")
    return not is_deleting(pod) or (given is not None and _grace(vmi) < int(given))


def _plan_launcher(seen: Seen) -> Plan:
    if _phase(seen) not in _UNPLACED:
        return Plan()
    waits = blocked(seen.vmi, seen.claims, seen.volumes)
    if waits is not None:
        return Plan((), _WAIT_S, _warning(seen, waits))
    if machinestate.is_missing(seen.vmi, seen.state):
        return Plan((Create(PERSISTENTVOLUMECLAIM, machinestate.new_claim(seen.vmi)),), 0.0)
    pod = launcher_pod(seen.vmi, IMAGE, name(seen.state) if seen.state else "", seen.cpu_ratio)
    note = _note(seen, "SuccessfulCreate", f"Created virtual machine pod {name(pod)}")
    return Plan((Create(POD, pod),), None, (note,))


def _warning(seen: Seen, waits: tuple[str, str]) -> tuple[Note, ...]:
    known = conditions.find(get(seen.vmi, "status", "conditions"), "Synchronized") or {}
    if waits[0] == "NotAllDVsReady" or known.get("message") == waits[1]:
        return ()
    return (Note("Warning", waits[0], waits[1], seen.vmi),)


def _note(seen: Seen, reason: str, message: str) -> Note:
    return Note("Normal", reason, message, seen.vmi)


def _mark_node(vmi: Object, pod: Object) -> Iterable[Action]:
    """The label by which node agents and users find the instances of a node."""
    node = get(pod, "spec", "nodeName", default="")
    if node and labels(vmi).get("kubevirt.io/nodeName") != node:
        patch = {"metadata": {"labels": {"kubevirt.io/nodeName": node}}}
        yield Patch(VIRTUALMACHINEINSTANCE, namespace(vmi), name(vmi), patch)


def _late(seen: Seen, pod: Object) -> float | None:
    left = _node_left_s(seen, pod)
    return max(left, 0.1) if left is not None else None


def _node_left_s(seen: Seen, pod: Object) -> float | None:
    """Seconds that the node still has to tell how the guest ended; None while the launcher runs."""
    if not pods.is_terminal(pod):
        return None
    ends = [one["state"]["terminated"].get("finishedAt") for one in get(pod, "status", "containerStatuses", default=())
            if get(one, "state", "terminated")]
    ended = max((parse(end) for end in ends if end), default=None)
    return _NODE_LATE_S - (seen.now - ended).total_seconds() if ended else 0.0


def _phase(seen: Seen) -> str:
    return str(get(seen.vmi, "status", "phase", default=""))


def status(seen: Seen, plan: Plan) -> Object | None:
    """The status while it is ours to write, and the end of an instance whose launcher vanished; else None."""
    if is_final(seen.vmi) or is_deleting(seen.vmi):
        return None
    phase = _next_phase(seen)
    if phase is None:
        return None
    pod = seen.launcher
    fresh: Object = {"guestOSInfo": {}, "runtimeUser": 107, **(seen.vmi.get("status") or {}), "phase": phase}
    fresh["conditions"] = _conditions(seen, pod, phase)
    if revision := revision_named_by(seen.vmi):
        fresh["virtualMachineRevisionName"] = revision
    if pod is not None:
        fresh |= placement(pod)
    if seen.state is not None:
        fresh["volumeStatus"] = machinestate.with_row(fresh.get("volumeStatus") or [], seen.state)
    times = list(fresh.get("phaseTransitionTimestamps") or ())
    if not times or times[-1].get("phase") != phase:
        times.append({"phase": phase, "phaseTransitionTimestamp": rfc3339(seen.now)})
    return fresh | {"phaseTransitionTimestamps": times}


def _next_phase(seen: Seen) -> str | None:
    """The phase that follows from what is seen; None when the node has the word."""
    pod = seen.launcher
    if _phase(seen) not in _OURS:
        if pod is None:
            return "Failed"
        left = _node_left_s(seen, pod)
        return pods.phase(pod) if left is not None and left <= 0 else None
    if pod is None:
        return "Pending" if _phase(seen) in _UNPLACED else "Failed"
    if pods.is_terminal(pod):
        return pods.phase(pod)
    is_placed = pods.phase(pod) == "Running" and get(pod, "spec", "nodeName")
    return "Scheduled" if is_placed and not is_deleting(pod) else "Scheduling"


def _conditions(seen: Seen, pod: Object | None, phase: str) -> list[Object]:
    old = get(seen.vmi, "status", "conditions", default=[])
    ready = ("GuestNotRunning", "Guest VM is not reported as running") if pod is not None else (
        "PodNotExists", "virt-launcher pod has not yet been scheduled")
    result = conditions.set_condition(old, "Ready", False, *ready, seen.now)
    result = volumes_condition(result, seen.volumes, seen.now)
    result = _scheduled(result, pod)
    wrong = _wrong(seen, pod, phase)
    if wrong is not None:
        return conditions.set_condition(result, "Synchronized", False, *wrong, seen.now)
    return conditions.without(result, "Synchronized")


def _scheduled(old: list[Object], pod: Object | None) -> list[Object]:
    """PodScheduled=False of the launcher, copied as virt-controller does; gone once it is scheduled."""
    found = conditions.find(get(pod, "status", "conditions"), "PodScheduled")
    rest = conditions.without(old, "PodScheduled")
    return [*rest, found] if found is not None and found.get("status") == "False" else rest


def _wrong(seen: Seen, pod: Object | None, phase: str) -> tuple[str, str] | None:
    if pod is None:
        vanished = ("PodNotExists", "the virt-launcher pod is gone") if phase == "Failed" else None
        return vanished or blocked(seen.vmi, seen.claims, seen.volumes)
    if phase == "Failed":
        why = get(pod, "status", "message", default="the virt-launcher pod failed")
        return str(get(pod, "status", "reason", default="PodFailed")), str(why)
    return pods.trouble(pod)

