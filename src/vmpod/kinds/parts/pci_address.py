"""PCI addresses of disks and cards: `0000:BUS:SLOT.FUNCTION`, and those at which a device can be put here.

On q35 bus 1 and up are behind root ports, each with one place, 00.0; on bus 0 the upper slots are free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from vmpod.kinds.parts.reading import dig, indexed, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

_FORM: Final = re.compile(r"([\da-fA-F]{4}):([\da-fA-F]{2}):([\da-fA-F]{2})\.([0-7])")
_MOST_BUSES: Final = 24
_FREE_SLOTS: Final = range(0x10, 0x1F)


def is_address(text: str) -> bool:
    """Whether it has the form of one."""
    return _FORM.fullmatch(text) is not None


def parts(address: str) -> tuple[int, int, int, int]:
    """Domain, bus, slot and function of a well-formed address."""
    found = _FORM.fullmatch(address)
    assert found is not None
    domain, bus, slot, function = (int(one, 16) for one in found.groups())
    return domain, bus, slot, function


def fault(address: str, board: str) -> str:
    """Why a device cannot be put at a well-formed address; empty when it can."""
    domain, bus, slot, function = parts(address)
    if domain or function:
        return "only domain 0000 and function 0 are free"
    if bus == 0:
        return "" if slot in _FREE_SLOTS else "of bus 00 the slots 10 to 1e are free"
    if "q35" not in board:
        return f"the board {board} has bus 00 only"
    if slot or bus > _MOST_BUSES:
        return f"behind a root port there is slot 00 only, on the buses 01 to {_MOST_BUSES:02x}"
    return ""


def address_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every address of a machine at which its device cannot be."""
    board, seen = text(dig(spec, "domain", "machine"), "type"), dict[str, str]()
    for where, address in _given(spec, path):
        if not is_address(address):
            continue  # told by the rules of disks and of cards
        if why := fault(address, board):
            yield wrong(where, address, f"no device can be put there: {why}")
        elif other := seen.get(address.lower()):
            yield wrong(where, address, f"{other} has this address")
        seen.setdefault(address.lower(), where)


def _given(spec: Object, path: str) -> Iterator[tuple[str, str]]:
    devices = dig(spec, "domain", "devices")
    for here, card in indexed(devices, "interfaces", f"{path}.domain.devices"):
        if text(card, "pciAddress"):
            yield f"{here}.pciAddress", text(card, "pciAddress")
    for here, disk in indexed(devices, "disks", f"{path}.domain.devices"):
        if text(dig(disk, "disk"), "pciAddress"):
            yield f"{here}.disk.pciAddress", text(dig(disk, "disk"), "pciAddress")
