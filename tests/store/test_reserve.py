"""The room that is kept for the store."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from vmpod.base.errors import Problem
from vmpod.store import reserve
from vmpod.store.log import Appended, Log, Write, connect
from vmpod.store.reserve import Reserve


def a_map(name: str, size: int = 0) -> Write:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": "x" * size}}
    return Write("create", "configmaps", "default", name, obj, 0)


def test_it_is_taken_once_and_given_away_once(tmp_path: Path) -> None:
    room = Reserve(tmp_path / "store.reserve")
    assert not room.release()
    room.take()
    room.take()
    file = tmp_path / "store.reserve"
    assert file.stat().st_blocks * 512 >= 1 << 20 and file.stat().st_mode & 0o777 == 0o600
    assert room.release() and not room.release() and not file.exists()


def test_it_is_not_taken_from_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    Reserve(tmp_path / "store.reserve").take()
    assert not list(tmp_path.iterdir())


def test_a_store_in_memory_has_none() -> None:
    assert reserve.beside("") is None


def test_a_full_disk_releases_it_and_what_came_of_it_is_stored(tmp_path: Path) -> None:
    log = Log(connect(tmp_path / "store.db"))
    room = tmp_path / "store.reserve"
    assert room.exists()
    pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
    log._connection.execute(f"PRAGMA max_page_count={pages + 2}")
    taken = Reserve.release

    def release(one: Reserve) -> bool:
        log._connection.execute(f"PRAGMA max_page_count={pages + 40}")
        return taken(one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reserve, "release", release)
        (told,) = log.commit([a_map("big", 40_000)])
    assert isinstance(told, Appended) and not room.exists()
    assert all(isinstance(one, Problem) and one.reason == "DiskFull" for one in log.commit([a_map("more", 400_000)]))
    log._connection.execute("PRAGMA max_page_count=100000")
    log.checkpoint()
    assert room.exists()
    log.close()


def test_errors_of_another_kind_leave_it(tmp_path: Path) -> None:
    log = Log(connect(tmp_path / "store.db"))
    log._connection.execute("DROP TABLE current")
    with pytest.raises(sqlite3.Error):
        log._connection.execute("SELECT * FROM current")
    (told,) = log.commit([a_map("a")])
    assert isinstance(told, Problem) and (tmp_path / "store.reserve").exists()
    log.close()
