"""Which objects concern a loop, and which of its keys they concern."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vmpod.client.cache import Cache
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object

Key = tuple[str, str]


def _none(obj: Object) -> Iterable[Key]:
    return ()


@dataclass(frozen=True)
class Watch:
    """A change of an object of `kind` asks for attention to `keys(object)`, before and after the change.

    `found` does the same for relations that only other objects tell, e.g. the Services that select a Pod.
    """

    kind: Kind
    keys: Callable[[Object], Iterable[Key]] = _none
    found: Callable[[Object, Cache], Iterable[Key]] | None = None

    def concerned(self, obj: Object, cache: Cache) -> set[Key]:
        """The keys that the object concerns."""
        keys = set(self.keys(obj))
        if self.found is not None:
            keys.update(self.found(obj, cache))
        return keys


def key_of(obj: Object) -> Key:
    """(namespace, name)."""
    return meta.namespace(obj), meta.name(obj)


def own(kind: Kind) -> Watch:
    """The objects that the loop is for."""
    return Watch(kind, lambda obj: (key_of(obj),))


def owned_by(kind: Kind, owner_kind: Kind) -> Watch:
    """Objects of `kind` whose controller is of `owner_kind`: they concern that owner."""

    def keys(obj: Object) -> Iterable[Key]:
        owner = meta.controller_of(obj)
        if owner is None or owner.get("kind") != owner_kind.kind:
            return ()
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        return ((meta.namespace(obj), str(owner.get("name", ""))),) if group == owner_kind.group else ()

    return Watch(kind, keys)
