"""Whether a pod can run on a node: labels, affinity, taints, room. Pure; the words are kube-scheduler's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vmpod.model import quantity
from vmpod.model.meta import Object, get, labels, name

_UNFIT_TAINTS = ("NoSchedule", "NoExecute")
_AFFINITY = "node(s) didn't match Pod's node affinity/selector"


@dataclass(frozen=True)
class Room:
    """CPU in thousandths and memory in bytes."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    pods: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.cpu_milli + other.cpu_milli, self.memory_bytes + other.memory_bytes, self.pods + other.pods)


def requests(pod: Object) -> Room:
    """What a pod asks for: the containers together, or the largest init container when that is more."""
    spec = pod.get("spec") or {}
    init = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") != "Always"]
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    lasting = sum((_asked(one) for one in [*(spec.get("containers") or ()), *sidecars]), Room())
    starting = [_asked(one) for one in init]
    return Room(
        max([lasting.cpu_milli, *(one.cpu_milli for one in starting)]),
        max([lasting.memory_bytes, *(one.memory_bytes for one in starting)]), 1,
    )


def _asked(container: Object) -> Room:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return Room(quantity.to_milli(asked.get("cpu", 0)), quantity.to_bytes(asked.get("memory", 0)))


def allocatable(node: Object) -> Room | None:
    """What a node offers; None while its agent has not told."""
    found = get(node, "status", "allocatable")
    if not found:
        return None
    cpu_milli, memory_bytes = quantity.to_milli(found.get("cpu", 0)), quantity.to_bytes(found.get("memory", 0))
    return Room(cpu_milli, memory_bytes, int(found.get("pods") or 110))


def required_keys(pod: Object) -> set[str]:
    """Label keys that a node must carry for this pod."""
    keys = set(get(pod, "spec", "nodeSelector", default={}))
    for term in _terms(pod):
        for rule in term.get("matchExpressions") or ():
            if rule.get("operator") not in ("NotIn", "DoesNotExist"):
                keys.add(rule["key"])
    return keys


def _terms(pod: Object) -> list[Object]:
    path = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    return list(get(pod, "spec", *path, default=[]))


def refusals(pod: Object, node: Object, used: Room, relaxed: Collection[str]) -> list[str]:
    """Why the pod cannot run there, in kube-scheduler's words; empty when it can. Like it, the first filter decides."""
    if get(node, "spec", "unschedulable") and not _is_tolerated(pod, _UNSCHEDULABLE):
        return ["node(s) were unschedulable"]
    for taint in get(node, "spec", "taints", default=()):
        if taint.get("effect") in _UNFIT_TAINTS and not _is_tolerated(pod, taint):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"]
    if not matches_labels(pod, node, relaxed):
        return [_AFFINITY]
    return list(_lacking(requests(pod), used, allocatable(node)))


_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def _is_tolerated(pod: Object, taint: Mapping[str, Any]) -> bool:
    return any(_tolerates(one, taint) for one in get(pod, "spec", "tolerations", default=()))


def _tolerates(toleration: Object, taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def matches_labels(pod: Object, node: Object, relaxed: Collection[str]) -> bool:
    """Whether a node has the labels that the pod's selector and required node affinity ask for."""
    marks = labels(node)
    wanted = get(pod, "spec", "nodeSelector", default={})
    if any(marks.get(key) != value for key, value in wanted.items() if key not in relaxed):
        return False
    terms = _terms(pod)
    return not terms or any(_matches_term(term, node, relaxed) for term in terms)


def _matches_term(term: Object, node: Object, relaxed: Collection[str]) -> bool:
    rules, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not rules and not fields:
        return False
    known = (rule for rule in rules if rule["key"] not in relaxed)
    on_fields = {"metadata.name": name(node)}
    return all(_holds(rule, labels(node)) for rule in known) and all(_holds(rule, on_fields) for rule in fields)


def _holds(rule: Object, marks: Mapping[str, str]) -> bool:
    key, values = rule["key"], rule.get("values") or []
    found = marks.get(key)
    match rule.get("operator"):
        case "In":
            return found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt":
            return _number(found) is not None and int(found or 0) > int(values[0])
        case "Lt":
            return _number(found) is not None and int(found or 0) < int(values[0])
    return False


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdecimal() else None


def _lacking(asked: Room, used: Room, offered: Room | None) -> Iterable[str]:
    if offered is None:
        return
    total = used + asked
    if total.pods > offered.pods:
        yield "Too many pods"
    if asked.cpu_milli and total.cpu_milli > offered.cpu_milli:
        yield "Insufficient cpu"
    if asked.memory_bytes and total.memory_bytes > offered.memory_bytes:
        yield "Insufficient memory"
