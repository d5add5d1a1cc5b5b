"""A store in a fresh folder, and the check that no task or writer thread outlives a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from vmpod.store import Store
from vmpod.testing import leaks


@pytest.fixture(autouse=True)
async def _no_leaks() -> AsyncIterator[None]:
    before = leaks.threads()
    yield
    await leaks.assert_no_tasks()
    assert len(leaks.threads()) == len(before), "a store was not closed"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = Store.open(path, resources=["configmaps"])
    yield opened
    await opened.close()


@pytest.fixture
def made() -> Any:
    """Makes a ConfigMap."""

    def make(name: str = "a", namespace: str = "default", text: str = "", **labels: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"text": text},
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels},
        }  # fmt: skip

    return make
