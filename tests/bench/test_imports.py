"""What the benchmark of imports tells; nothing here is timed."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import load


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "bench-imports")


def test_a_row_tells_speed_room_and_memory(imports: ModuleType) -> None:
    row = imports.Row("x", 2.0, 1.0, "cp", imports.Most(110 << 20, 30_000_000), 100 << 20, "disk ≤ 1.05 ×")
    assert row.cells() == ["x", "2.00 s", "1.00 s (cp)", "0.50 ×", "1.10 ×", "30 MB", "disk ≤ 1.05 ×"]
    assert imports.table([row]).splitlines()[2] == "| x | 2.00 s | 1.00 s (cp) | 0.50 × | 1.10 × | 30 MB | disk ≤ 1.05 × |"


def test_a_file_of_two_names_takes_room_once(imports: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 65536)
    os.link(tmp_path / "a", tmp_path / "b")
    assert imports.taken(tmp_path) == 65536


def test_the_server_sends_files(imports: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with imports.serving(tmp_path) as url, direct.open(f"{url}/a") as answer:
        assert answer.read() == b"x" * 100_000


def test_the_report_replaces_the_last_one(imports: ModuleType) -> None:
    text = f"words\n\n{imports.MARK}\n\nold\n\n{imports.END}\n\nbelow\n"
    assert imports.page(text, "new", imports.END) == text.replace("old", "new")
    with pytest.raises(SystemExit, match="lacks the line"):
        imports.page("words\n", "new", imports.END)


def test_the_page_has_its_marks(imports: ModuleType) -> None:
    text = imports.load_bench().PAGE.read_text()
    assert 0 < text.index(imports.MARK) < text.index(imports.END)
