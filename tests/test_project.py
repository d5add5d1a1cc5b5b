"""The project's own rules as tests: one command checks all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 600, 60
FLOORS = ("base", "model", "kinds", "store", "drivers", "client", "reconcile", "api", "controllers", "node", "intake",
          "cluster", "cli", "web", "testing")  # fmt: skip


def run(*argv: str) -> None:
    done = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff() -> None:
    run("ruff", "check", ".")


@pytest.mark.timeout(600)
def test_types() -> None:
    run("mypy")


def test_import_contracts() -> None:
    done = subprocess.run([str(Path(sys.executable).with_name("lint-imports")), "--config", "importlinter.ini"],
                          cwd=ROOT, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("floor", FLOORS)
def test_every_floor_is_there(floor: str) -> None:
    init = ROOT / "src/vmpod" / floor / "__init__.py"
    assert ast.get_docstring(ast.parse(init.read_text())), f"{floor} does not say what it is"


def test_modules_are_short_and_say_what_they_are() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert text.count("\n") <= MODULE_LINES, f"{path} is longer than {MODULE_LINES} lines"
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_functions_are_short() -> None:
    for path, node in functions():
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        assert lines <= FUNCTION_LINES, f"{path}:{node.name} has {lines} lines"


def test_nothing_is_left_to_do_later() -> None:
    for path in SOURCES:
        for word in ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error"):
            assert word not in path.read_text(), f"{path} says {word}"


def test_modules_are_nouns_of_the_domain() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not forbidden & {path.stem for path in SOURCES}


def test_every_dependency_has_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("]\n")[0].strip().splitlines()
    assert lines and all("#" in line for line in lines), "a dependency without a reason"
