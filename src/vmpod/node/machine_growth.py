"""A running machine grows: processors are plugged in socket by socket, memory is offered to the guest (virtio-mem)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.host import facts as host
from vmpod.drivers.qemu.args.memory import GROWTH
from vmpod.drivers.qemu.qmp import Monitor, Refused
from vmpod.node.status.machine import Size

Slot = Mapping[str, Any]


def full_sockets(slots: Sequence[Slot]) -> int:
    """Sockets of which every processor is plugged in."""
    empty = {one["props"].get("socket-id") for one in slots if not one.get("qom-path")}
    return len({one["props"].get("socket-id") for one in slots} - empty)


def missing(slots: Sequence[Slot], sockets: int) -> list[Slot]:
    """The processors to plug in for so many sockets, in the order of their places."""
    wanted = [one for one in slots if not one.get("qom-path") and int(one["props"].get("socket-id", 0)) < sockets]
    return sorted(wanted, key=lambda one: sorted(one["props"].items()))


async def measure(qmp: Monitor) -> Size:
    """What the machine has now. Raises Gone."""
    plugged = await _plugged(qmp)
    return Size(await _sockets(qmp), plugged, await _has_driver(qmp) if plugged is not None else None)


async def _sockets(qmp: Monitor) -> int | None:
    try:
        return full_sockets(await qmp.execute("query-hotpluggable-cpus"))
    except Refused:
        return None


async def _plugged(qmp: Monitor) -> int | None:
    try:
        devices = await qmp.execute("query-memory-devices")
    except Refused:
        return None
    return next((int(one["data"]["size"]) for one in devices if one["data"].get("id") == GROWTH), None)


async def _has_driver(qmp: Monitor) -> bool | None:
    """Asked of QEMU by a command that it may lack, or change."""
    try:
        told = await qmp.execute("x-query-virtio-status", path=f"/machine/peripheral/{GROWTH}/virtio-backend")
        return any("DRIVER_OK" in str(one) for one in told["status"]["statuses"])
    except (Refused, KeyError, TypeError):
        return None


async def plug_sockets(qmp: Monitor, sockets: int) -> None:
    """Plug in what is missing of so many sockets. Raises Problem when QEMU refuses one, Gone when it ends."""
    for slot in missing(await qmp.execute("query-hotpluggable-cpus"), sockets):
        places = {key.replace("-", "_"): value for key, value in slot["props"].items()}
        name = "cpu-" + "-".join(str(value) for _, value in sorted(slot["props"].items()))
        await qmp.execute("device_add", driver=slot["type"], id=name, **places)


async def offer_memory(qmp: Monitor, wanted_bytes: int) -> None:
    """Offer the guest so much memory beyond the first; it takes it when it can.

    Raises Problem when this host has not so much to give.
    """
    held = await _plugged(qmp) or 0
    if wanted_bytes - held > (free := host.memory_to_give()):
        why = f"it wants {(wanted_bytes - held) >> 20} MiB more, and this host has {free >> 20} MiB to give"
        raise Problem("plug in memory", why, "stop something", "InsufficientMemory")
    path = f"/machine/peripheral/{GROWTH}"
    await qmp.execute("qom-set", path=path, property="requested-size", value=wanted_bytes)
