"""Rules of processors that a machine has for itself, with KubeVirt's texts."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.reading import dig, number
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required, wrong

_MOST_THREADS = 2


def pinning_errors(domain: Object, path: str) -> Iterator[FieldError]:
    """Every fault of dedicatedCpuPlacement and of what goes with it alone."""
    cpu = dig(domain, "cpu")
    numa, mapping = f"{path}.cpu.numa.guestMappingPassthrough", dig(cpu, "numa").get("guestMappingPassthrough")
    if cpu.get("realtime") is not None and mapping is None:
        yield required(numa, f"{numa} must be defined when {path}.cpu.realtime is used")
    if mapping is not None:
        for holds, field in ((cpu.get("dedicatedCpuPlacement"), "cpu.dedicatedCpuPlacement"),
                             (dig(domain, "memory").get("hugepages") is not None, "memory.hugepages")):
            verb = "set to true" if field.startswith("cpu") else "requested"
            if not holds:
                told = f"{path}.{field} must be {verb} when NUMA topology strategy is set in {numa}"
                yield wrong(numa, mapping, told)
    if cpu.get("dedicatedCpuPlacement"):
        yield from _memory_errors(domain, f"{path}.resources")
        yield from _count_errors(domain, path)


def _amount(domain: Object, kind: str, name: str) -> int:
    """Thousandths; 0 where nothing is said."""
    given = dig(domain, "resources", kind).get(name)
    return quantity.to_milli(given) if given is not None and quantity.is_valid(given) else 0


def _memory_errors(domain: Object, path: str) -> Iterator[FieldError]:
    asked, limit = _amount(domain, "requests", "memory"), _amount(domain, "limits", "memory")
    if not asked and not limit:
        told = f"{path}.requests.memory or {path}.limits.memory should be provided"
        yield wrong(f"{path}.limits.memory", "", told)
    if asked and limit and asked != limit:
        yield wrong(f"{path}.requests.memory", dig(domain, "resources", "requests")["memory"],
                    f"{path}.requests.memory must be equal to {path}.limits.memory")


def _count_errors(domain: Object, path: str) -> Iterator[FieldError]:
    where, cpu = f"{path}.cpu.dedicatedCpuPlacement", dig(domain, "cpu")
    requests, limits = f"{path}.resources.requests.cpu", f"{path}.resources.limits.cpu"
    asked, limit = _amount(domain, "requests", "cpu"), _amount(domain, "limits", "cpu")
    for amount, field, word in ((asked, requests, "requests"), (limit, limits, "limits")):
        if amount % 1000:
            yield wrong(field, amount / 1000, f"provided resources CPU {word} must be an interger")
    if asked and limit and asked != limit:
        yield wrong(where, True, f"{requests} or {limits} must be equal when DedicatedCPUPlacement is true ")
    threads = number(cpu, "threads") or 1
    count = (number(cpu, "sockets") or 1) * (number(cpu, "cores") or 1) * threads
    if (asked or limit) and 1000 * count not in (asked, limit):
        told = f"{requests} or {limits} must not be provided at the same time with {path}.cpu.cores when "
        yield wrong(where, True, f"{told}DedicatedCPUPlacement is true ")
    if threads > _MOST_THREADS:
        told = f"Not more than two threads must be provided at {path}.cpu.threads (got {threads}) when "
        yield wrong(where, True, f"{told}DedicatedCPUPlacement is true")
