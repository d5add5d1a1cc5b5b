"""Devices with a tag, as the guest's config drive describes them (OpenStack: device role tagging).

A card or a virtio disk sits alone behind a root port, which the firmware gives the bus number of its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.spec import Nic
from vmpod.model.meta import Object, get
from vmpod.node.translate.addresses import address_of, ports, root_slot
from vmpod.node.translate.machine_disks import entries, kind_of


def tagged_devices(vmi: Object, cards: Sequence[Nic]) -> list[Object]:
    """Cards and virtio disks that have a tag, by their PCI addresses; none on a board without root ports."""
    if "q35" not in str(get(vmi, "spec", "domain", "machine", "type", default="q35")):
        return []
    tags = {one["name"]: one.get("tag") for one in get(vmi, "spec", "domain", "devices", "interfaces", default=())}
    disks = [one for one in entries(vmi) if kind_of(one)[1].get("bus") == "virtio" and "lun" not in one]
    places = _places(vmi, cards, disks)
    found: list[Object] = [
        {"type": "nic", "bus": "pci", "address": places[f"nic-{card.name}"], "mac": card.mac,
         "tags": [str(tags[card.name])]}
        for card in cards if tags.get(card.name)
    ]
    for one in disks:
        if one.get("tag"):
            address = places[f"disk-{one['name']}"]
            made = {"type": "disk", "bus": "pci", "address": address, "tags": [str(one["tag"])]}
            found.append(made | ({"serial": str(one["serial"])} if one.get("serial") else {}))
    return found


def _places(vmi: Object, cards: Sequence[Nic], disks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The address of each card and disk: its own, or that of the root port which is left to it."""
    on_root = {f"disk-{one['name']}": address_of(one) for one in disks if root_slot(address_of(one))}
    given = {one["name"]: one for one in get(vmi, "spec", "domain", "devices", "interfaces", default=())}
    on_root |= {f"nic-{card.name}": address_of(given[card.name]) for card in cards if card.slot}
    names = [*(f"nic-{card.name}" for card in cards), *(f"disk-{one['name']}" for one in disks)]
    behind = pci.arranged([one for one in names if one not in on_root], ports(vmi))
    return on_root | {name: f"0000:{bus:02x}:00.0" for bus, name in enumerate(behind, 1) if name}
