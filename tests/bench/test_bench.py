"""What the benchmark tells and how it judges; nothing here is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("value", "verdict"), [(0.6, "aim"), (0.7, "aim"), (0.9, "must"), (1.2, "missed")])
def test_smaller_is_better_for_times(bench: ModuleType, value: float, verdict: str) -> None:
    assert bench.Figure("start", value, "s", must=1.0, aim=0.7).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(10.5, "aim"), (12.9, "must"), (14.0, "missed")])
def test_a_ratio_is_judged_by_the_bare_tool(bench: ModuleType, value: float, verdict: str) -> None:
    assert bench.Figure("up", value, "s", 10.0, "podman", 1.3, 1.1, by_ratio=True).verdict == verdict


def test_more_is_better_for_rates(bench: ModuleType) -> None:
    assert bench.Figure("GET", 2000, "/s", aim=1500, more_is_better=True).verdict == "aim"
    assert bench.Figure("GET", 1000, "/s", aim=1500, more_is_better=True).verdict == ""


def test_table_shows_budget_value_bare_and_ratio(bench: ModuleType) -> None:
    figures = [bench.Figure("start", 0.82, "s", 0.4, "python", 1.0, 0.7), bench.Figure("GET", 3068, "/s")]
    lines = bench.table(figures).splitlines()
    assert lines[0] == "| figure | must | aim | vmpod | bare | ratio | meets |"
    assert lines[2] == "| start | < 1.00 s | < 0.70 s | 0.82 s | 0.40 s (python) | 2.05 × | must |"
    assert lines[3] == "| GET |  |  | 3,068 /s |  |  |  |"


def test_ratio_budget_is_shown_as_a_ratio(bench: ModuleType) -> None:
    row = bench.Figure("up", 12, "s", 10, "podman", 1.3, 1.1, by_ratio=True).row()
    assert row[1:3] == ["≤ 1.3 ×", "≤ 1.1 ×"]


def test_page_keeps_its_words_and_replaces_its_figures(bench: ModuleType) -> None:
    first = bench.page(f"# Benchmarks\n\nwords\n\n{bench.MARK}\n\nold\n", "new")
    assert first == f"# Benchmarks\n\nwords\n\n{bench.MARK}\n\nnew\n"
    assert bench.page(first, "new") == first
    with pytest.raises(SystemExit, match="lacks the line"):
        bench.page("# Benchmarks\n", "new")


def test_the_page_has_the_mark(bench: ModuleType) -> None:
    assert bench.PAGE.read_text().count(bench.MARK) == 1


def test_processor_is_the_model_of_cpuinfo(bench: ModuleType) -> None:
    assert bench.processor("processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nflags\t: x\n") == "Some CPU @ 2.0GHz"
    assert bench.processor("") != ""


def test_measurements_are_taken_in_turn(bench: ModuleType) -> None:
    order: list[str] = []
    ones, twos = iter((5.0, 1.0, 3.0)), iter((2.0, 4.0, 9.0))

    def first() -> float:
        order.append("a")
        return next(ones)

    def second() -> float:
        order.append("b")
        return next(twos)

    assert bench.in_turn(3, first, second) == [3.0, 4.0]
    assert order == ["a", "b"] * 3


def test_waiting_ends(bench: ModuleType) -> None:
    assert bench.until(lambda: "there") == "there"
    with pytest.raises(SystemExit, match="did not come"):
        bench.until(lambda: False, 0.001, 0.01)


def test_processes_are_found_by_program_and_word(bench: ModuleType) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()", "vmpod-bench-word"], stdin=subprocess.PIPE)
    try:
        program = Path(sys.executable).name
        assert bench.until(lambda: bench.processes("vmpod-bench-word", program), 0.01, 5) == [child.pid]
        assert bench.rss(child.pid) > 1 << 20
        assert bench.processes("vmpod-bench-word", "no-such-program") == []
    finally:
        child.communicate(b"\n")
    assert bench.rss(child.pid) == 0


def test_bare_shop_is_a_valid_script() -> None:
    subprocess.run(["bash", "-n", ROOT / "scripts" / "bare-shop"], check=True)
