"""Schedules: what they mean, and that the next time is the first one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import cron

NOW = datetime(2026, 2, 27, 12, 34, 56, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2026-02-27 12:35"), ("0 * * * *", "2026-02-27 13:00"), ("30 12 * * *", "2026-02-28 12:30"),
        ("*/20 * * * *", "2026-02-27 12:40"), ("5-10/2 13,14 * * *", "2026-02-27 13:05"), ("0 0 1 * *", "2026-03-01 00:00"),
        ("0 0 * * sun", "2026-03-01 00:00"), ("0 0 15 * fri", "2026-03-06 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"), ("15 6 * jan-mar mon-fri", "2026-03-02 06:15"), ("@daily", "2026-02-28 00:00"),
        ("@yearly", "2027-01-01 00:00"), ("0 0 */10 * *", "2026-03-01 00:00"),
    ],
)  # fmt: skip
def test_the_next_time(text: str, expected: str) -> None:
    assert cron.parse(text).after(NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_time_that_never_comes() -> None:
    assert cron.parse("0 0 30 2 *").after(NOW) is None


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "a * * * *", "5-1 * * * *",
                                  "*/0 * * * *", "1, * * * *", "@often", "-1 * * * *", "* * * * 7"])  # fmt: skip
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(ValueError):
        cron.parse(text)


_FIELD = st.one_of(st.just("*"), st.integers(1, 6).map(str), st.integers(1, 9).map(lambda step: f"*/{step}"))


@given(st.lists(_FIELD, min_size=5, max_size=5), st.integers(0, 600_000))
def test_nothing_is_due_before_the_next_time(fields: list[str], minutes: int) -> None:
    schedule, moment = cron.parse(" ".join(fields)), NOW + timedelta(minutes=minutes)
    found = schedule.after(moment)
    assert found is not None and found > moment and schedule.includes(found)
    assert (found.minute in schedule.minutes) and (found.hour in schedule.hours)
    one = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(2000):
        if one >= found:
            break
        assert not (schedule.includes(one) and one.hour in schedule.hours and one.minute in schedule.minutes)
        one += timedelta(minutes=1)
