"""Processors of this machine that one virtual machine has for itself, as far as other such machines go.

They are written on its container, so that an engine that begins anew knows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from vmpod.base.errors import Problem
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.container import CPUS
from vmpod.drivers.podman.spec import ContainerSpec
from vmpod.model.meta import Object, get, name
from vmpod.node.translate.machine import vcpus


def wanted(vmi: Object) -> int:
    """How many processors a machine wants for itself; 0 where it shares them."""
    cpu = get(vmi, "spec", "domain", "cpu", default={})
    if not cpu.get("dedicatedCpuPlacement"):
        return 0
    sockets, cores, threads = vcpus(vmi)
    return sockets * cores * threads + bool(cpu.get("isolateEmulatorThread"))


def choose(vmi: Object, taken: Iterable[str], host: Iterable[int] | None = None) -> str:
    """The processors of a machine, as podman is told them. Raises Problem when there are too few.

    One is left to everybody: what has none of its own must run somewhere.
    """
    there = sorted(os.sched_getaffinity(0) if host is None else host)
    gone = {int(one) for text in taken for one in text.split(",") if one}
    free = [one for one in there if one not in gone][1:]
    count = wanted(vmi)
    if count > len(free):
        why = (f"it wants {count} processors for itself (dedicatedCpuPlacement), and of the {len(there)} of this host "
               f"{len(free)} can be given away")
        fix = "lower cpu.cores, stop another such machine, or leave out dedicatedCpuPlacement"
        raise Problem(f"start the machine {name(vmi)}", why, fix, "InsufficientCPU")
    return ",".join(str(one) for one in free[:count])


class Pins:
    """Which container has which processors: what is written on containers, and what was promised a moment ago."""

    def __init__(self, podman: Podman) -> None:
        self._podman = podman
        self._promised: dict[str, str] = {}

    async def bind(self, vmi: Object, container: ContainerSpec) -> ContainerSpec:
        """The container on processors of its own, if its machine wants some. Raises Problem when there are too few."""
        if not wanted(vmi):
            return container
        known = {one.name: one.labels[CPUS] for one in await self._podman.containers({CPUS: ""})} | self._promised
        cpus = choose(vmi, [taken for one, taken in known.items() if one != container.name])
        self._promised[container.name] = cpus
        return replace(container, labels={**container.labels, CPUS: cpus}, limits=replace(container.limits, cpus=cpus))

    def forget(self, container: str) -> None:
        """The container is gone."""
        self._promised.pop(container, None)
