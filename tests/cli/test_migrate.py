"""How a migration stands, in words for people."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.cli.migrate_ import standing

STATE = {"sourceNode": "a", "targetNode": "b"}


def condition(type: str, message: str) -> dict[str, str]:
    return {"type": type, "status": "True", "message": message}


@pytest.mark.parametrize(
    ("status", "stands"),
    [
        (None, (False, "the migration was deleted; the machine stays where it is")),
        ({}, (None, "Pending")),
        ({"phase": "Running"}, (None, "Running")),
        ({"phase": "Scheduling", "conditions": [condition("vmpod.io/Waiting", "no room")]}, (None, "no room")),
        ({"phase": "Succeeded", "migrationState": STATE, "conditions": [condition("vmpod.io/Downtime", "5 ms")]},
         (True, "moved from a to b; 5 ms")),
        ({"phase": "Succeeded", "migrationState": STATE}, (True, "moved from a to b")),
        ({"phase": "Failed", "migrationState": {"failureReason": "why"}}, (False, "why")),
        ({"phase": "Failed"}, (False, "it did not begin; the machine stays where it is")),
    ],
)  # fmt: skip
def test_how_it_stands(status: dict[str, Any] | None, stands: tuple[bool | None, str]) -> None:
    assert standing(None if status is None else {"status": status}) == stands
