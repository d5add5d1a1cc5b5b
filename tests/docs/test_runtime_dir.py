"""docs/explanation/runtime-dir.md names every file of a home."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpod.api.auth import Pki
from vmpod.base.paths import Paths

HOME = Path("/h")


def rows(root: Path) -> list[str]:
    """The first column of the tables about files in the home."""
    page = (root / "docs/explanation/runtime-dir.md").read_text().partition("## Outside the home")[0]
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


def pattern(row: str) -> re.Pattern[str]:
    """Capitals stand for a part of a name, `…` for everything below."""
    text = re.escape(row).replace("…", ".+")
    return re.compile(re.sub(r"(?<![a-z])[A-Z][A-Z0-9]+(?![a-z])", "[^/]+", text) + "(\\.new)?")


def files(kind: type, value: object) -> Iterator[tuple[str, Path]]:
    """The properties of a value that are paths."""
    for name, member in inspect.getmembers(kind, lambda one: isinstance(one, property)):
        found = member.fget(value)
        if isinstance(found, Path):
            yield name, found


@pytest.mark.parametrize(
    ("row", "path", "matches"),
    [
        ("disks/bases/SHA256.qcow2", "disks/bases/ab12.qcow2", True),
        ("disks/bases/SHA256.qcow2", "disks/bases/a/b.qcow2", False),
        ("pods/UID/volumes/VOLUME/…", "pods/1/volumes/v/..data/x", True),
        ("home.json", "home.json.new", True),
        ("home.json", "homeXjson", False),
    ],
)
def test_patterns(row: str, path: str, matches: bool) -> None:
    assert bool(pattern(row).fullmatch(path)) is matches


def test_every_path_of_the_code_is_named(root: Path) -> None:
    named = rows(root)
    found = {name: str(path.relative_to(HOME)) for name, path in files(Paths, Paths(HOME)) if path != HOME}
    found |= {name: str(path.relative_to(HOME)) for name, path in files(Pki, Pki(HOME / "pki"))}
    missing = [path for path in found.values()
               if not any(pattern(row).fullmatch(path) or row.startswith(f"{path}/") for row in named)]
    assert missing == []


@pytest.mark.host
def test_a_real_home_holds_nothing_else(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An engine is started and asked; every file that is there is on the page."""
    home = tmp_path_factory.mktemp("h")
    env = os.environ | {"VMPOD_HOME": str(home), "VMPOD_EGRESS": "off"}

    def vmpod(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "vmpod", *arguments], env=env, capture_output=True, text=True,
                              timeout=120, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        vmpod("engine", "start")
        vmpod("status")
        known = [pattern(row) for row in rows(root)]
        there = [str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir() or path.is_symlink()]
        assert [path for path in there if not any(one.fullmatch(path) for one in known)] == []
        assert {"kubeconfig", "store.db", "network/config.json"} <= set(there)
    finally:
        vmpod("engine", "stop", "--purge")
    assert not home.exists()
