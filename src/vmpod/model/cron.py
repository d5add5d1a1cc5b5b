"""Schedules as cron writes them: five fields, or a macro as `@daily`. All in UTC.

As in Kubernetes (robfig/cron): where both the day of the month and the day of the week are restricted, either will do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {**{name: str(number + 1) for number, name in enumerate(_MONTHS)},
          **{name: str(number) for number, name in enumerate(_DAYS)}}  # fmt: skip
_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6))
_PART = re.compile(r"(?:\*|\?|(\d+)(?:-(\d+))?)(?:/(\d+))?")
_FAR_DAYS = 366 * 8  # 29 February comes again within that


@dataclass(frozen=True)
class Schedule:
    """The minutes, hours … at which it is due; `is_either`: a day of the month or one of the week will do."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either: bool

    def includes(self, day: datetime) -> bool:
        """Whether it is due on that day."""
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (of_month or of_week if self.is_either else of_month and of_week)

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`; None for one that never comes, as 30 February."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(_FAR_DAYS):
            if self.includes(day):
                times = (day.replace(hour=hour, minute=minute) for hour in self.hours for minute in self.minutes)
                if found := next((one for one in times if one > moment), None):
                    return found
            day += timedelta(days=1)
        return None


def parse(text: str) -> Schedule:
    """Raises ValueError, which says what is wrong."""
    fields = _MACROS.get(text.strip(), text).lower().split()
    if len(fields) != len(_RANGES):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text!r}")
    sets = [_read(field, *bounds) for field, bounds in zip(fields, _RANGES, strict=True)]
    is_either = fields[2][0] not in "*?" and fields[4][0] not in "*?"
    return Schedule(tuple(sorted(sets[0])), tuple(sorted(sets[1])), sets[2], sets[3], sets[4], is_either)


def _read(text: str, name: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        said = re.sub(r"[a-z]+", lambda word: _NAMES.get(word[0], word[0]), part)
        match = _PART.fullmatch(said)
        if match is None:
            raise ValueError(f"{part!r} is no {name}")
        first, last, step = match[1], match[2], int(match[3] or 1)
        start = int(first) if first else least
        end = int(last) if last else most if match[3] or not first else start
        if not (least <= start <= end <= most) or step < 1:
            raise ValueError(f"{part!r} is no {name} from {least} to {most}")
        found |= set(range(start, end + 1, step))
    return frozenset(found)
