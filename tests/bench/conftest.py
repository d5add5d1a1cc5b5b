"""Loads the programs of scripts/ as modules, without running them."""

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
    return load(monkeypatch, "bench")


def load(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """A program of scripts/ as a module, without running it."""
    loader = importlib.machinery.SourceFileLoader(f"scripts_{name.replace('-', '_')}", str(ROOT / "scripts" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, loader.name, module)
    loader.exec_module(module)
    return module
