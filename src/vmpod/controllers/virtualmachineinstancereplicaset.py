"""VirtualMachineInstanceReplicaSet → VirtualMachineInstances: as many as wished, the ended ones cleared away."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import INSTANCE_FINALIZER, adopt, child_metadata, delete, is_controlled_by, suffix
from vmpod.kinds import VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEREPLICASET
from vmpod.model import conditions, selectors
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, revision, uid
from vmpod.reconcile.actions import Action, Create, Note, Plan
from vmpod.reconcile.loop import Key, own, owned_by

KIND = VIRTUALMACHINEINSTANCEREPLICASET
WATCHES = (own(KIND), owned_by(VIRTUALMACHINEINSTANCE, KIND))
_BURST = 100
_FINAL = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Seen:
    """A replica set, its instances, and matching instances that nobody controls."""

    replicaset: Object
    instances: tuple[Object, ...]
    orphans: tuple[Object, ...]
    now: datetime

    @property
    def active(self) -> list[Object]:
        """The instances that count."""
        return [one for one in self.instances if _is_active(one)]


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    found = cache.get(KIND, *key)
    if found is None:
        return None
    owned = tuple(one for one in cache.owned(VIRTUALMACHINEINSTANCE, uid(found)) if is_controlled_by(one, found))
    selector = selectors.from_object(get(found, "spec", "selector", default={}))
    lacks = not is_deleting(found) and len(owned) < _wanted(found)
    matching = cache.list(VIRTUALMACHINEINSTANCE, key[0], selector) if lacks else []
    return Seen(found, owned, tuple(one for one in matching if controller_of(one) is None and _is_active(one)), now)


def _is_active(instance: Object) -> bool:
    return not is_deleting(instance) and get(instance, "status", "phase") not in _FINAL


def _wanted(replicaset: Object) -> int:
    return int(get(replicaset, "spec", "replicas", default=1))


def _is_ready(instance: Object) -> bool:
    return conditions.is_true(get(instance, "status", "conditions"), "Ready")


def plan(seen: Seen) -> Plan:
    owner = seen.replicaset
    if is_deleting(owner) or get(owner, "spec", "paused"):
        return Plan()
    ended = [one for one in seen.instances if not is_deleting(one) and not _is_active(one)]
    missing = _wanted(owner) - len(seen.active)
    if missing > 0 and seen.orphans:
        return Plan(tuple(adopt(VIRTUALMACHINEINSTANCE, one, owner) for one in seen.orphans[:missing]))
    victims = sorted(seen.active, key=_worth)[: max(0, min(-missing, _BURST))]
    made = [_instance(seen, index) for index in range(max(0, min(missing, _BURST)))]
    actions: tuple[Action, ...] = (*(Create(VIRTUALMACHINEINSTANCE, one) for one in made),
                                   *(delete(VIRTUALMACHINEINSTANCE, one) for one in (*victims, *ended)))
    return Plan(actions, None, (*_notes(owner, "SuccessfulCreate", "Started", "creating the new", made),
                                *_notes(owner, "SuccessfulDelete", "Stopped", "deleting the", victims)))


def _notes(owner: Object, reason: str, ended: str, means: str, instances: list[Object]) -> list[Note]:
    told = f"{ended} the virtual machine by {means} virtual machine instance"
    return [Note("Normal", reason, f"{told} {name(one)}", owner) for one in instances]


def _worth(instance: Object) -> tuple[bool, bool, float, str]:
    """Sorts the instance first that is missed least: not running, not ready, young."""
    born = datetime.fromisoformat(get(instance, "metadata", "creationTimestamp", default="1970-01-01T00:00:00Z"))
    return get(instance, "status", "phase") == "Running", _is_ready(instance), -born.timestamp(), name(instance)


def _instance(seen: Seen, index: int) -> Object:
    """An instance whose name follows from what was seen: the same plan carried out twice makes no second one."""
    owner, template = seen.replicaset, get(seen.replicaset, "spec", "template", default={})
    seeds = (uid(owner), revision(owner), sorted(uid(one) for one in seen.instances), index)
    meta = child_metadata(owner, f"{name(owner)}-{suffix(*seeds)}", template)
    meta["finalizers"] = [*meta.get("finalizers", []), INSTANCE_FINALIZER]
    return {"apiVersion": VIRTUALMACHINEINSTANCE.api_version, "kind": "VirtualMachineInstance", "metadata": meta,
            "spec": deepcopy(template.get("spec") or {})}


def status(seen: Seen, plan: Plan) -> Object | None:
    owner = seen.replicaset
    fresh: Object = {
        "replicas": len(seen.active), "readyReplicas": sum(map(_is_ready, seen.active)),
        "labelSelector": str(selectors.from_object(get(owner, "spec", "selector", default={}))),
    }
    held = get(owner, "status", "conditions", default=[])
    if get(owner, "spec", "paused"):
        held = conditions.set_condition(held, "ReplicaPaused", True, "Paused", "Controller got paused", seen.now)
    else:
        held = conditions.without(held, "ReplicaPaused")
    return fresh | ({"conditions": held} if held else {})
