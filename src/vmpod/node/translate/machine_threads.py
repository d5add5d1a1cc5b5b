"""I/O threads: which thread serves which disk, by KubeVirt's policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, cycle
from typing import Any

from vmpod.model.meta import Object, get

_MAIN_LOOP = ""


def io_threads(vmi: Object, wanted: Sequence[Mapping[str, Any]], processors: int) -> dict[str, str]:
    """The thread of each disk on virtio, by the disk's name; the others stay with QEMU's main loop.

    `shared`: one thread for all that ask for none of their own. `auto`: as many threads as disks, at most two for
    each processor, dealt in turn. `supplementalPool`: so many as are asked for, dealt in turn.
    """
    domain: Mapping[str, Any] = get(vmi, "spec", "domain", default={})
    policy = domain.get("ioThreadsPolicy")
    disks = [one for one in wanted if get(one, "disk", "bus") == "virtio"]
    if not policy and not any(one.get("dedicatedIOThread") for one in disks):
        return {}
    numbers = count(1)
    own = {one["name"]: f"iothread{next(numbers)}" for one in disks if one.get("dedicatedIOThread")}
    rest = [one["name"] for one in disks if one["name"] not in own]
    size = min(_pool(domain, policy, len(own), processors), len(rest))
    pool = cycle([f"iothread{next(numbers)}" for _ in range(size)] or [_MAIN_LOOP])
    return own | {one: next(pool) for one in rest}


def _pool(domain: Mapping[str, Any], policy: Any, own: int, processors: int) -> int:
    if policy == "supplementalPool":
        return int(get(domain, "ioThreads", "supplementalPoolThreadCount", default=1))
    return max(1, 2 * processors - own) if policy == "auto" else 1
