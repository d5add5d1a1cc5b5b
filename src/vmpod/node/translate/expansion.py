"""Whether a claim is to grow. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vmpod.model import quantity
from vmpod.model.meta import Object, get, is_deleting, name
from vmpod.node.translate import claim as claims
from vmpod.reconcile.actions import Note

_LOOK_S = 2.0


@dataclass(frozen=True)
class Seen:
    """A claim, the volume that it is bound to, and the classes."""

    claim: Object
    volume: Object | None
    classes: tuple[Object, ...]


@dataclass(frozen=True)
class Grow:
    """Make the disk on the volume as large as the claim asks for, then the volume."""

    claim: Object
    volume: Object
    size_bytes: int


@dataclass(frozen=True)
class GrowthPlan:
    """What to do about one claim."""

    actions: tuple[Grow, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()


def plan(seen: Seen) -> GrowthPlan:
    """Grow a bound volume of ours that its class lets grow; after a failure look again."""
    claim, volume = seen.claim, seen.volume
    if is_deleting(claim) or volume is None or not (claims.is_bound_to(volume, claim) and claims.is_ours(volume)):
        return GrowthPlan()
    wanted, has = claims.size_bytes(claim), quantity.to_bytes(get(volume, "spec", "capacity", "storage", default="0"))
    if wanted <= has:
        return GrowthPlan()
    if not _may_grow(volume, seen.classes):
        text = f"the storage class {get(volume, 'spec', 'storageClassName')} does not allow volume expansion"
        return GrowthPlan(events=(Note("Warning", "VolumeResizeFailed", text, claim),))
    return GrowthPlan((Grow(claim, volume, wanted),), _LOOK_S)


def _may_grow(volume: Object, classes: Iterable[Object]) -> bool:
    named = get(volume, "spec", "storageClassName")
    return any(name(one) == named and one.get("allowVolumeExpansion") is True for one in classes)
