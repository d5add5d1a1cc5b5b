"""Go's durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import duration


@pytest.mark.parametrize(("text", "s"), [
    ("5m", 300.0), ("1h30m", 5400.0), ("300ms", 0.3), ("1.5h", 5400.0), ("-2s", -2.0), ("+.5s", 0.5), ("0", 0.0),
    ("2h45m30.5s", 9930.5), ("1us", 1e-6), ("1µs", 1e-6), ("0s", 0.0), ("5m0s", 300.0),
])  # fmt: skip
def test_durations(text: str, s: float) -> None:
    assert duration.seconds(text) == s


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5m ", "1d", "--1s", ".s", "5m-3s", "9999999999999h", "٣s"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="time: invalid duration"):
        duration.seconds(text)


@given(st.integers(0, 1000), st.integers(0, 59), st.integers(0, 59))
def test_the_parts_add_up(h: int, m: int, s: int) -> None:
    assert duration.seconds(f"{h}h{m}m{s}s") == h * 3600 + m * 60 + s
