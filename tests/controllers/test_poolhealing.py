"""Which machines of a pool are replaced because they do not start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vmpod.base.clock import rfc3339
from vmpod.controllers.poolhealing import left_s
from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEPOOL
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.testing.world import World

from . import test_virtualmachinepool as pools_test

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def healed(**autohealing: Any) -> Object:
    return {"spec": {"autohealing": autohealing}}


def machine(status: str, ago_s: float = 0.0, failures: int = 0) -> Object:
    ready = {"type": "Ready", "status": "True" if status == "Running" else "False",
             "lastTransitionTime": rfc3339(NOW - timedelta(seconds=ago_s))}
    failed = {"startFailure": {"consecutiveFailCount": failures}} if failures else {}
    return {"metadata": {"name": "m"}, "status": {"printableStatus": status, "conditions": [ready], **failed}}


@pytest.mark.parametrize(("wish", "vm", "left"), [
    ({}, machine("Running"), None),
    ({}, machine("Running", failures=2), None),
    ({}, machine("CrashLoopBackOff", failures=3), 0.0),
    ({"startUpFailureThreshold": 5}, machine("CrashLoopBackOff", 100, failures=3), 200.0),
    ({"startUpFailureThreshold": 1}, machine("Starting", failures=1), 0.0),
    ({}, machine("ErrorUnschedulable", 299), 1.0),
    ({}, machine("ErrorUnschedulable", 301), 0.0),
    ({"minFailingToStartDuration": "30s"}, machine("ImagePullBackOff", 20), 10.0),
    ({"minFailingToStartDuration": "0s"}, machine("ErrImagePull"), 0.0),
    ({}, machine("Stopped", 10_000), None),
    ({}, {"metadata": {"name": "m"}}, None),
])
def test_when_a_machine_is_due(wish: dict[str, Any], vm: Object, left: float | None) -> None:
    assert left_s(healed(**wish), vm, NOW) == left


def test_a_pool_that_says_nothing_heals_nothing() -> None:
    assert left_s({"spec": {}}, machine("CrashLoopBackOff", 10_000, failures=9), NOW) is None


def test_a_failing_machine_is_made_anew_under_its_number() -> None:
    world = World()
    world.put(VIRTUALMACHINEPOOL, pools_test.pool(autohealing={"startUpFailureThreshold": 2}))
    pools_test.settle(world)
    before = {meta.name(vm): meta.uid(vm) for vm in world.list(VIRTUALMACHINE)}
    assert list(before) == ["web-0", "web-1"]
    failed = {"printableStatus": "CrashLoopBackOff", "startFailure": {"consecutiveFailCount": 2}}
    world.update(VIRTUALMACHINE, "default", "web-0", {"status": failed}, "status")
    pools_test.settle(world)
    after = {meta.name(vm): meta.uid(vm) for vm in world.list(VIRTUALMACHINE)}
    assert list(after) == ["web-0", "web-1"]
    assert after["web-0"] != before["web-0"] and after["web-1"] == before["web-1"]


@pytest.mark.parametrize(("wish", "path"), [
    ({"startUpFailureThreshold": -1}, "spec.autohealing.startUpFailureThreshold"),
    ({"minFailingToStartDuration": "soon"}, "spec.autohealing.minFailingToStartDuration"),
    ({"minFailingToStartDuration": "-1s"}, "spec.autohealing.minFailingToStartDuration"),
])
def test_nonsense_is_refused_by_path(wish: dict[str, Any], path: str) -> None:
    made = VIRTUALMACHINEPOOL.default(pools_test.pool(autohealing=wish))
    assert [one.path for one in VIRTUALMACHINEPOOL.validate(made, None)] == [path]
    well = VIRTUALMACHINEPOOL.default(pools_test.pool(autohealing={"minFailingToStartDuration": "90s"}))
    assert VIRTUALMACHINEPOOL.validate(well, None) == [] and not VIRTUALMACHINEPOOL.warnings(well)
