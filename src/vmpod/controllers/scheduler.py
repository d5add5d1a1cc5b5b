"""Pods without a node → the node they fit on.

A required label whose key no node carries cannot be meant for these nodes (`nested: "true"` picks a node pool of
some cloud): it is relaxed, loudly, unless scheduling is strict. A known key with another value is obeyed.
Nodes that are the same machine share its room. Rules that spread pods are obeyed where there are several nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers import podfit, pods
from vmpod.controllers.config import ControllerConfig
from vmpod.controllers.nodefit import Room, allocatable, matches_labels, refusals, requests, required_keys
from vmpod.controllers.served import is_served
from vmpod.kinds import NAMESPACE, NODE, POD
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace
from vmpod.reconcile.actions import Action, Note, Patch, Plan
from vmpod.reconcile.loop import Key, Watch, own

SCHEDULER = "default-scheduler"
RELAXED = "vmpod.io/Relaxed"
_LOOK_AGAIN_S = 5.0
_ONE_NODE_FIELDS = ("podAffinity", "podAntiAffinity")


def _waiting(node: Object, cache: Cache) -> list[Key]:
    """Pods that a change of a node may help."""
    return [(namespace(pod), name(pod)) for pod in cache.list(POD) if _is_unplaced(pod)]


KIND = POD
WATCHES = (own(POD), Watch(NODE, found=_waiting))


@dataclass(frozen=True)
class Seen:
    """A pod to place, the nodes, and what is used on each; `placed` only where there are several."""

    pod: Object
    nodes: tuple[Object, ...]
    used: Mapping[str, Room]
    placed: podfit.Placed
    is_strict: bool
    now: datetime


def gather(key: Key, cache: Cache, now: datetime, config: ControllerConfig) -> Seen | None:
    pod = cache.get(POD, *key)
    if pod is None or not _is_unplaced(pod):
        return None
    used: dict[str, Room] = {}
    for one in cache.list(POD):
        node = get(one, "spec", "nodeName", default="")
        if node and not pods.is_terminal(one) and not is_served(one):
            used[node] = used.get(node, Room()) + requests(one)
    nodes = tuple(cache.list(NODE))
    placed = _placed(nodes, cache) if len(nodes) > 1 else podfit.Placed()
    return Seen(pod, nodes, used, placed, config.strict_scheduling, now)


def _placed(nodes: tuple[Object, ...], cache: Cache) -> podfit.Placed:
    by_name = {name(node): node for node in nodes}
    bound = [(one, get(one, "spec", "nodeName")) for one in cache.list(POD) if pods.is_active(one)]
    found = [(one, by_name[where]) for one, where in bound if where in by_name and not is_served(one)]
    return podfit.Placed(found, {name(one): labels(one) for one in cache.list(NAMESPACE)})


def _is_unplaced(pod: Object) -> bool:
    gates = get(pod, "spec", "schedulingGates")
    mine = get(pod, "spec", "schedulerName", default=SCHEDULER) == SCHEDULER
    placed = bool(get(pod, "spec", "nodeName"))
    return mine and not gates and not placed and not is_deleting(pod) and not pods.is_terminal(pod)


def relaxed_keys(seen: Seen) -> list[str]:
    """Required label keys that no node carries."""
    if seen.is_strict or not seen.nodes:
        return []
    carried = {key for node in seen.nodes for key in labels(node)}
    return sorted(required_keys(seen.pod) - carried)


def plan(seen: Seen) -> Plan:
    relaxed = relaxed_keys(seen)
    against = {name(node): _against(seen, node, relaxed) for node in seen.nodes}
    fitting = [node for node in seen.nodes if not against[name(node)]]
    return _bind(seen, min(fitting, key=lambda node: _load(seen, node)), relaxed) if fitting else _refuse(seen, against)


def _against(seen: Seen, node: Object, relaxed: list[str]) -> list[str]:
    """Why the pod cannot run on a node, by kube-scheduler's order of filters."""
    found = refusals(seen.pod, node, _taken(seen, node), relaxed)
    if found or not _spreads(seen):
        return found
    eligible = [one for one in seen.nodes if matches_labels(seen.pod, one, relaxed)]
    return podfit.refusals(seen.pod, node, seen.placed, eligible)


def _spreads(seen: Seen) -> bool:
    return len(seen.nodes) > 1


def _taken(seen: Seen, node: Object) -> Room:
    """What is used of the machine that a node is: several nodes may be one machine, each counts its own pods."""
    machine, own = _machine(node), _used(seen, node)
    same = [one for one in seen.nodes if machine and _machine(one) == machine] or [node]
    total = sum((_used(seen, one) for one in same), Room())
    return Room(total.cpu_milli, total.memory_bytes, own.pods)


def _machine(node: Object) -> str:
    return str(get(node, "status", "nodeInfo", "machineID", default=""))


def _used(seen: Seen, node: Object) -> Room:
    return seen.used.get(name(node), Room())


def _load(seen: Seen, node: Object) -> tuple[float, int, str]:
    """Sorts the emptiest node first."""
    used, offered = _used(seen, node), allocatable(node) or Room()
    shares = (used.cpu_milli / max(1, offered.cpu_milli), used.memory_bytes / max(1, offered.memory_bytes))
    return sum(shares), used.pods, name(node)


def _bind(seen: Seen, node: Object, relaxed: list[str]) -> Plan:
    pod, where = seen.pod, name(node)
    found = conditions.set_condition(_conditions(pod), "PodScheduled", True, "", "", seen.now)
    events: list[Note] = []
    if relaxed:
        keys = ", ".join(relaxed)
        text = f"no node carries the label {keys}: not required here (vmpod engine start --strict-scheduling obeys it)"
        found = conditions.set_condition(found, RELAXED, True, "NodeSelectorRelaxed", text, seen.now)
        events.append(Note("Warning", "NodeSelectorRelaxed", text, pod))
    if not _spreads(seen) and (left := _left_out(pod)):
        text = f"{', '.join(left)} has no effect on a single node (vmpod engine start --nodes 3 gives several)"
        events.append(Note("Warning", "AffinityRelaxed", text, pod))
    events.append(Note("Normal", "Scheduled", f"Successfully assigned {namespace(pod)}/{name(pod)} to {where}", pod))
    actions: tuple[Action, ...] = (
        *_write_conditions(pod, found), Patch(POD, namespace(pod), name(pod), {"spec": {"nodeName": where}}),
    )
    return Plan(actions, None, tuple(events))


def _left_out(pod: Object) -> list[str]:
    """Fields with required rules that spread pods over nodes, which one node cannot."""
    rules = "requiredDuringSchedulingIgnoredDuringExecution"
    named = [f"spec.affinity.{key}" for key in _ONE_NODE_FIELDS if get(pod, "spec", "affinity", key, rules)]
    spread = get(pod, "spec", "topologySpreadConstraints", default=())
    strict = any(one.get("whenUnsatisfiable") == "DoNotSchedule" for one in spread)
    return [*named, "spec.topologySpreadConstraints"] if strict else named


def _refuse(seen: Seen, against: Mapping[str, list[str]]) -> Plan:
    text = unschedulable_text(against)
    old = _conditions(seen.pod)
    found = conditions.set_condition(old, "PodScheduled", False, "Unschedulable", text, seen.now)
    note = Note("Warning", "FailedScheduling", text, seen.pod)
    known = (conditions.find(old, "PodScheduled") or {}).get("message") == text
    return Plan(_write_conditions(seen.pod, found), _LOOK_AGAIN_S, () if known else (note,))


def unschedulable_text(against: Mapping[str, list[str]]) -> str:
    """kube-scheduler's sentence on why no node will do (framework.FitError)."""
    if not against:
        return "no nodes available to schedule pods"
    counts = Counter(reason for reasons in against.values() for reason in reasons)
    told = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{len(against)} nodes are available: {told}."


def _conditions(pod: Object) -> list[Object]:
    return list(get(pod, "status", "conditions", default=[]))


def _write_conditions(pod: Object, found: list[Object]) -> tuple[Action, ...]:
    """Written apart from the rest of the status, which is the node's."""
    if found == _conditions(pod):
        return ()
    return (Patch(POD, namespace(pod), name(pod), {"status": {"conditions": found}}, "status"),)


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: conditions are patched before the pod is bound, because then the node writes the status."""
    return None
