"""ReplicaSet → Pods: as many as wished, the least useful ones going first."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vmpod.client.cache import Cache
from vmpod.controllers import pods
from vmpod.controllers.children import adopt, child_metadata, delete, is_controlled_by, suffix
from vmpod.kinds import POD, REPLICASET
from vmpod.model import selectors
from vmpod.model.meta import Object, controller_of, get, is_deleting, labels, name, revision, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Create, Note, Plan
from vmpod.reconcile.loop import Key, own, owned_by

KIND = REPLICASET
WATCHES = (own(REPLICASET), owned_by(POD, REPLICASET))
_BURST = 100  # pods made or deleted in one step
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Seen:
    """A ReplicaSet, its pods, and matching pods that nobody controls."""

    replicaset: Object
    pods: tuple[Object, ...]
    orphans: tuple[Object, ...]
    now: datetime

    @property
    def active(self) -> list[Object]:
        """The pods that count."""
        return [pod for pod in self.pods if pods.is_active(pod)]


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    found = cache.get(REPLICASET, *key)
    if found is None:
        return None
    owned = tuple(pod for pod in cache.owned(POD, uid(found)) if is_controlled_by(pod, found))
    selector = selectors.from_object(get(found, "spec", "selector", default={}))
    matching = cache.list(POD, key[0], selector) if not is_deleting(found) and len(owned) < _wanted(found) else []
    orphans = tuple(pod for pod in matching if controller_of(pod) is None and pods.is_active(pod))
    return Seen(found, owned, orphans, now)


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.replicaset):
        return Plan()
    missing = _wanted(seen.replicaset) - len(seen.active)
    if missing > 0 and seen.orphans:
        return Plan(tuple(adopt(POD, pod, seen.replicaset) for pod in seen.orphans))
    step = _add(seen, min(missing, _BURST)) if missing > 0 else _remove(seen, min(-missing, _BURST))
    return Plan(step.actions, _until_available_s(seen), step.events)


def _wanted(replicaset: Object) -> int:
    return int(get(replicaset, "spec", "replicas", default=1))


def _add(seen: Seen, count: int) -> Plan:
    made = [_pod(seen, index) for index in range(count)]
    notes = (_note(seen, "SuccessfulCreate", f"Created pod: {name(pod)}") for pod in made)
    return Plan(tuple(Create(POD, pod) for pod in made), None, tuple(notes))


def _remove(seen: Seen, count: int) -> Plan:
    victims = sorted(seen.active, key=_worth)[:count]
    notes = (_note(seen, "SuccessfulDelete", f"Deleted pod: {name(pod)}") for pod in victims)
    return Plan(tuple(delete(POD, pod) for pod in victims), None, tuple(notes))


def _note(seen: Seen, reason: str, message: str) -> Note:
    return Note("Normal", reason, message, seen.replicaset)


def _pod(seen: Seen, index: int) -> Object:
    """A pod whose name follows from what was seen: the same plan carried out twice makes no second pod."""
    owner = seen.replicaset
    template = get(owner, "spec", "template", default={})
    seeds = (uid(owner), revision(owner), sorted(uid(pod) for pod in seen.pods), index)
    meta = child_metadata(owner, f"{name(owner)}-{suffix(*seeds)}", template)
    meta["generateName"] = f"{name(owner)}-"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": deepcopy(template.get("spec") or {})}


def _worth(pod: Object) -> tuple[bool, int, bool, int, datetime, int, float, str]:
    """Sorts the pod first that is missed least (ActivePodsWithRanks of Kubernetes' controller_utils)."""
    cost = annotations_of(pod).get(_DELETION_COST, "0")
    since = pods.ready_since(pod)
    born = datetime.fromisoformat(get(pod, "metadata", "creationTimestamp", default="1970-01-01T00:00:00Z"))
    return (
        bool(get(pod, "spec", "nodeName")),
        _PHASE_RANK.get(pods.phase(pod), 0),
        pods.is_ready(pod),
        int(cost) if cost.lstrip("-").isdecimal() else 0,
        _reversed(since),  # ready for a shorter time goes first
        -pods.restarts(pod),
        -born.timestamp(),  # younger goes first
        name(pod),
    )


def _reversed(moment: datetime | None) -> datetime:
    return _LATEST if moment is None else datetime(1970, 1, 1, tzinfo=UTC) + (_LATEST - moment)


def _min_ready_s(replicaset: Object) -> int:
    return int(get(replicaset, "spec", "minReadySeconds", default=0))


def _until_available_s(seen: Seen) -> float | None:
    """Seconds until the next ready pod has been so for minReadySeconds."""
    wait = timedelta(seconds=_min_ready_s(seen.replicaset))
    dates = [since + wait for pod in seen.active if (since := pods.ready_since(pod)) is not None]
    return min(((date - seen.now).total_seconds() for date in dates if date > seen.now), default=None)


def status(seen: Seen, plan: Plan) -> Object | None:
    owner, active = seen.replicaset, seen.active
    template = labels(get(owner, "spec", "template", default={}))
    ready = [pod for pod in active if pods.is_ready(pod)]
    counts = {
        "fullyLabeledReplicas": sum(template.items() <= labels(pod).items() for pod in active),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pods.is_available(pod, _min_ready_s(owner), seen.now) for pod in ready),
    }
    fresh: Object = {"replicas": len(active)} | {key: count for key, count in counts.items() if count}
    fresh["observedGeneration"] = int(get(owner, "metadata", "generation", default=0))
    kept = get(owner, "status", "conditions")
    return fresh | ({"conditions": kept} if kept else {})
