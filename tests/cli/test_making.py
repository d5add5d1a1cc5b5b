"""When what a verb makes is done, and what it says when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.cli.making import standing


def condition(type: str, status: str, **more: str) -> dict[str, str]:
    return {"type": type, "status": status, **more}


@pytest.mark.parametrize(
    ("status", "stands"),
    [
        ({}, (None, "")),
        ({"conditions": [condition("Ready", "True")]}, (True, "")),
        ({"conditions": [condition("Ready", "False"), condition("Progressing", "True", message="waits")]}, (None, "waits")),
        ({"conditions": [condition("Ready", "False", reason="not yet")]}, (None, "not yet")),
        ({"conditions": [condition("Ready", "False", reason="InUse", message="it runs")]}, (False, "it runs")),
        ({"phase": "Skipped", "conditions": [condition("Ready", "False", reason="no disks")]}, (False, "no disks")),
        ({"phase": "Failed", "conditions": [condition("Failure", "True", reason="too late")]}, (False, "too late")),
    ],
)
def test_how_it_stands(status: dict[str, Any], stands: tuple[bool | None, str]) -> None:
    assert standing({"status": status}) == stands
