"""Settings, events and conditions of the code stand in the reference."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from vmpod.base.settings import Settings

_CALLS = ("Note", "_note", "warn", "normal")
_REASON = re.compile(r"[A-Z]\w+")


def sources(root: Path) -> list[Path]:
    return sorted((root / "src/vmpod").rglob("*.py"))


def reasons(tree: ast.AST) -> Iterator[str]:
    """Reasons of events that stand in the code as they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _CALLS:
                values = [one.value for one in node.args[:3] if isinstance(one, ast.Constant)]
                words = [one for one in values if isinstance(one, str) and _REASON.fullmatch(one)]
                yield from (one for one in words if one not in ("Normal", "Warning"))


def test_every_reason_of_an_event_is_told(root: Path) -> None:
    page = (root / "docs/reference/events-and-conditions.md").read_text()
    found = {one for source in sources(root) for one in reasons(ast.parse(source.read_text()))}
    assert len(found) > 20
    assert sorted(one for one in found if f"`{one}`" not in page) == []


def test_every_mark_of_ours_is_told(root: Path) -> None:
    """Annotations, labels and conditions of the domain vmpod.io."""
    pages = "".join((root / "docs/reference" / name).read_text()
                    for name in ("settings.md", "events-and-conditions.md"))
    found = {one for source in sources(root) for one in re.findall(r'"(vmpod\.io/[\w-]+)"', source.read_text())}
    assert "vmpod.io/Relaxed" in found
    assert sorted(one for one in found if one not in pages) == []


def test_reasons_of_failed_imports_are_told(root: Path) -> None:
    from vmpod.node import imports

    page = (root / "docs/reference/events-and-conditions.md").read_text()
    assert sorted(one for one in imports._STUBBORN if f"`{one}`" not in page) == []


def test_every_setting_is_told(root: Path) -> None:
    page = (root / "docs/reference/settings.md").read_text()
    assert [one.name for one in fields(Settings) if f"| `{one.name}` |" not in page] == []


def test_every_variable_of_the_environment_is_told(root: Path) -> None:
    page = (root / "docs/reference/settings.md").read_text()
    found = {one for source in sources(root) for one in re.findall(r"\bVMPOD_[A-Z_]+", source.read_text())}
    assert "VMPOD_HOME" in found
    assert sorted(one for one in found if f"`{one}`" not in page) == []


def test_the_defaults_told_are_those_of_the_code(root: Path) -> None:
    page = (root / "docs/reference/settings.md").read_text()
    default = Settings()
    for name, value in (("listen", default.listen), ("egress", "true"), ("strict_scheduling", "false")):
        assert re.search(rf"^\| `{name}` \|.*\| `{re.escape(str(value))}` \|", page, re.MULTILINE), name
