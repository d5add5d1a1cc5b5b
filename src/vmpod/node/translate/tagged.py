"""Devices with a tag, as the guest's config drive describes them (OpenStack: device role tagging).

A card or a virtio disk sits alone behind a root port, which the firmware gives the bus number of its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmpod.drivers.qemu.spec import Nic
from vmpod.model.meta import Object, get
from vmpod.node.translate.machine_disks import entries, kind_of


def tagged_devices(vmi: Object, cards: Sequence[Nic]) -> list[Object]:
    """Cards and virtio disks that have a tag, by their PCI addresses; none on a board without root ports."""
    if "q35" not in str(get(vmi, "spec", "domain", "machine", "type", default="q35")):
        return []
    tags = {one["name"]: one.get("tag") for one in get(vmi, "spec", "domain", "devices", "interfaces", default=())}
    found: list[Object] = [
        {"type": "nic", "bus": "pci", "address": _address(place), "mac": card.mac, "tags": [str(tags[card.name])]}
        for place, card in enumerate(cards, 1) if tags.get(card.name)
    ]
    disks = [one for one in entries(vmi) if kind_of(one)[1].get("bus") == "virtio" and "lun" not in one]
    for place, one in enumerate(disks, len(cards) + 1):
        if one.get("tag"):
            made = {"type": "disk", "bus": "pci", "address": _address(place), "tags": [str(one["tag"])]}
            found.append(made | ({"serial": str(one["serial"])} if one.get("serial") else {}))
    return found


def _address(place: int) -> str:
    return f"0000:{place:02x}:00.0"
