"""resource.Quantity: `500m`, `1Gi`, `1.5`, `2e3`. Values are exact decimals."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Final

_FORM: Final = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?\d+))?",
    re.ASCII,
)
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
}
_NANO: Final = Decimal("1e-9")
_ROOM: Final = 130  # digits that the largest exponent and a nano-unit add: long numbers stay exact
RULE: Final = (
    r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)  # resource.ErrFormatWrong


def parse(value: str | int | float | Decimal) -> Decimal:
    """The number that a quantity stands for; finer than a nano-unit is rounded up, as apimachinery does.

    Raises ValueError with apimachinery's text when it is no quantity.
    """
    if isinstance(value, bool):
        raise ValueError(RULE)
    if isinstance(value, (int, float, Decimal)):
        return Decimal(str(value))
    found = _FORM.fullmatch(value)
    if found is None:
        raise ValueError(RULE)
    with localcontext() as exact:
        exact.prec = len(value) + _ROOM
        amount = Decimal(found["number"]) * _scale(found["suffix"], found["exponent"])
        return amount if amount % _NANO == 0 else amount.quantize(_NANO, ROUND_CEILING)


def _scale(suffix: str | None, exponent: str | None) -> Decimal:
    if suffix in _BINARY:
        return Decimal(_BINARY[suffix])
    if suffix:
        return _DECIMAL[suffix]
    power = int(exponent or 0)
    if abs(power) > 100:
        raise ValueError(RULE)
    return Decimal(10) ** power


def is_valid(value: object) -> bool:
    """Whether the value is a quantity."""
    if not isinstance(value, (str, int, float)):
        return False
    try:
        parse(value)
    except ValueError:
        return False
    return True


def to_bytes(value: str | int | float) -> int:
    """A quantity of bytes (or of anything whole), rounded up. Raises ValueError."""
    return int(parse(value).to_integral_value(ROUND_CEILING))


def to_milli(value: str | int | float) -> int:
    """A quantity in thousandths, rounded up: `500m` → 500, `2` → 2000. Raises ValueError."""
    return int((parse(value) * 1000).to_integral_value(ROUND_CEILING))


def format_bytes(count: int) -> str:
    """A number of bytes in the largest binary unit that keeps it whole: 1073741824 → `1Gi`."""
    for suffix, size in reversed(_BINARY.items()):
        if count and count % size == 0:
            return f"{count // size}{suffix}"
    return str(count)


def format_milli(thousandths: int) -> str:
    """Thousandths in canonical decimal form: 1500 → `1500m`, 2000 → `2`."""
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def canonical(value: str | int | float) -> str:
    """The quantity as the API server writes it back: `0.5` → `500m`, `1024Mi` → `1Gi`, `1000k` → `1M`.

    Raises ValueError.
    """
    amount = parse(value)
    found = _FORM.fullmatch(value) if isinstance(value, str) else None
    is_binary = found is not None and found["suffix"] in _BINARY
    if is_binary and abs(amount) >= 1024 and amount == amount.to_integral_value():
        return format_bytes(int(amount))
    if found is not None and found["exponent"] is not None:
        return _canonical_exponent(amount)
    return _canonical_decimal(amount)


def _canonical_decimal(amount: Decimal) -> str:
    if amount == 0:
        return "0"
    for suffix in ("E", "P", "T", "G", "M", "k", "", "m", "u", "n"):
        scaled = amount / _DECIMAL.get(suffix, Decimal(1))
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return f"{int((amount / _NANO).to_integral_value(ROUND_CEILING))}n"


def _canonical_exponent(amount: Decimal) -> str:
    if amount == 0:
        return "0"
    for power in range(18, -10, -3):
        scaled = amount.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}e{power}" if power else str(int(scaled))
    return str(amount)
