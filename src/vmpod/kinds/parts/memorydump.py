"""How much a dump of a machine's memory takes."""

from __future__ import annotations

from typing import Final

from vmpod.kinds.parts.reading import dig
from vmpod.model import quantity
from vmpod.model.meta import Object

_MORE_BYTES: Final = 100 << 20  # KubeVirt's own allowance for what is not the guest's memory


def expected_bytes(vmi: Object) -> int:
    """The guest's memory, and a little more (KubeVirt: CalcExpectedMemoryDumpSize)."""
    domain = dig(vmi, "spec", "domain")
    wanted = dig(domain, "memory").get("guest") or dig(domain, "resources", "requests").get("memory")
    return (quantity.to_bytes(wanted) if wanted else 0) + _MORE_BYTES
