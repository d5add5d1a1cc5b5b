"""Loads scripts/bench as a module, without running it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module."""
    loader = importlib.machinery.SourceFileLoader("scripts_bench", str(ROOT / "scripts" / "bench"))
    spec = importlib.util.spec_from_loader("scripts_bench", loader)
    assert spec is not None
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "scripts_bench", module)
    loader.exec_module(module)
    return module
