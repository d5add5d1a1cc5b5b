from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import quantity

VALUES: list[tuple[str | int | float, str, int, int, str]] = [
    # text, decimal, bytes (up), thousandths (up), canonical
    ("0", "0", 0, 0, "0"), ("1", "1", 1, 1000, "1"), ("500m", "0.5", 1, 500, "500m"), ("1Gi", "1073741824", 2**30, 2**30 * 1000, "1Gi"),
    ("1.5Gi", "1610612736", 1610612736, 1610612736000, "1536Mi"), ("1024Mi", "1073741824", 2**30, 2**30 * 1000, "1Gi"),
    ("1k", "1000", 1000, 1000000, "1k"), ("1000k", "1000000", 10**6, 10**9, "1M"), ("0.5", "0.5", 1, 500, "500m"),
    (".5", "0.5", 1, 500, "500m"), ("5.", "5", 5, 5000, "5"), ("1e3", "1000", 1000, 10**6, "1e3"), ("12e2", "1200", 1200, 1200000, "1200"),
    ("1E", "1000000000000000000", 10**18, 10**21, "1E"), ("1E3", "1000", 1000, 10**6, "1e3"), ("-1", "-1", -1, -1000, "-1"),
    ("+2", "2", 2, 2000, "2"), ("1n", "0.000000001", 1, 1, "1n"), ("1u", "0.000001", 1, 1, "1u"), (2, "2", 2, 2000, "2"),
    (0.1, "0.1", 1, 100, "100m"), ("512Ki", "524288", 524288, 524288000, "512Ki"), ("0.5Ki", "512", 512, 512000, "512"),
    ("64M", "64000000", 64000000, 64000000000, "64M"), ("1234567", "1234567", 1234567, 1234567000, "1234567"),
    ("100000m", "100", 100, 100000, "100"), ("0.0000000001", "0.000000001", 1, 1, "1n"),
]


@pytest.mark.parametrize(("text", "number", "size", "milli", "canonical"), VALUES)
def test_values(text: str | int | float, number: str, size: int, milli: int, canonical: str) -> None:
    assert quantity.parse(text) == Decimal(number)
    assert quantity.to_bytes(text) == size
    assert quantity.to_milli(text) == milli
    assert quantity.canonical(text) == canonical
    assert quantity.is_valid(text)


@pytest.mark.parametrize("text", ["", "1K", "1GiB", "x", "1 Gi", "Gi", "1..2", "--1", "1e", "٣", "1e999", True, None, [], "1mi"])
def test_no_quantities(text: object) -> None:
    assert not quantity.is_valid(text)


def test_error_is_that_of_kubernetes() -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.parse("1GiB")


@given(st.integers(0, 2**62))
def test_bytes_round_trip(count: int) -> None:
    assert quantity.to_bytes(quantity.format_bytes(count)) == count


@given(st.integers(-(10**9), 10**12))
def test_milli_round_trip(count: int) -> None:
    assert quantity.to_milli(quantity.format_milli(count)) == count


@given(st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,4})?([KMG]i|[mkMG]|e[0-9])?", fullmatch=True))
def test_canonical_keeps_the_value(text: str) -> None:
    assert quantity.parse(quantity.canonical(text)) == quantity.parse(text)
    assert quantity.canonical(quantity.canonical(text)) == quantity.canonical(text)


def test_long_numbers_stay_exact() -> None:
    assert quantity.parse("1" * 40) == int("1" * 40)
    assert quantity.to_bytes("1" * 30 + "Ki") == int("1" * 30) * 1024
    assert quantity.parse("0." + "0" * 40 + "1") == Decimal("1e-9"), "finer than a nano-unit is rounded up"
