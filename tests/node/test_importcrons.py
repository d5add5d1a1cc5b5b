"""When a registry is asked for an image."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vmpod.kinds.dataimportcron import LAST
from vmpod.node.importcrons import Look, Seen, plan

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "last", "looks", "again_in"),
    [
        ("0 * * * *", "", True, 60.0), ("", "", True, 60.0), ("", "2026-01-01T12:00:00Z", False, None),
        ("0 * * * *", "2026-01-01T12:00:00Z", False, 1800.0), ("0 * * * *", "2026-01-01T11:59:59Z", True, 60.0),
        ("0 0 * * *", "2026-01-01T12:00:00Z", False, 3600.0), ("0 0 30 2 *", "2026-01-01T12:00:00Z", False, None),
    ],
)  # fmt: skip
def test_it_looks_at_once_then_by_schedule(schedule: str, last: str, looks: bool, again_in: float | None) -> None:
    cron = {"metadata": {"name": "x", "annotations": {LAST: last} if last else {}}, "spec": {"schedule": schedule}}
    found = plan(Seen(cron, NOW))
    assert (found.actions == (Look(cron),), found.again_in) == (looks, again_in)


def test_one_that_is_deleted_looks_no_more() -> None:
    assert plan(Seen({"metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}, NOW)).actions == ()
