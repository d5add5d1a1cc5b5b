"""QEMU's own migration between two machines of this host, over a pair of sockets that both are handed.

The state goes from one QEMU to the other without passing through the engine, which may be killed meanwhile: before the
last step the one that is left waits for `go_on`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmpod.drivers.qemu.qmp import Monitor

_WIRE = "migration"
_DEVICES, _PLUGGABLE, _ON_A_BUS = "/machine/peripheral", ("ua-", "nic-"), ("scsi-id", "lun")
_SOURCE = ("events", "return-path", "pause-before-switchover")
_TARGET = ("events", "return-path")
_UNLIMITED = 1 << 40
_DOWNTIME_MS = 300
RUNS = ("setup", "active", "pre-switchover", "device", "cancelling", "wait-unplug")
WAITS = "pre-switchover"
DONE, LOST = "completed", ("failed", "cancelled")


@dataclass(frozen=True)
class Progress:
    """How far a migration is. `status` is QEMU's, empty before there was one; sizes in bytes, times in ms."""

    status: str = ""
    error: str = ""
    remaining: int = 0
    transferred: int = 0
    total_ms: int = 0
    downtime_ms: int = 0


async def is_emulated(source: Monitor) -> bool:
    """Whether QEMU runs the guest's code itself: then it misses some of what the guest writes while it is copied."""
    return not (await source.execute("query-kvm"))["enabled"]


async def begin(
    source: Monitor, target: Monitor, *, bandwidth: int = 0, converge: bool = False, still: bool = False
) -> None:
    """Start it; `bandwidth` in bytes a second (0: no limit), `converge` slows a guest down that writes too quickly.

    With `still` the guest is stopped first, and is for the caller to start again, wherever it then is.
    Raises Refused, Gone.
    """
    await _allow(source, (*_SOURCE, "auto-converge") if converge else _SOURCE)
    await _allow(target, _TARGET)
    await source.execute("migrate-set-parameters", max_bandwidth=bandwidth or _UNLIMITED, downtime_limit=_DOWNTIME_MS)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await target.pass_fd(theirs.fileno(), _WIRE)
        await target.execute("migrate-incoming", uri=f"fd:{_WIRE}")
        await source.pass_fd(ours.fileno(), _WIRE)
    if still:
        await source.stop()
    await source.execute("migrate", uri=f"fd:{_WIRE}")


@dataclass(frozen=True)
class Place:
    """Where a device sits: its bus, and what else tells it apart there."""

    bus: str
    more: tuple[tuple[str, int], ...] = ()

    def at(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of `device_add` for a device in this place."""
        return {**options, "bus": self.bus, **dict(self.more)}


async def late_devices(source: Monitor) -> dict[str, Place]:
    """The disks and cards that were plugged in while the machine ran, by their ids. Raises Refused, Gone."""
    there = [str(one["name"]) for one in await source.execute("qom-list", path=_DEVICES)]
    return {id: await _place(source, id) for id in there if id.startswith(_PLUGGABLE)
            and await _told(source, id, "hotplugged")}  # fmt: skip


async def ports(source: Monitor) -> tuple[str, ...]:
    """What has sat in each root port since the machine began, as `pci.plugged` names it; empty for what has left it.

    Raises Refused, Gone.
    """
    there = [str(one["name"]) for one in await source.execute("qom-list", path=_DEVICES)]
    found = dict.fromkeys((one for one in there if re.fullmatch(r"port\d+", one)), "")
    for id in there:
        if id.startswith((*_PLUGGABLE, "scsi0")) and (bus := (await _place(source, id)).bus) in found:
            found[bus] = id.replace("ua-", "disk-", 1)
    return tuple(found[f"port{number + 1}"] for number in range(len(found)))


async def _place(source: Monitor, id: str) -> Place:
    has = {str(one["name"]) for one in await source.execute("qom-list", path=f"{_DEVICES}/{id}")}
    more = [(key, int(await _told(source, id, key))) for key in _ON_A_BUS if key in has]
    return Place(str(await _told(source, id, "parent_bus")).rpartition("/")[2], tuple(more))


async def _told(source: Monitor, id: str, about: str) -> Any:
    return await source.execute("qom-get", path=f"{_DEVICES}/{id}", property=about)


async def _allow(monitor: Monitor, names: tuple[str, ...]) -> None:
    wanted = [{"capability": name, "state": True} for name in names]
    await monitor.execute("migrate-set-capabilities", capabilities=wanted)


async def look(source: Monitor) -> Progress:
    """Raises Refused, Gone."""
    return progress(await source.execute("query-migrate"))


def progress(answer: Mapping[str, Any]) -> Progress:
    """What QEMU's query-migrate tells. Pure."""
    memory: Mapping[str, Any] = answer.get("ram") or {}
    return Progress(
        str(answer.get("status") or ""), str(answer.get("error-desc") or ""), int(memory.get("remaining") or 0),
        int(memory.get("transferred") or 0), int(answer.get("total-time") or 0), int(answer.get("downtime") or 0),
    )  # fmt: skip


async def go_on(source: Monitor) -> None:
    """Hand the guest over: from here on the other QEMU runs it. Raises Refused, Gone."""
    await source.execute("migrate-continue", state=WAITS)


async def cancel(source: Monitor) -> None:
    """Give it up; the guest goes on where it is. Raises Refused, Gone."""
    await source.execute("migrate_cancel")
