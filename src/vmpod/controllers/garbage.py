"""Owner references obeyed for every kind: dependents go with their last owner, or before it, or are set free.

Keys are ("RESOURCE|NAMESPACE", NAME): one loop looks after the objects of all kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmpod.base.clock import parse
from vmpod.client.cache import Cache
from vmpod.controllers.children import delete, finalizers, metadata_patch, without_finalizers
from vmpod.kinds import EVENT, NAMESPACE, for_kind
from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object, get, is_deleting, name, namespace, owner_references, uid
from vmpod.reconcile.actions import Action, Plan
from vmpod.reconcile.loop import Key, Watch

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_FRESH_S = 2.0  # a dependent can be seen before the owner that was created just before it

KIND = NAMESPACE  # nominal: this loop has no kind of its own and writes no status


@dataclass(frozen=True)
class Dependent:
    """An object that names the seen one as its owner."""

    kind: Kind
    obj: Object


@dataclass(frozen=True)
class Seen:
    """An object, its owners as far as they still exist, and (if it is going) what depends on it."""

    kind: Kind
    obj: Object
    owners: tuple[Object | None, ...]
    dependents: tuple[Dependent, ...]
    now: datetime


def watches(kinds: Iterable[Kind]) -> Sequence[Watch]:
    """All kinds but events, which own nothing and are owned by nobody."""
    return [_watch(kind) for kind in kinds if kind is not EVENT]


def _key(kind: Kind, obj: Object) -> Key:
    return f"{kind.resource}|{namespace(obj)}", name(obj)


def _watch(kind: Kind) -> Watch:
    def keys(obj: Object) -> Iterable[Key]:
        return (_key(kind, obj),) if owner_references(obj) or _ends_with_dependents(obj) else ()

    def found(obj: Object, cache: Cache) -> Iterable[Key]:
        """The dependents of an object that is gone or going, and the owners that wait for it."""
        waiting = _owners_that_wait(obj, cache)
        present = cache.get(kind, namespace(obj), name(obj))
        if present is not None and uid(present) == uid(obj) and not is_deleting(present):
            return waiting
        return [*waiting, *(_key(one.kind, one.obj) for one in _dependents(obj, cache))]

    return Watch(kind, keys, found)


def _ends_with_dependents(obj: Object) -> bool:
    return is_deleting(obj) and not {FOREGROUND, ORPHAN}.isdisjoint(finalizers(obj))


def _waits(owner: Object) -> bool:
    """Whether it wants its dependents to go first."""
    return is_deleting(owner) and FOREGROUND in finalizers(owner)


def _owners_that_wait(obj: Object, cache: Cache) -> list[Key]:
    keys = []
    for reference in owner_references(obj):
        kind = for_kind(str(reference.get("apiVersion")), str(reference.get("kind")))
        owner = _owner(reference, obj, cache)
        if kind is not None and owner is not None and _ends_with_dependents(owner):
            keys.append(_key(kind, owner))
    return keys


def _dependents(obj: Object, cache: Cache) -> list[Dependent]:
    return [Dependent(kind, one) for kind in cache.kinds for one in cache.owned(kind, uid(obj))]


def _owner(reference: Object, obj: Object, cache: Cache) -> Object | None:
    """The owner that a reference means: of the same uid, in the same namespace or cluster-wide."""
    kind = for_kind(str(reference.get("apiVersion")), str(reference.get("kind")))
    if kind is None or kind not in cache.kinds:
        return {"metadata": {"uid": reference.get("uid")}}  # not ours to judge: counts as present
    found = cache.get(kind, namespace(obj) if kind.namespaced else "", str(reference.get("name")))
    return found if found is not None and uid(found) == reference.get("uid") else None


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    resource, bar, space = key[0].partition("|")
    kind = next((one for one in cache.kinds if one.resource == resource), None) if bar else None
    obj = cache.get(kind, space, key[1]) if kind is not None else None
    if kind is None or obj is None:
        return None
    owners = tuple(_owner(reference, obj, cache) for reference in owner_references(obj))
    concerns = _ends_with_dependents(obj) or any(_waits(one) for one in owners if one is not None)
    dependents = tuple(_dependents(obj, cache)) if concerns else ()
    return Seen(kind, obj, owners, dependents, now)


def plan(seen: Seen) -> Plan:
    if _ends_with_dependents(seen.obj):
        return _orphan(seen) if ORPHAN in finalizers(seen.obj) else _foreground(seen)
    references = owner_references(seen.obj)
    if not references or is_deleting(seen.obj):
        return Plan()
    present = [one for one in seen.owners if one is not None]
    if not present:
        return _collect(seen)
    if all(_waits(one) for one in present):
        how = "Foreground" if seen.dependents else _propagation(seen.obj)
        return Plan((delete(seen.kind, seen.obj, propagation=how),))
    return _forget(seen, references) if len(present) < len(references) else Plan()


def _collect(seen: Seen) -> Plan:
    """No owner is left. A very young object waits: its owner may only not have been seen yet."""
    born = get(seen.obj, "metadata", "creationTimestamp")
    age = seen.now - parse(born) if born else timedelta(days=1)
    if age < timedelta(seconds=_FRESH_S):
        return Plan(again_in=_FRESH_S)
    return Plan((delete(seen.kind, seen.obj, propagation=_propagation(seen.obj)),))


def _propagation(obj: Object) -> str:
    """Dependents are deleted in the background, unless they say themselves how (as Kubernetes' collector does)."""
    held = finalizers(obj)
    return "Orphan" if ORPHAN in held else "Foreground" if FOREGROUND in held else "Background"


def _forget(seen: Seen, references: Sequence[Object]) -> Plan:
    """Some owners are left: drop the references to those that are gone."""
    kept = [one for one, owner in zip(references, seen.owners, strict=True) if owner is not None]
    return Plan((metadata_patch(seen.kind, seen.obj, ownerReferences=kept),))


def _foreground(seen: Seen) -> Plan:
    """The object waits for the dependents that block it; they are asked to go in their own turns."""
    if any(_blocks(one.obj, seen.obj) for one in seen.dependents):
        return Plan()
    return Plan((without_finalizers(seen.kind, seen.obj, FOREGROUND),))


def _goes_along(dependent: Object, owner: Object) -> bool:
    return all(one.get("uid") == uid(owner) for one in owner_references(dependent))


def _blocks(dependent: Object, owner: Object) -> bool:
    mine = [one for one in owner_references(dependent) if one.get("uid") == uid(owner)]
    return any(one.get("blockOwnerDeletion") for one in mine) and _goes_along(dependent, owner)


def _orphan(seen: Seen) -> Plan:
    """Dependents lose the reference, then the object goes."""
    freed: list[Action] = [
        metadata_patch(one.kind, one.obj, ownerReferences=[
            held for held in owner_references(one.obj) if held.get("uid") != uid(seen.obj)])
        for one in seen.dependents
    ]
    return Plan(tuple(freed)) if freed else Plan((without_finalizers(seen.kind, seen.obj, ORPHAN),))


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: a collector has no status."""
    return None
