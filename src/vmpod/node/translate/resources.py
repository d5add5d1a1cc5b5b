"""Requests and limits of containers: control group values, resourceFieldRef."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from vmpod.drivers.podman.spec import Limits
from vmpod.model import meta, quantity
from vmpod.model.meta import Object

_SHARES_PER_CPU = 1024
_LEAST_SHARES = 2
_MOST_SHARES = 262_144


def limits(container: Object) -> Limits:
    """What the control group gets (kubelet: shares follow the request, or the limit where there is none)."""
    said = meta.get(container, "resources", "limits", default={})
    asked = meta.get(container, "resources", "requests", default={})
    cpu = asked.get("cpu", said.get("cpu"))
    shares = min(_MOST_SHARES, max(_LEAST_SHARES, quantity.to_milli(cpu) * _SHARES_PER_CPU // 1000)) if cpu else 0
    return Limits(
        memory_bytes=quantity.to_bytes(said["memory"]) if said.get("memory") else 0,
        cpu_milli=quantity.to_milli(said["cpu"]) if said.get("cpu") else 0,
        cpu_shares=shares,
    )


def field(container: Object, resource: str, divisor: object, *, cpus: int, memory_bytes: int) -> str:
    """The value of a resourceFieldRef, rounded up to whole divisors; a missing limit is what the node has.

    Raises ValueError for a resource that is not there.
    """
    where, _, name = resource.partition(".")
    if where not in ("limits", "requests") or name not in ("cpu", "memory", "ephemeral-storage"):
        raise ValueError(f"unsupported container resource: {resource}")
    said = meta.get(container, "resources", where, name)
    if said is None and where == "requests":
        said = meta.get(container, "resources", "limits", name, default="0")
    if said is None:
        said = {"cpu": cpus, "memory": memory_bytes}.get(name, 0)
    unit = quantity.parse(str(divisor or "0")) or Decimal(1)
    return str(int((quantity.parse(said) / unit).to_integral_value(ROUND_CEILING)))
