"""Where the manifest puts disks and cards on the PCI bus. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmpod.kinds.parts.pci_address import parts
from vmpod.model.meta import Object, get


def root_slot(address: str) -> str:
    """The place on bus 0 itself, as QEMU spells it; empty for an address behind a root port, and for none."""
    if not address:
        return ""
    _, bus, slot, function = parts(address)
    return "" if bus else f"{slot:#x}.{function:#x}"


def address_of(device: Mapping[str, Any]) -> str:
    """What a disk or a card says about its address."""
    return str(device.get("pciAddress") or get(device, "disk", "pciAddress") or "")


def ports(vmi: Object) -> dict[str, int]:
    """The root ports that devices have by their addresses, counted from 0."""
    return {name: bus - 1 for name, address in _given(vmi) if (bus := parts(address)[1])}


def _given(vmi: Object) -> Iterator[tuple[str, str]]:
    devices = get(vmi, "spec", "domain", "devices", default={})
    for key, prefix in (("interfaces", "nic-"), ("disks", "disk-")):
        for one in devices.get(key) or ():
            if address := address_of(one):
                yield f"{prefix}{one['name']}", address
