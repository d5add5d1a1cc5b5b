"""The plain display."""

from __future__ import annotations

import pytest

from vmpod.cli import progress
from vmpod.cli.progress import Progress


def test_a_line_for_each_change_of_words_not_of_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        for why in ("importing 1%", "importing 2%", "booting", "booting", ""):
            shown.show({"vm": why})
    lines = [line.split(maxsplit=3)[3] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["importing 1%", "booting", "ready"]


def test_numbers_that_go_on_are_shown_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SAME_AGAIN_S", -1.0)
    with Progress() as shown:
        shown.show({"vm": "importing 1%"})
        shown.show({"vm": "importing 2%"})
    assert len(capsys.readouterr().err.splitlines()) == 2
