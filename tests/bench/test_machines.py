"""What the benchmark of many machines tells; nothing here is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vmpod.drivers.qemu.command import argv
from vmpod.drivers.qemu.spec import MachineSpec, Nic

from .conftest import load


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "bench-machines")


@pytest.mark.parametrize(("percent", "value"), [(50, 3.0), (95, 5.0), (99, 5.0), (20, 1.0), (21, 2.0)])
def test_a_share_is_a_value_that_was_seen(crowd: ModuleType, percent: int, value: float) -> None:
    assert crowd.share([5.0, 1.0, 4.0, 2.0, 3.0], percent) == value
    assert crowd.share([], percent) == 0.0


def test_a_row_tells_each_machine_and_the_ratio(crowd: ModuleType) -> None:
    row = crowd.Row(2, started=[1.0, 2.0], whole=3.0, bare=2.5, asked=[0.001, 0.05], grown=1 << 20, monitors=3 << 20,
                    qemu=60 << 20)  # fmt: skip
    lines = crowd.table([row]).splitlines()
    assert lines[2] == "| 2 | 1.00 s | 2.00 s | 3.00 s | 2.50 s | 1.20 × | 2.0 MiB | 30 MiB | 1 ms | 50 ms |"
    assert {line.count("|") for line in lines} == {11}


def test_the_page_keeps_what_is_above_and_below(crowd: ModuleType) -> None:
    end = "<!-- other -->"
    text = f"words\n\n{crowd.MARK}\n\nold\n\n{end}\n\nbelow\n"
    fresh = crowd.page(text, "new", end)
    assert fresh == f"words\n\n{crowd.MARK}\n\nnew\n\n{end}\n\nbelow\n" and crowd.page(fresh, "new", end) == fresh
    with pytest.raises(SystemExit, match="lacks the line"):
        crowd.page("words\n", "new", end)


def test_the_page_has_both_marks_in_order(crowd: ModuleType) -> None:
    bench = crowd.load_bench()
    text = bench.PAGE.read_text()
    assert 0 < text.index(crowd.MARK) < text.index(bench.MARK)


def test_the_bare_machine_is_ours_without_its_network(crowd: ModuleType) -> None:
    nic = Nic("default", "tap0", "02:00:00:00:00:01", "virtio", 0, 1, 0)
    ours = argv(MachineSpec("default_crowd1", "5a9fc181-957e-5c32-9e5a-2de5e9673531", 32 << 20, nics=(nic,)))
    child = subprocess.Popen([sys.executable, "-c", "input()", *ours[1:]], stdin=subprocess.PIPE)
    try:
        crowd.load_bench().until(lambda: ours[-1] in Path(f"/proc/{child.pid}/cmdline").read_text(), 0.01, 5)
        bare = crowd.bare_arguments(child.pid)[2:]
    finally:
        child.communicate(b"\n")
    changed = [(old, new) for old, new in zip(ours[1:], bare, strict=True) if old != new]
    assert len(changed) == 2 and changed[0][1] == "guest=bare" and changed[1][1].startswith("user,id=")
    assert changed[1][0].startswith("tap,")
