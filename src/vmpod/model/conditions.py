"""Conditions: entries of `status.conditions`, told apart by `type`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vmpod.base.clock import rfc3339
from vmpod.model.meta import Object

Conditions = Sequence[Mapping[str, Any]]


def find(conditions: Conditions | None, type: str) -> Object | None:
    """A copy of the condition of a type, None when there is none."""
    return next((dict(one) for one in conditions or () if one.get("type") == type), None)


def is_true(conditions: Conditions | None, type: str) -> bool:
    """Whether the condition exists with status `True`."""
    found = find(conditions, type)
    return found is not None and found.get("status") == "True"


def set_condition(
    conditions: Conditions | None,
    type: str,
    status: str | bool,
    reason: str,
    message: str,
    now: datetime,
    **extra: Any,
) -> list[Object]:
    """The conditions with one set or added; the order of the others stays.

    `lastTransitionTime` moves to `now` only when `status` changes. Empty `reason` and `message` are left out;
    a key in `extra` (e.g. `lastProbeTime=None`, `observedGeneration=3`) is written as it is.
    """
    text = status if isinstance(status, str) else str(status)
    before = find(conditions, type) or {}
    same = before.get("status") == text and before.get("lastTransitionTime")
    fresh: Object = {"type": type, "status": text, **extra}
    fresh["lastTransitionTime"] = before["lastTransitionTime"] if same else rfc3339(now)
    fresh |= {key: value for key, value in (("reason", reason), ("message", message)) if value}
    return _put(conditions or (), fresh)


def _put(conditions: Conditions, fresh: Object) -> list[Object]:
    result = [fresh if one.get("type") == fresh["type"] else dict(one) for one in conditions]
    return result if any(one is fresh for one in result) else [*result, fresh]


def without(conditions: Conditions | None, type: str) -> list[Object]:
    """The conditions less the one of a type."""
    return [dict(one) for one in conditions or () if one.get("type") != type]
