"""A small world for controllers: objects in memory, their plans carried out at once, time that passes when told.

Where `testing.api` speaks REST to clients, this has no I/O and no tasks: a property test runs thousands of turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, cast

from vmpod.base.clock import rfc3339
from vmpod.client.cache import Cache
from vmpod.kinds import KINDS, POD
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.patch import merge_patch
from vmpod.model.selectors import Selector
from vmpod.reconcile.actions import Action, Create, Delete, Note, Patch, Plan, Replace
from vmpod.reconcile.loop import Key
from vmpod.testing.clock import EPOCH

_PROPAGATION = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
Objects = list[Object]
Keys = list[Key]


class NotConverging(AssertionError):
    """Turn after turn there was something left to change."""


class World:
    """Objects by kind and key. Reads are those of a Cache; `cache` is the world under that type."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self.kinds = tuple(kinds)
        self.now: datetime = EPOCH
        self.notes: list[Note] = []
        self._revision = 0
        self._objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in self.kinds}

    @property
    def cache(self) -> Cache:
        return cast(Cache, self)

    # reading, as a Cache does

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return deepcopy(self._objects[kind].get((namespace, name)))

    def list(self, kind: Kind, namespace: str = "", selector: Selector | None = None) -> Objects:
        found = (obj for key, obj in sorted(self._objects[kind].items()) if namespace in ("", key[0]))
        return [deepcopy(obj) for obj in found if selector is None or selector.matches(meta.labels(obj))]

    def owned(self, kind: Kind, owner_uid: str) -> Objects:
        return [obj for obj in self.list(kind) if meta.is_owned_by(obj, owner_uid)]

    def keys(self, kind: Kind, namespace: str = "") -> tuple[Key, ...]:
        return tuple(key for key in sorted(self._objects[kind]) if namespace in ("", key[0]))

    def revision(self, kind: Kind) -> int:
        return self._revision

    # writing, as the API does

    def put(self, kind: Kind, obj: Object, status: Object | None = None) -> Object:
        """Create an object, as a user would; with `status`, also what its status is."""
        made = kind.default(kind.prepare_create(deepcopy(obj)))
        made = {"apiVersion": kind.api_version, "kind": kind.kind, **made}
        self._revision += 1
        key = (meta.namespace(made), meta.name(made) or f"{made['metadata']['generateName']}{self._revision}")
        assert key not in self._objects[kind], f"{kind.resource} {key} exists"
        made["metadata"] |= {"name": key[1], "uid": f"uid-{self._revision}", "creationTimestamp": rfc3339(self.now)}
        if status is not None:
            made["status"] = deepcopy(status)
        return self._keep(kind, key, made)

    def update(self, kind: Kind, namespace: str, name: str, patch: Object, subresource: str = "") -> Object | None:
        """Apply a merge patch; None when there is nothing to patch. Raises AssertionError on an old revision."""
        old = self._objects[kind].get((namespace, name))
        if old is None:
            return None
        wanted = meta.revision(patch)
        assert wanted in (0, meta.revision(old)), f"{kind.resource} {name}: conflict"
        return self._store(kind, merge_patch(deepcopy(old), patch), old, subresource)

    def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None,
               propagation: str = "") -> None:  # fmt: skip
        """Ask for an object's end: at once, or once its finalizers and grace period are over."""
        obj = self._objects[kind].get((namespace, name))
        if obj is None or uid not in ("", meta.uid(obj)):
            return
        marked = deepcopy(obj)
        held = [one for one in marked["metadata"].get("finalizers", []) if one not in _PROPAGATION.values()]
        extra = [_PROPAGATION[propagation]] if propagation in _PROPAGATION else []
        if not propagation:
            held, extra = list(marked["metadata"].get("finalizers", [])), []
        wait_s = self._grace_s(kind, obj, grace_s)
        held_s = marked["metadata"].get("deletionGracePeriodSeconds", wait_s)
        marked["metadata"] |= {
            "finalizers": [*held, *extra], "deletionGracePeriodSeconds": min(wait_s, held_s),
            "deletionTimestamp": marked["metadata"].get("deletionTimestamp") or rfc3339(self.now),
        }
        self._keep_or_end(kind, marked, obj)

    def _grace_s(self, kind: Kind, obj: Object, wanted: int | None) -> int:
        is_placed = bool(meta.get(obj, "spec", "nodeName"))
        if kind is not POD or not is_placed or meta.get(obj, "status", "phase") in ("Succeeded", "Failed"):
            return 0
        return int(meta.get(obj, "spec", "terminationGracePeriodSeconds", default=30)) if wanted is None else wanted

    def _store(self, kind: Kind, new: Object, old: Object, subresource: str) -> Object:
        if subresource == "status":
            new = {**old, "status": new.get("status")}
        elif subresource != "finalize":
            new = kind.prepare_update(kind.default(new), deepcopy(old))
        return self._keep_or_end(kind, new, old)

    def _keep_or_end(self, kind: Kind, new: Object, old: Object) -> Object:
        metadata = new["metadata"]
        waits = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds") or (
            kind.resource == "namespaces" and meta.get(new, "spec", "finalizers"))
        key = (meta.namespace(old), meta.name(old))
        if meta.is_deleting(new) and not waits:
            del self._objects[kind][key]
            self._revision += 1
            return new
        metadata["resourceVersion"] = meta.get(old, "metadata", "resourceVersion")
        return old if new == old else self._keep(kind, key, new)

    def _keep(self, kind: Kind, key: Key, obj: Object) -> Object:
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        self._objects[kind][key] = obj
        return deepcopy(obj)

    # controllers

    def apply(self, action: Action) -> None:
        """Carry out one action. Creating what the same controller made before is success."""
        match action:
            case Create(kind, obj):
                found = self.get(kind, meta.namespace(obj), meta.name(obj)) if meta.name(obj) else None
                if found is None:
                    self.put(kind, obj)
                else:
                    assert meta.controller_of(found) == meta.controller_of(obj), f"{meta.name(obj)} is somebody else's"
            case Patch(kind, namespace, name, patch, subresource):
                self.update(kind, namespace, name, patch, subresource)
            case Replace(kind, obj, subresource):
                old = self._objects[kind][meta.namespace(obj), meta.name(obj)]
                assert meta.revision(obj) == meta.revision(old), "conflict"
                self._store(kind, deepcopy(obj), old, subresource)
            case Delete(kind, namespace, name, uid, grace_s, propagation):
                self.delete(kind, namespace, name, uid=uid, grace_s=grace_s, propagation=propagation)

    def turn(self, controller: ModuleType, key: Key, **config: Any) -> Plan | None:
        """Once through gather, plan, apply and status, as the loop does it; None when there was nothing to see."""
        before = self._objects[controller.KIND].get(key)
        revision = meta.revision(before) if before else 0
        seen = controller.gather(key, self.cache, self.now, **config)
        if seen is None:
            return None
        plan: Plan = controller.plan(seen)
        assert controller.plan(seen) == plan, "a plan must follow from what is seen"
        self.notes += plan.events
        for action in plan.actions:
            self.apply(action)
        present = self._objects[controller.KIND].get(key)
        status = controller.status(seen, plan)
        if status is not None and present is not None and meta.revision(present) == revision:
            self._store(controller.KIND, {**deepcopy(present), "status": status}, present, "status")
        return plan

    def settle(self, controllers: Mapping[ModuleType, Mapping[str, Any]], others: Callable[[], None] | None = None,
               *, rounds: int = 40) -> None:  # fmt: skip
        """Turn every key of every controller (with its configuration) until nothing changes any more.

        `others` plays the rest of the world once a round. Raises NotConverging after so many rounds.
        """
        for _ in range(rounds):
            before = self._revision
            for controller, config in controllers.items():
                for key in self._keys(controller):
                    self.turn(controller, key, **config)
            if others is not None:
                others()
            if self._revision == before:
                return
        raise NotConverging(f"still changing after {rounds} rounds")

    def _keys(self, controller: ModuleType) -> Keys:
        if controller.__name__.endswith(".garbage"):
            return [(f"{kind.resource}|{key[0]}", key[1]) for kind in self.kinds for key in sorted(self._objects[kind])]
        return sorted({*self._objects[controller.KIND], *self._extra_keys(controller)})

    def _extra_keys(self, controller: ModuleType) -> Iterable[Key]:
        """Keys of what is gone but left something behind (Endpoints of a deleted Service)."""
        kinds = [watch.kind for watch in getattr(controller, "WATCHES", ()) if watch.found is None]
        return [key for kind in kinds if kind.resource == "endpoints" for key in self._objects[kind]]

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
