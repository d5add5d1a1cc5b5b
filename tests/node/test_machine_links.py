"""Links of network cards: what the VMI wants, and what QEMU is told."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.drivers.qemu.qmp import Refused
from vmpod.model.meta import Object
from vmpod.node import machine_links


class Told:
    """A monitor of a machine that has the cards a and b."""

    def __init__(self, kind: str = "DeviceNotFound") -> None:
        self.said: list[tuple[str, bool]] = []
        self._kind = kind

    async def execute(self, command: str, *, name: str, up: bool) -> Any:
        assert command == "set_link"
        if name not in ("nic-a", "nic-b"):
            raise Refused("set_link", f"Device '{name}' not found", self._kind)
        self.said.append((name, up))


def vmi(**states: str) -> Object:
    cards = [{"name": name, **({"state": state} if state else {})} for name, state in states.items()]
    shown = [{"name": name, "linkState": state} for name, state in states.items()]
    return {"spec": {"domain": {"devices": {"interfaces": cards}}}, "status": {"interfaces": shown}}


def test_what_is_wanted_and_what_was_told() -> None:
    made = vmi(a="down", b="", c="absent", d="up")
    assert machine_links.wanted(made) == {"a": False, "b": True, "d": True}
    assert machine_links.down(made) == {"a"}
    assert machine_links.wanted({}) == {} and not machine_links.down({})


async def test_every_link_is_set_and_a_missing_card_passed_over() -> None:
    told = Told()
    assert await machine_links.bring(told, {"a": False, "b": True, "gone": False}) == {"a"}  # type: ignore[arg-type]
    assert told.said == [("nic-a", False), ("nic-b", True)]


async def test_another_refusal_is_no_silence() -> None:
    with pytest.raises(Refused):
        await machine_links.bring(Told("GenericError"), {"gone": True})  # type: ignore[arg-type]
