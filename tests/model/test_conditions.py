from __future__ import annotations

from datetime import UTC, datetime

from vmpod.model import conditions

ONE = datetime(2026, 1, 1, tzinfo=UTC)
TWO = datetime(2026, 1, 2, tzinfo=UTC)


def test_set() -> None:
    first = conditions.set_condition(None, "Ready", False, "Starting", "wait", ONE)
    assert first == [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Starting", "message": "wait"}]
    same = conditions.set_condition(first, "Ready", "False", "Other", "", TWO)
    assert same == [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Other"}]
    changed = conditions.set_condition(same, "Ready", True, "", "", TWO)
    assert changed == [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T00:00:00Z"}]


def test_order_and_others_stay() -> None:
    start = [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]
    found = conditions.set_condition(start, "A", "False", "", "", ONE, lastProbeTime=None)
    assert [one["type"] for one in found] == ["A", "B"]
    assert found[0]["lastProbeTime"] is None
    assert start[0]["status"] == "True"
    assert [one["type"] for one in conditions.set_condition(start, "C", "True", "", "", ONE)] == ["A", "B", "C"]


def test_reading() -> None:
    some = [{"type": "A", "status": "True"}, {"type": "B", "status": "Unknown"}]
    assert conditions.is_true(some, "A")
    assert not conditions.is_true(some, "B")
    assert not conditions.is_true(None, "A")
    assert conditions.find(some, "B") == {"type": "B", "status": "Unknown"}
    assert conditions.without(some, "A") == [{"type": "B", "status": "Unknown"}]
