"""How far a running machine may grow: the defaults and limits of CPU and memory hotplug (KubeVirt's LiveUpdate)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model import quantity
from vmpod.model.meta import Object

BLOCK_BYTES = 2 << 20
"""Memory is plugged in blocks of this size."""
_MOST_VCPUS = 512


@dataclass(frozen=True)
class Growth:
    """How many times what it starts with (KubeVirt: maxHotplugRatio). Unless 0, `sockets` and `bytes` count."""

    ratio: int = 4
    sockets: int = 0
    bytes: int = 0


USUAL = Growth()


def default_growth(spec: Object, growth: Growth = USUAL) -> None:
    """maxSockets and maxGuest of a defaulted machine spec that leaves them open."""
    domain = mapping(spec.get("domain"))
    cpu, memory = dig(domain, "cpu"), dig(domain, "memory")
    if not cpu.get("maxSockets"):
        cpu["maxSockets"] = _most_sockets(cpu, growth)
    guest = memory.get("guest")
    if memory.get("maxGuest") is None and guest and quantity.is_valid(guest):
        most = quantity.format_bytes(growth.bytes or quantity.to_bytes(guest) * growth.ratio)
        if not memory_fault(spec, most):
            memory["maxGuest"] = most


def _most_sockets(cpu: Object, growth: Growth) -> int:
    sockets, each = _count(cpu, "sockets"), _count(cpu, "cores") * _count(cpu, "threads")
    return max(sockets, min(growth.sockets or sockets * growth.ratio, _MOST_VCPUS // each))


def _count(cpu: Object, key: str) -> int:
    found = cpu.get(key)
    return found if isinstance(found, int) and found > 0 else 1


def memory_fault(spec: Object, most: Any) -> str:
    """Why memory cannot be plugged into this machine; empty when it can."""
    domain = mapping(spec.get("domain"))
    guest = dig(domain, "memory").get("guest")
    if dig(domain, "cpu").get("realtime") is not None:
        return "Memory hotplug is not compatible with realtime VMs"
    if domain.get("launchSecurity") is not None:
        return "Memory hotplug is not compatible with encrypted VMs"
    if dig(domain, "memory").get("hugepages") is not None:
        return "Memory hotplug is not available in huge pages"
    if dig(domain, "features", "acpi").get("enabled") is False:
        return "Memory hotplug needs ACPI"
    if guest is None or not quantity.is_valid(guest):
        return "Guest memory must be configured when memory hotplug is enabled"
    if quantity.to_bytes(guest) > quantity.to_bytes(most):
        return "Guest memory is greater than the configured maxGuest memory"
    if quantity.to_bytes(guest) % BLOCK_BYTES:
        return "Guest memory must be 2Mi aligned"
    if quantity.to_bytes(most) % BLOCK_BYTES:
        return "MaxGuest must be 2Mi aligned"
    if text(spec, "architecture") not in ("", "amd64"):
        return "Memory hotplug is only available for x86_64 VMs"
    return ""
