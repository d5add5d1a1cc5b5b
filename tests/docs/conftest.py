"""What the tests of the documentation share."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def pages() -> list[Path]:
    """Every page of the documentation."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a program of scripts/ as a module, without running it."""

    def load(name: str) -> ModuleType:
        title = f"scripts_{name.replace('-', '_')}"
        loader = importlib.machinery.SourceFileLoader(title, str(ROOT / "scripts" / name))
        spec = importlib.util.spec_from_loader(title, loader)
        assert spec is not None
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, title, module)
        loader.exec_module(module)
        return module

    return load
