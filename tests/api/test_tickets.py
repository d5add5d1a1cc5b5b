"""Upload tokens: whose they are, how long they last, and that nobody else can make one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.api.tickets import LIFE_S, Ticket, read, sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TICKET = Ticket("default", "disk", "u1")


@given(st.text(), st.text(), st.text())
def test_what_is_signed_is_read_again(namespace: str, name: str, uid: str) -> None:
    ticket = Ticket(namespace, name, uid)
    assert read(b"key", sign(b"key", ticket, NOW), NOW) == ticket


@pytest.mark.parametrize(("after_s", "good"), [(0, True), (LIFE_S - 1, True), (LIFE_S, False), (LIFE_S + 1, False)])
def test_it_lasts_five_minutes(after_s: int, good: bool) -> None:
    assert (read(b"key", sign(b"key", TICKET, NOW), NOW + timedelta(seconds=after_s)) is not None) == good


def test_another_key_opens_nothing() -> None:
    assert read(b"key", sign(b"other", TICKET, NOW), NOW) is None


@given(st.text(max_size=80))
def test_noise_is_no_token(token: str) -> None:
    assert read(b"key", token, NOW) is None


@given(st.integers(min_value=0, max_value=200), st.characters(codec="ascii"))
def test_a_changed_token_is_refused_or_the_same(position: int, character: str) -> None:
    token = sign(b"key", TICKET, NOW)
    at = position % len(token)
    assert read(b"key", token[:at] + character + token[at + 1:], NOW) in (None, TICKET)
