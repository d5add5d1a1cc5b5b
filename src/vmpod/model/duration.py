"""metav1.Duration: `5m`, `1h30m`, `300ms`, as Go's time.ParseDuration reads it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "ns": Decimal("1e-9"), "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "μs": Decimal("1e-6"),
    "ms": Decimal("1e-3"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600),
}  # fmt: skip
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"([+-]?)((?:{_PART.pattern})+)", re.ASCII)
_LIMIT_S: Final = Decimal(2**63 - 1) / 10**9  # Go counts nanoseconds in 64 bits


def seconds(text: str) -> float:
    """How long that is. Raises ValueError with Go's words."""
    if text in ("0", "+0", "-0"):
        return 0.0
    found = _WHOLE.fullmatch(text)
    if found is None:
        raise ValueError(f'time: invalid duration "{text}"')
    whole = sum((Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(found[2])), Decimal(0))
    if whole > _LIMIT_S:
        raise ValueError(f'time: invalid duration "{text}"')
    return float(-whole if found[1] == "-" else whole)
