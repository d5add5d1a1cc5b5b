"""A frozen guest is thawed: when somebody says so, when its time is over, by the next engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.node.machine_freeze import DEFAULT_S, Freezer, timeout_s


class Guest:
    """An agent that remembers what it was asked; `refuses` once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told: list[bool] = []
        self.refuses = ""

    async def ask(self, command: str, seconds: float) -> None:
        self.asked.append(command.removeprefix("guest-fsfreeze-"))
        if self.refuses:
            raise Problem("freeze", "no", reason=self.refuses)


@pytest.mark.parametrize(("text", "seconds"), [
    ("5m0s", 300.0), ("1h2m3s", 3723.0), ("1.5s", 1.5), ("250ms", 0.25), ("", DEFAULT_S), ("0s", DEFAULT_S), ("soon", DEFAULT_S),
])  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert timeout_s(text) == pytest.approx(seconds)


async def until(guest: Guest, told: list[bool]) -> None:
    async with asyncio.timeout(60):
        while guest.told != told:
            await asyncio.sleep(0.01)


async def test_it_thaws_by_itself(tmp_path: Path) -> None:
    guest = Guest()
    freezer = Freezer(tmp_path / "thaw-at", guest.ask, guest.told.append)
    following = asyncio.ensure_future(freezer.follow())
    await freezer.freeze(0.05)
    assert freezer.is_held
    await until(guest, [True, False])
    assert guest.asked == ["freeze", "thaw"] and not freezer.is_held
    following.cancel()


async def test_the_next_engine_thaws_what_is_overdue(tmp_path: Path) -> None:
    guest = Guest()
    await Freezer(tmp_path / "thaw-at", guest.ask, guest.told.append).freeze(0.0)
    following = asyncio.ensure_future(Freezer(tmp_path / "thaw-at", guest.ask, guest.told.append).follow())
    await until(guest, [True, False])
    following.cancel()


@pytest.mark.parametrize("reason", ["Refused", "NoAgent"])
async def test_what_was_not_frozen_has_no_end(tmp_path: Path, reason: str) -> None:
    guest = Guest()
    guest.refuses = reason
    freezer = Freezer(tmp_path / "thaw-at", guest.ask, guest.told.append)
    with pytest.raises(Problem):
        await freezer.freeze(1.0)
    assert not freezer.is_held and guest.told == []


async def test_one_that_did_not_answer_may_be_frozen_and_is_thawed(tmp_path: Path) -> None:
    guest = Guest()
    guest.refuses = "Timeout"
    freezer = Freezer(tmp_path / "thaw-at", guest.ask, guest.told.append)
    with pytest.raises(Problem):
        await freezer.freeze(60.0)
    guest.refuses = ""
    following = asyncio.ensure_future(freezer.follow())
    await until(guest, [False])
    assert guest.asked == ["freeze", "thaw"] and not freezer.is_held
    following.cancel()


async def test_what_is_released_is_thawed_at_once(tmp_path: Path) -> None:
    guest = Guest()
    freezer = Freezer(tmp_path / "thaw-at", guest.ask, guest.told.append)
    following = asyncio.ensure_future(freezer.follow())
    await freezer.freeze(60.0)
    freezer.release()
    await until(guest, [True, False])
    following.cancel()


async def test_thawed_by_hand(tmp_path: Path) -> None:
    guest = Guest()
    freezer = Freezer(tmp_path / "thaw-at", guest.ask, guest.told.append)
    await freezer.freeze(60.0)
    await freezer.thaw()
    assert guest.asked == ["freeze", "thaw"] and guest.told == [True, False] and not freezer.is_held
