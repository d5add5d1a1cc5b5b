"""Clients that send slowly, or nothing: a claim is not held by them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from vmpod.api import uploads
from vmpod.model.status import ApiError


async def sent(*steps: float | bytes) -> AsyncIterator[bytes]:
    """A client: pauses in seconds, and what it sends."""
    for step in steps:
        if isinstance(step, bytes):
            yield step
        else:
            await asyncio.sleep(step)


async def came(*steps: float | bytes) -> list[bytes]:
    return [part async for part in uploads.arriving(sent(*steps))]


async def test_what_comes_in_time_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_SILENT_S", 30.0)
    assert await came(b"a", 0.01, b"b", b"", b"c") == [b"a", b"b", b"", b"c"]
    assert await came() == []


async def test_a_client_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_SILENT_S", 0.05)
    with pytest.raises(ApiError, match="nothing came for") as refused:
        await came(b"a", 600.0, b"b")
    assert refused.value.code == 408


async def test_a_client_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_PART_S", 0.1)
    trickle = [step for _ in range(1000) for step in (b"x", 0.01)]
    with pytest.raises(ApiError, match="less than a megabyte came"):
        await came(*trickle)


async def test_the_time_of_our_own_disk_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_PART_S", 2.0)
    found = 0
    async for part in uploads.arriving(sent(b"a", b"b", b"c", b"d")):
        await asyncio.sleep(0.6)
        found += len(part)
    assert found == 4


async def test_a_megabyte_begins_a_new_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_PART_S", 5.0)
    whole = bytes(1 << 20)
    assert len(await came(whole, 0.01, whole, 0.01, b"end")) == 3
