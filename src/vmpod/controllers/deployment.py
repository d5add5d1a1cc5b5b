"""Deployment → ReplicaSets: rolling update, recreate, scaling, revisions and their history."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers import pods, templates
from vmpod.controllers.children import adopt, child_metadata, delete, is_controlled_by
from vmpod.controllers.deploymentstatus import deployment_status, progress_deadline_s
from vmpod.controllers.rollout import Bounds, Share, bounds, grow, shrink, spread
from vmpod.kinds import DEPLOYMENT, POD, REPLICASET
from vmpod.model import selectors
from vmpod.model.meta import Object, controller_of, get, is_deleting, labels, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Note, Patch, Plan
from vmpod.reconcile.loop import Key, own, owned_by

KIND = DEPLOYMENT
WATCHES = (own(DEPLOYMENT), owned_by(REPLICASET, DEPLOYMENT))
_LOOK_AGAIN_S = 0.5  # pods of an old ReplicaSet that is already at 0 have no other way to tell that they are gone


@dataclass(frozen=True)
class Seen:
    """A Deployment, its ReplicaSets (oldest first), those it could adopt, and (Recreate) pods of the old ones."""

    deployment: Object
    replicasets: tuple[Object, ...]
    orphans: tuple[Object, ...]
    old_pods: int
    now: datetime

    @property
    def new(self) -> Object | None:
        return templates.current(self.deployment, self.replicasets)

    @property
    def old(self) -> tuple[Object, ...]:
        """All but the present one, oldest first."""
        new_uid = uid(self.new or {})
        return tuple(one for one in self.replicasets if uid(one) != new_uid)


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    deployment = cache.get(DEPLOYMENT, *key)
    if deployment is None:
        return None
    owned = [one for one in cache.owned(REPLICASET, uid(deployment)) if is_controlled_by(one, deployment)]
    selector = selectors.from_object(get(deployment, "spec", "selector", default={}))
    matching = cache.list(REPLICASET, key[0], selector)
    orphans = tuple(one for one in matching if controller_of(one) is None and not is_deleting(one))
    seen = Seen(deployment, tuple(sorted(owned, key=templates.by_age)), orphans, 0, now)
    if not _is_recreate(deployment):
        return seen
    left = sum(not pods.is_terminal(pod) for one in seen.old for pod in cache.owned(POD, uid(one)))
    return Seen(deployment, seen.replicasets, orphans, left, now)


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.deployment):
        return Plan()
    if seen.orphans:
        return Plan(tuple(adopt(REPLICASET, one, seen.deployment) for one in seen.orphans))
    if _is_paused(seen) or _is_scaled(seen):
        sized = _scale(seen)
        return sized if sized.actions or not _is_paused(seen) else Plan(_revision(seen))
    step = _recreate(seen) if _is_recreate(seen.deployment) else _roll(seen)
    actions = (*_revision(seen), *step.actions)
    actions = actions or tuple(_clean(seen))
    waits = [one for one in (step.again_in, progress_deadline_s(seen.deployment, seen.now)) if one is not None]
    return Plan(actions, min(waits, default=None), step.events)


def _is_paused(seen: Seen) -> bool:
    return bool(get(seen.deployment, "spec", "paused"))


def _is_recreate(deployment: Object) -> bool:
    return bool(get(deployment, "spec", "strategy", "type") == "Recreate")


def _wanted(obj: Object) -> int:
    return int(get(obj, "spec", "replicas", default=1))


def limits(deployment: Object) -> Bounds:
    """The Deployment's size and how far its strategy may leave it."""
    if _is_recreate(deployment):
        return Bounds(_wanted(deployment), 0, _wanted(deployment))
    rolling = get(deployment, "spec", "strategy", "rollingUpdate", default={})
    surge, unavailable = rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%")
    return bounds(_wanted(deployment), surge, unavailable)


def _share(replicaset: Object) -> Share:
    maximum = annotations_of(replicaset).get(templates.MAXIMUM, "0")
    available = int(get(replicaset, "status", "availableReplicas", default=0))
    return Share(name(replicaset), _wanted(replicaset), available, int(maximum) if maximum.isdecimal() else 0)


def _is_scaled(seen: Seen) -> bool:
    """Whether a ReplicaSet in use remembers another size of the Deployment."""
    used = (one for one in seen.replicasets if _wanted(one))
    known = (annotations_of(one).get(templates.DESIRED) for one in used)
    return any(one is not None and one != str(_wanted(seen.deployment)) for one in known)


def _scale(seen: Seen) -> Plan:
    """Sizes after a change of spec.replicas, the template untouched."""
    size = limits(seen.deployment)
    active = [one for one in reversed(seen.replicasets) if _wanted(one)]
    if len(active) > 1 and not _is_recreate(seen.deployment) and not _is_saturated(seen, size):
        return _resize(seen, spread(size, [_share(one) for one in active]))
    only = seen.new or next(iter(active or reversed(seen.replicasets)), None)
    if len(active) == 1:
        only = active[0]
    if only is None:
        return Plan()
    rest = {name(one): 0 for one in active if one is not only} if _is_saturated(seen, size) else {}
    return _resize(seen, {name(only): size.replicas} | rest)


def _is_saturated(seen: Seen, size: Bounds) -> bool:
    if seen.new is None:
        return False
    return _wanted(seen.new) == size.replicas == _share(seen.new).available


def _resize(seen: Seen, sizes: dict[str, int]) -> Plan:
    """Give ReplicaSets their sizes and let them remember the Deployment's."""
    size = limits(seen.deployment)
    memory = templates.size_annotations(size.replicas, size.surge)
    actions: list[Action] = []
    events: list[Note] = []
    for one in seen.replicasets:
        if name(one) not in sizes:
            continue
        before, after = _wanted(one), sizes[name(one)]
        if before != after or (after and not memory.items() <= annotations_of(one).items()):
            actions.append(_patch(one, {"metadata": {"annotations": memory}, "spec": {"replicas": after}}))
        if before != after:
            events.append(_scaled(seen, name(one), before, after))
    return Plan(tuple(actions), None, tuple(events))


def _scaled(seen: Seen, which: str, before: int, after: int) -> Note:
    word = "up" if after > before else "down"
    text = f"Scaled {word} replica set {which} from {before} to {after}"
    return Note("Normal", "ScalingReplicaSet", text, seen.deployment)


def _patch(replicaset: Object, patch: Object) -> Patch:
    return Patch(REPLICASET, namespace(replicaset), name(replicaset), patch)


def _roll(seen: Seen) -> Plan:
    size = limits(seen.deployment)
    old = [_share(one) for one in seen.old]
    if seen.new is None:
        return _first(seen, grow(size, Share("", 0), old))
    new = _share(seen.new)
    wanted = grow(size, new, old)
    if wanted != new.wanted:
        return _resize(seen, {new.name: wanted})
    return _resize(seen, shrink(size, new, old) | {new.name: wanted})


def _recreate(seen: Seen) -> Plan:
    """All old pods go, then all new ones come."""
    if any(_wanted(one) for one in seen.old):
        return _resize(seen, {name(one): 0 for one in seen.old})
    if seen.old_pods:
        return Plan(again_in=_LOOK_AGAIN_S)
    wanted = _wanted(seen.deployment)
    return _first(seen, wanted) if seen.new is None else _resize(seen, {name(seen.new): wanted})


def _first(seen: Seen, replicas: int) -> Plan:
    made = replicaset(seen, replicas)
    return Plan((Create(REPLICASET, made),), None, (_scaled(seen, name(made), 0, replicas),) if replicas else ())


def replicaset(seen: Seen, replicas: int) -> Object:
    """The ReplicaSet for the Deployment's present template."""
    deployment, size = seen.deployment, limits(seen.deployment)
    marked = {templates.HASH_LABEL: templates.template_hash(deployment)}
    template = deepcopy(deployment["spec"]["template"])
    template["metadata"] = template.get("metadata") or {}
    template["metadata"]["labels"] = labels(template) | marked
    selector = deepcopy(deployment["spec"]["selector"])
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | marked
    meta = child_metadata(deployment, f"{name(deployment)}-{marked[templates.HASH_LABEL]}")
    meta["labels"] = labels(template)
    meta["annotations"] = templates.revision_annotations(deployment, None, seen.old) | templates.size_annotations(
        size.replicas, size.surge)
    spec = {"replicas": replicas, "selector": selector, "template": template}
    if ready_s := get(deployment, "spec", "minReadySeconds"):
        spec["minReadySeconds"] = ready_s
    return {"apiVersion": REPLICASET.api_version, "kind": "ReplicaSet", "metadata": meta, "spec": spec}


def _revision(seen: Seen) -> tuple[Action, ...]:
    """The present ReplicaSet has the highest revision, and the Deployment says which it is."""
    if seen.new is None:
        return ()
    wanted = templates.revision_annotations(seen.deployment, seen.new, seen.old)
    actions: list[Action] = []
    is_marked = wanted.items() <= annotations_of(seen.new).items()
    patch: Object = {} if is_marked else {"metadata": {"annotations": wanted}}
    ready_s = get(seen.deployment, "spec", "minReadySeconds", default=0)
    if get(seen.new, "spec", "minReadySeconds", default=0) != ready_s:
        patch["spec"] = {"minReadySeconds": ready_s}
    if patch:
        actions.append(_patch(seen.new, patch))
    if annotations_of(seen.deployment).get(templates.REVISION) != wanted[templates.REVISION]:
        marked = {"metadata": {"annotations": {templates.REVISION: wanted[templates.REVISION]}}}
        actions.append(Patch(DEPLOYMENT, namespace(seen.deployment), name(seen.deployment), marked))
    return tuple(actions)


def _clean(seen: Seen) -> list[Action]:
    """Old ReplicaSets beyond the history limit, when the rollout is complete."""
    status = seen.deployment.get("status") or {}
    wanted = _wanted(seen.deployment)
    counters = ("replicas", "updatedReplicas", "availableReplicas")
    if seen.new is None or any(status.get(key, 0) != wanted for key in counters):
        return []
    keep = int(get(seen.deployment, "spec", "revisionHistoryLimit", default=10))
    idle = [one for one in seen.old if not _wanted(one) and not get(one, "status", "replicas") and not is_deleting(one)]
    excess = max(0, len(seen.old) - keep)
    return [delete(REPLICASET, one) for one in sorted(idle, key=templates.revision_of)[:excess]]


def status(seen: Seen, plan: Plan) -> Object | None:
    made = next((name(one.obj) for one in plan.actions if isinstance(one, Create)), "")
    return deployment_status(seen.deployment, seen.new, seen.replicasets, limits(seen.deployment), made, seen.now)
