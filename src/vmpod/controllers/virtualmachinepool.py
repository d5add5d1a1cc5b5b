"""VirtualMachinePool → numbered VirtualMachines: scaled, brought to the present template, their revisions kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice

from vmpod.client.cache import Cache
from vmpod.controllers import poolhealing
from vmpod.controllers.children import delete, is_controlled_by, metadata_patch
from vmpod.controllers.poolmachines import REVISION, kept_template, machine, new_revision, renewed, selected
from vmpod.kinds import (
    CONTROLLERREVISION,
    DATAVOLUME,
    PERSISTENTVOLUMECLAIM,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINEPOOL,
)
from vmpod.model import conditions, selectors
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, owner_references, uid
from vmpod.reconcile.actions import Action, Create, Note, Patch, Plan, Replace
from vmpod.reconcile.loop import Key, own, owned_by

KIND = VIRTUALMACHINEPOOL
WATCHES = (own(KIND), owned_by(VIRTUALMACHINE, KIND), owned_by(CONTROLLERREVISION, KIND))
_BURST = 100
_RETRY_S = 3.0


@dataclass(frozen=True)
class Seen:
    """A pool, its machines and their instances, its revisions by name, the names that are taken, and what the
    machines keep: DataVolumes and claims by their owner's uid."""

    pool: Object
    vms: tuple[Object, ...]
    instances: Mapping[str, Object | None]
    revisions: Mapping[str, Object]
    taken: frozenset[str]
    kept: Mapping[str, tuple[tuple[str, Object], ...]]
    now: datetime

    @property
    def alive(self) -> list[Object]:
        return [vm for vm in self.vms if not is_deleting(vm)]


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    pool = cache.get(KIND, *key)
    if pool is None:
        return None
    vms = tuple(vm for vm in cache.owned(VIRTUALMACHINE, uid(pool)) if is_controlled_by(vm, pool))
    keeps = get(pool, "spec", "scaleInStrategy", "proactive", "statePreservation", default="Disabled") != "Disabled"
    kept = {uid(vm): _kept(vm, cache) for vm in vms} if keeps and len(vms) > _wanted(pool) else {}
    return Seen(
        pool, vms, {name(vm): cache.get(VIRTUALMACHINEINSTANCE, key[0], name(vm)) for vm in vms},
        {name(one): one for one in cache.owned(CONTROLLERREVISION, uid(pool)) if is_controlled_by(one, pool)},
        frozenset(taken for _, taken in cache.keys(VIRTUALMACHINE, key[0])), kept, now,
    )


def _kept(vm: Object, cache: Cache) -> tuple[tuple[str, Object], ...]:
    found = [(kind.plural, one) for kind in (DATAVOLUME, PERSISTENTVOLUMECLAIM) for one in cache.owned(kind, uid(vm))]
    return tuple(found)


def _wanted(pool: Object) -> int:
    return int(get(pool, "spec", "replicas", default=1))


def plan(seen: Seen) -> Plan:
    pool = seen.pool
    if is_deleting(pool) or get(pool, "spec", "paused"):
        return Plan()
    missing = _wanted(pool) - len(seen.vms)  # one that is on its way out still holds its name
    if missing > 0:
        return _scale_out(seen, min(missing, _BURST))
    if missing < 0:
        return _scale_in(seen, -missing)
    healing = _heal(seen)
    if healing.actions:
        return healing
    step = _follow_template(seen)
    waits = [one for one in (step.again_in, healing.again_in) if one is not None]
    return Plan(step.actions, min(waits, default=None), step.events)


def _heal(seen: Seen) -> Plan:
    """Delete the machines that do not start; their numbers are made anew."""
    left = {uid(vm): one for vm in seen.alive if (one := poolhealing.left_s(seen.pool, vm, seen.now)) is not None}
    broken = [vm for vm in seen.alive if left.get(uid(vm)) == 0.0][:_BURST]
    told = (f"Deleted failing VM {namespace(vm)}/{name(vm)} with uid {uid(vm)} from pool" for vm in broken)
    notes = tuple(Note("Normal", "SuccessfulDelete", text, seen.pool) for text in told)
    return Plan(tuple(delete(VIRTUALMACHINE, vm) for vm in broken), min(left.values(), default=None), notes)


def _follow_template(seen: Seen) -> Plan:
    pool = seen.pool
    if get(pool, "spec", "updateStrategy", "unmanaged") is not None:
        return Plan(_prune(seen))
    outdated = _outdated(seen)
    if outdated:
        return _update(seen, outdated)
    step = Plan() if get(pool, "spec", "updateStrategy", "opportunistic") is not None else _update_instances(seen)
    return Plan((*step.actions, *_prune(seen)), step.again_in, step.events)


def _revision(seen: Seen) -> tuple[str, tuple[Action, ...]]:
    """The name of the revision with the present template, and what makes it where there is none."""
    wanted = get(seen.pool, "spec", "virtualMachineTemplate")
    same = [one for one in seen.revisions.values() if kept_template(one) == wanted]
    if same:
        return name(max(same, key=lambda one: int(one.get("revision") or 0))), ()
    made = new_revision(seen.pool)
    return name(made), (Create(CONTROLLERREVISION, made),)


def _scale_out(seen: Seen, amount: int) -> Plan:
    revision, first = _revision(seen)
    free = (index for index in count() if f"{name(seen.pool)}-{index}" not in seen.taken)
    made = [machine(seen.pool, index, revision) for index in islice(free, amount)]
    told = (f"Created VM {namespace(seen.pool)}/{name(vm)}" for vm in made)
    notes = tuple(Note("Normal", "SuccessfulCreate", text, seen.pool) for text in told)
    return Plan((*first, *(Create(VIRTUALMACHINE, vm) for vm in made)), None, notes)


def _scale_in(seen: Seen, excess: int) -> Plan:
    strategy = get(seen.pool, "spec", "scaleInStrategy", default={})
    if strategy.get("unmanaged") is not None or strategy.get("opportunistic") is not None:
        return Plan()
    alive = seen.alive
    going = excess - (len(seen.vms) - len(alive))
    victims = selected(seen.pool, "scaleInStrategy", alive)[: max(0, min(going, _BURST))]
    actions: list[Action] = []
    for vm in victims:
        actions += [*(_released(kind, one, vm) for kind, one in seen.kept.get(uid(vm), ())), delete(VIRTUALMACHINE, vm)]
    told = (f"Deleted VM {namespace(vm)}/{name(vm)} with uid {uid(vm)} from pool" for vm in victims)
    return Plan(tuple(actions), None, tuple(Note("Normal", "SuccessfulDelete", text, seen.pool) for text in told))


def _released(plural: str, obj: Object, owner: Object) -> Patch:
    """What outlives its machine: a later one of the same number finds it again."""
    kind = DATAVOLUME if plural == DATAVOLUME.plural else PERSISTENTVOLUMECLAIM
    return metadata_patch(kind, obj, ownerReferences=[one for one in owner_references(obj) if one["uid"] != uid(owner)])


def _outdated(seen: Seen) -> list[Object]:
    """The machines that were made from another template."""
    wanted = get(seen.pool, "spec", "virtualMachineTemplate")
    allowed = selected(seen.pool, "updateStrategy", seen.alive)
    return [vm for vm in allowed if kept_template(seen.revisions.get(labels(vm).get(REVISION, ""))) != wanted]


def _update(seen: Seen, outdated: list[Object]) -> Plan:
    revision, first = _revision(seen)
    written = (Replace(VIRTUALMACHINE, renewed(seen.pool, vm, revision)) for vm in outdated[:_BURST])
    told = (f"Updated VM {namespace(vm)}/{name(vm)}" for vm in outdated[:_BURST])
    return Plan((*first, *written), None, tuple(Note("Normal", "SuccessfulUpdate", text, seen.pool) for text in told))


def _update_instances(seen: Seen) -> Plan:
    """Restart instances of an older template: those that are not ready at once, of the others a few at a time."""
    stale = [vm for vm in selected(seen.pool, "updateStrategy", seen.alive) if _is_stale(seen, vm)]
    down = [vm for vm in seen.alive if not _is_ready(seen, vm)]
    left = max(0, _most_unavailable(seen.pool) - len(down))
    ready = [vm for vm in stale if vm not in down]
    turn = [*(vm for vm in stale if vm in down), *ready[:left]]
    told = (f"Successfully updated resource {namespace(vm)}/{name(vm)}" for vm in turn)
    notes = tuple(Note("Normal", "SuccessfulDelete", text, seen.pool) for text in told)
    return Plan(tuple(_restarted(seen, vm) for vm in turn), _RETRY_S if len(ready) > left else None, notes)


def _instance(seen: Seen, vm: Object) -> Object | None:
    """A machine's instance, unless it is on its way out."""
    found = seen.instances.get(name(vm))
    return None if found is None or is_deleting(found) else found


def _is_ready(seen: Seen, vm: Object) -> bool:
    instance = _instance(seen, vm)
    is_running = get(instance, "status", "phase") == "Running"
    return is_running and conditions.is_true(get(instance, "status", "conditions"), "Ready")


def _is_stale(seen: Seen, vm: Object) -> bool:
    """Whether a machine's instance was made under another revision than the machine follows."""
    instance = _instance(seen, vm)
    return instance is not None and labels(instance).get(REVISION) != labels(vm).get(REVISION)


def _restarted(seen: Seen, vm: Object) -> Action:
    """What brings an instance to its machine's revision: its end, its machine's where disks differ, or a label."""
    instance = seen.instances[name(vm)] or {}
    revision = labels(vm).get(REVISION, "")
    new = kept_template(seen.revisions.get(revision))
    old = kept_template(seen.revisions.get(labels(instance).get(REVISION, "")))
    if get(old, "spec", "dataVolumeTemplates") != get(new, "spec", "dataVolumeTemplates") and old is not None:
        return delete(VIRTUALMACHINE, vm, propagation="Foreground")
    if old is not None and get(old, "spec", "template") == get(new, "spec", "template"):
        return metadata_patch(VIRTUALMACHINEINSTANCE, instance, labels={**labels(instance), REVISION: revision})
    return delete(VIRTUALMACHINEINSTANCE, instance)


def _most_unavailable(pool: Object) -> int:
    limit, wanted = get(pool, "spec", "maxUnavailable", default="100%"), _wanted(pool)
    amount = wanted * int(limit.removesuffix("%")) // 100 if isinstance(limit, str) else int(limit)
    return max(1, amount)


def _prune(seen: Seen) -> tuple[Action, ...]:
    """Revisions that no machine and no instance follows any more."""
    followers = [*seen.vms, *(one for one in seen.instances.values() if one is not None)]
    used = {labels(one).get(REVISION) for one in followers}
    return tuple(delete(CONTROLLERREVISION, one) for key, one in seen.revisions.items()
                 if key not in used and not is_deleting(one))


def status(seen: Seen, plan: Plan) -> Object | None:
    pool = seen.pool
    ready = sum(conditions.is_true(get(vm, "status", "conditions"), "Ready") for vm in seen.vms)
    fresh: Object = {
        "replicas": len(seen.vms), "readyReplicas": ready,
        "labelSelector": str(selectors.from_object(get(pool, "spec", "selector", default={}))),
    }
    held = get(pool, "status", "conditions", default=[])
    if get(pool, "spec", "paused"):
        held = conditions.set_condition(
            held, "ReplicaPaused", True, "SuccessfulPaused", "Pool controller is paused", seen.now)
    else:
        held = conditions.without(held, "ReplicaPaused")
    return fresh | ({"conditions": held} if held else {})
