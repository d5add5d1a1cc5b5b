"""The arithmetic of a Deployment's rollout: how many replicas each ReplicaSet should have next. Pure numbers.

Follows pkg/controller/deployment (rolling.go, sync.go) of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any


@dataclass(frozen=True)
class Share:
    """One ReplicaSet: name, wished and available replicas, the most its Deployment once allowed (0: unknown)."""

    name: str
    wanted: int
    available: int = 0
    maximum: int = 0


@dataclass(frozen=True)
class Bounds:
    """The size of a Deployment and how far a rollout may leave it."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.replicas + self.surge if self.replicas else 0

    @property
    def least(self) -> int:
        return max(0, self.replicas - self.unavailable)


def bounds(replicas: int, max_surge: Any, max_unavailable: Any) -> Bounds:
    """Surge is rounded up, unavailable down; both 0 would never move, so one may then be missing."""
    surge = _resolve(max_surge, replicas, ROUND_CEILING)
    unavailable = _resolve(max_unavailable, replicas, ROUND_FLOOR)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(replicas, surge, min(unavailable, replicas))


def _resolve(value: Any, replicas: int, rounding: str) -> int:
    if isinstance(value, str) and value.endswith("%"):
        share = Decimal(value[:-1]) * replicas / 100
        return int(share.to_integral_value(rounding=rounding))
    return int(value or 0)


def grow(limits: Bounds, new: Share, old: Sequence[Share]) -> int:
    """Replicas of the new ReplicaSet in the next step of a rolling update."""
    if new.wanted > limits.replicas:
        return limits.replicas
    room = limits.replicas + limits.surge - new.wanted - sum(one.wanted for one in old)
    return new.wanted + max(0, min(room, limits.replicas - new.wanted))


def shrink(limits: Bounds, new: Share, old: Sequence[Share]) -> dict[str, int]:
    """Replicas of the old ReplicaSets (oldest first) in the next step: broken ones go first, then the oldest."""
    sizes = {one.name: one.wanted for one in old}
    total = new.wanted + sum(sizes.values())
    room = total - limits.least - (new.wanted - new.available)
    if room <= 0:
        return sizes
    for one in old:
        gone = min(room, max(0, one.wanted - one.available))
        sizes[one.name] -= gone
        room -= gone
    spare = new.available + sum(min(one.available, sizes[one.name]) for one in old) - limits.least
    for one in old:
        gone = min(max(0, spare), sizes[one.name])
        sizes[one.name] -= gone
        spare -= gone
    return sizes


def spread(limits: Bounds, shares: Sequence[Share]) -> dict[str, int]:
    """Sizes after a scaling in the middle of a rollout: each in proportion. `shares` has the newest first."""
    total = sum(one.wanted for one in shares)
    missing = limits.most - total
    order = shares if missing >= 0 else list(reversed(shares))  # of equals the newest grows, the oldest shrinks
    ranked = sorted(order, key=lambda one: one.wanted, reverse=True)
    sizes = {one.name: one.wanted for one in shares}
    given = 0
    for one in ranked:
        if missing:
            part = _part(limits, one, missing, given)
            sizes[one.name] += part
            given += part
    for one in ranked:  # what rounding left over
        part = max(-sizes[one.name], missing - given)
        sizes[one.name] += part
        given += part
    return sizes


def _part(limits: Bounds, share: Share, missing: int, given: int) -> int:
    """What one ReplicaSet gains or loses."""
    if not share.wanted:
        return 0
    if not limits.replicas:
        return max(-share.wanted, missing - given)
    before = share.maximum or limits.most
    wished = (2 * share.wanted * limits.most + before) // (2 * before) - share.wanted
    left = missing - given
    return max(0, min(wished, left)) if missing > 0 else min(0, max(wished, left))
