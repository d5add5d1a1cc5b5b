from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import names


@pytest.mark.parametrize(("text", "is_label", "is_subdomain", "is_dns1035"), [
    ("a", True, True, True), ("a-b", True, True, True), ("1a", True, True, False), ("a.b", False, True, False), ("", False, False, False),
    ("A", False, False, False), ("-a", False, False, False), ("a-", False, False, False), ("a_b", False, False, False),
    ("a..b", False, False, False), ("x" * 63, True, True, True), ("x" * 64, False, True, False), ("a.b." + "c" * 250, False, False, False),
    ("a\n", False, False, False),
])
def test_shapes(text: str, is_label: bool, is_subdomain: bool, is_dns1035: bool) -> None:
    assert names.is_dns1123_label(text) is is_label
    assert names.is_dns1123_subdomain(text) is is_subdomain
    assert (not names.dns1035_faults(text)) is is_dns1035
    assert (names.check_name(text) == "") is is_subdomain
    assert (names.check_name(text, label=True) == "") is is_label


@pytest.mark.parametrize(("text", "fine"), [
    ("a", True), ("example.org/a", True), ("Example.org/a", False), ("/a", False), ("a/", False), ("a/b/c", False), ("A_b.c", True),
    ("", False), ("x" * 64, False), ("-a", False),
])
def test_label_keys(text: str, fine: bool) -> None:
    assert (names.label_key_faults(text) == []) is fine


@pytest.mark.parametrize(("text", "fine"), [("", True), ("A.b_c-1", True), ("-", False), ("x" * 64, False), ("a b", False)])
def test_label_values(text: str, fine: bool) -> None:
    assert (names.label_value_faults(text) == []) is fine


@pytest.mark.parametrize(("text", "fine"), [("a.b_C-1", True), ("", False), (".", False), ("..", False), ("..a", False), (".a", True), ("a/b", False)])
def test_config_keys(text: str, fine: bool) -> None:
    assert (names.config_key_faults(text) == []) is fine


@pytest.mark.parametrize(("text", "fine"), [("http", True), ("8080", False), ("p-1", True), ("a--b", False), ("-a", False), ("x" * 16, False), ("A", False), ("", False)])
def test_port_names(text: str, fine: bool) -> None:
    assert (names.port_name_faults(text) == []) is fine


@given(st.text("abc-", max_size=80), st.integers(0, 10**6))
def test_generated(prefix: str, seed: int) -> None:
    name = names.generate(prefix, random.Random(seed))
    assert re.fullmatch(r".*[bcdfghjklmnpqrstvwxz2456789]{5}", name)
    assert len(name) <= 63
    assert name.startswith(prefix[:58])
    assert name == names.generate(prefix, random.Random(seed))


def test_safe_encode() -> None:
    # What rand.SafeEncodeString makes of it.
    assert names.safe_encode("0") == names.ALPHABET[48 % 27]
    assert set(names.safe_encode("1234567890")) <= set(names.ALPHABET)
