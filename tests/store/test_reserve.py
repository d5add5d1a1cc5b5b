"""The room that is kept for the store."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from vmpod.base.errors import Problem
from vmpod.store import reserve
from vmpod.store.log import Appended, Log, Write, connect


def a_map(name: str, size: int = 0) -> Write:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": "x" * size}}
    return Write("create", "configmaps", "default", name, obj, 0)


def held(folder: Path) -> int:
    """The bytes that the log in the folder has on the disk."""
    return (folder / "store.db-wal").stat().st_blocks * 512


def frames(folder: Path) -> int:
    """How many frames SQLite itself finds in a copy of the log."""
    copy = folder / "copy"
    copy.mkdir()
    for name in ("store.db", "store.db-wal"):
        shutil.copy(folder / name, copy / name)
    with closing(sqlite3.connect(copy / "store.db")) as again:
        count = int(again.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])
    shutil.rmtree(copy)
    return count


@pytest.mark.parametrize("checked", [(), (3,), (5, 20), tuple(range(30))])
def test_there_is_always_room_behind_the_last_frame(tmp_path: Path, checked: tuple[int, ...]) -> None:
    log = Log(connect(tmp_path / "store.db"))
    assert held(tmp_path) >= reserve.BYTES
    for number in range(30):
        log.commit([a_map(f"m{number}", 100_000 if number % 7 == 0 else 9_000)])
        assert held(tmp_path) >= frames(tmp_path) * (4096 + 24) + reserve.BYTES // 2
        if number in checked:
            log.checkpoint()
    assert held(tmp_path) <= 8 << 20
    log.close()


def test_it_is_not_taken_from_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    log = Log(connect(tmp_path / "store.db"))
    assert held(tmp_path) < reserve.BYTES
    log.close()


def test_a_store_in_memory_has_none() -> None:
    log = Log(connect(Path(":memory:")))
    assert isinstance(log.commit([a_map("a")])[0], Appended)
    log.close()


@pytest.mark.parametrize("checked", [0, 1, 5])
def test_what_is_in_a_held_log_is_there_after_a_crash(tmp_path: Path, checked: int) -> None:
    """Also when an older round of the log lies behind the newest."""
    log = Log(connect(tmp_path / "store.db"))
    for number in range(6):
        log.commit([a_map(f"m{number}", 9000)])
        if number < checked:
            log.checkpoint()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("store.db", "store.db-wal"):
        shutil.copy(tmp_path / name, copy / name)
    again = connect(copy / "store.db")
    names = again.execute("SELECT name FROM current ORDER BY name").fetchall()
    assert [name for (name,) in names] == [f"m{number}" for number in range(6)]
    again.close()
    log.close()


def test_a_full_disk_is_met_once_more_after_a_checkpoint_and_then_said(tmp_path: Path) -> None:
    log = Log(connect(tmp_path / "store.db"))
    log.commit([a_map("a")])
    pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
    log._connection.execute(f"PRAGMA max_page_count={pages + 2}")
    (told,) = log.commit([a_map("big", 400_000)])
    assert isinstance(told, Problem) and told.reason == "DiskFull"
    log._connection.execute("PRAGMA max_page_count=100000")
    assert isinstance(log.commit([a_map("big", 400_000)])[0], Appended)
    log.close()
