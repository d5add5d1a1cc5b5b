"""The machine that a restore waits for: it must not run. Pure."""

from __future__ import annotations

from datetime import datetime

from vmpod.base.clock import parse
from vmpod.kinds import VIRTUALMACHINE
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, name, namespace
from vmpod.reconcile.actions import Note, Patch, Plan

_GRACE_S = 300.0


def plan(restore: Object, vm: Object | None, vmi: Object, now: datetime) -> Plan:
    """Stop it where that is asked for, else look again when its time is over."""
    note = Note("Normal", "RestoreTargetNotReady", "Restore target VMI still exists", restore)
    policy = get(restore, "spec", "targetReadinessPolicy") or "WaitGracePeriodAndFail"
    if policy == "StopTarget" and vm is not None and not is_deleting(vmi):
        spec = {"running": False} if get(vm, "spec", "running") is not None else {"runStrategy": "Halted"}
        return Plan((Patch(VIRTUALMACHINE, namespace(vm), name(vm), {"spec": spec}),), 5.0, (note,))
    first = conditions.find(get(restore, "status", "conditions"), "Ready") or {}
    events = () if first.get("reason") == "Waiting for target to be ready" else (note,)
    return Plan((), max(_left_s(restore, now), 0.1), events)


def _left_s(restore: Object, now: datetime) -> float:
    created = parse(str(get(restore, "metadata", "creationTimestamp")))
    return _GRACE_S - (now - created).total_seconds()


def told(fresh: Object, progressing: bool, what: str, ready: str, now: datetime) -> Object:
    """A status that is not Ready, for a reason."""
    found = conditions.set_condition(fresh.get("conditions"), "Progressing", progressing, what, "", now)
    fresh["conditions"] = conditions.set_condition(found, "Ready", False, ready, "", now)
    return fresh


def not_ready(restore: Object, fresh: Object, now: datetime) -> Object:
    """The status of a restore that waits, or has waited too long."""
    policy = get(restore, "spec", "targetReadinessPolicy") or "WaitGracePeriodAndFail"
    why = ""
    if policy == "FailImmediate":
        why = "Restore target not ready"
    elif policy == "WaitGracePeriodAndFail" and _left_s(restore, now) <= 0:
        why = "Restore target failed to be ready within 5m0s"
    if not why:
        waiting = "Waiting for target to be ready"
        return told(fresh, False, waiting, waiting, now)
    fresh = told(fresh, False, "Operation failed", "Operation failed", now)
    fresh["conditions"] = conditions.set_condition(fresh["conditions"], "Failure", True, why, "", now)
    return fresh
