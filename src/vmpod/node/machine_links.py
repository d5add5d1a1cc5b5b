"""The links of a machine's network cards: up or down, as its VMI says."""

from __future__ import annotations

from collections.abc import Mapping

from vmpod.drivers.qemu.args.net import device
from vmpod.drivers.qemu.qmp import Monitor, Refused
from vmpod.model.meta import Object, get

_MISSING = "DeviceNotFound"


def wanted(vmi: Object) -> dict[str, bool]:
    """Name of each card that the machine has by its spec, and whether its link is up."""
    cards = get(vmi, "spec", "domain", "devices", "interfaces", default=())
    return {str(one["name"]): one.get("state") != "down" for one in cards if one.get("state") != "absent"}


def down(vmi: Object) -> frozenset[str]:
    """The cards whose links are down by the status: what is known before the machine answers."""
    cards = get(vmi, "status", "interfaces", default=())
    return frozenset(str(one["name"]) for one in cards if one.get("linkState") == "down")


async def bring(qmp: Monitor, links: Mapping[str, bool]) -> frozenset[str]:
    """Set every link; the cards whose links are down now. Raises Gone, and Refused for what QEMU declines.

    A card that the machine does not have, as one that its spec names only since it runs, is passed over.
    """
    taken = set()
    for name, is_up in links.items():
        try:
            await qmp.execute("set_link", name=device(name), up=is_up)
        except Refused as problem:
            if problem.kind != _MISSING:
                raise
        else:
            taken |= set() if is_up else {name}
    return frozenset(taken)
