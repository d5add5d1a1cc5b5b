"""Files that can be opened, and those that cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.store import Store
from vmpod.store.migrate import VERSION


async def test_a_new_file_has_the_present_version(path: Path) -> None:
    await Store.open(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_file_of_a_newer_vmpod_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(Problem, match="a newer vmpod wrote it") as problem:
        Store.open(path)
    assert problem.value.reason == "NewerStore"


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(Problem, match=r"store.db: file is not a database"):
        Store.open(path)


def test_a_missing_folder_is_named(path: Path) -> None:
    with pytest.raises(Problem, match="unable to open database file"):
        Store.open(path.parent / "nowhere" / "store.db")


async def test_a_file_in_use_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmpod.store import log

    monkeypatch.setattr(log, "PATIENCE_S", 0.05)
    store = Store.open(path)
    with pytest.raises(Problem, match="locked"):
        Store.open(path)
    await store.close()
