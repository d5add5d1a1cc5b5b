from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vmpod.base import clock
from vmpod.drivers.podman import logs
from vmpod.drivers.podman.logs import Wanted

TEXT = (
    b"2026-01-01T00:00:01.000000001+00:00 stdout F one\n"
    b"2026-01-01T00:00:02.000000001+00:00 stderr F two\n"
    b"2026-01-01T00:00:03.000000001+00:00 stdout P thr\n"
    b"2026-01-01T00:00:04.000000001+00:00 stdout F ee\n"
    b"2026-01-01T00:00:05.000000001+00:00 stdout F \n"
    b"2026-01-01T00:00:06.000000001+00:00 stdout P open"
)


async def read(path: Path, wanted: Wanted) -> bytes:
    return b"".join([piece async for piece in logs.read(path, wanted, lambda: False)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "ctr.log"
    path.write_bytes(TEXT)
    return path


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Wanted(), b"one\ntwo\nthree\n\n"),
        (Wanted(tail=0), b""),
        (Wanted(tail=1), b"\n"),
        (Wanted(tail=2), b"three\n\n"),
        (Wanted(tail=99), b"one\ntwo\nthree\n\n"),
        (Wanted(limit_bytes=5), b"one\nt"),
        (Wanted(stream="stderr"), b"two\n"),
        (Wanted(since=clock.parse("2026-01-01T00:00:04Z")), b"ee\n\n"),
        (Wanted(tail=2, timestamps=True), b"2026-01-01T00:00:03.000000001Z three\n2026-01-01T00:00:05.000000001Z \n"),
    ],
)
async def test_parts_of_a_log(log: Path, wanted: Wanted, shown: bytes) -> None:
    assert await read(log, wanted) == shown


async def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert await read(tmp_path / "none", Wanted()) == b""


async def test_following_ends_with_the_container(log: Path) -> None:
    alive = True
    said: list[bytes] = []

    async def follow() -> None:
        async for piece in logs.read(log, Wanted(follow=True, tail=0), lambda: alive):
            said.append(piece)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.05)
    with log.open("ab") as file:
        file.write(b"ed\n2026-01-01T00:00:07.000000001+00:00 stdout F more\n")
    await asyncio.sleep(0.3)
    alive = False
    await asyncio.wait_for(task, 60)
    assert b"".join(said).endswith(b"more\n")


def test_tail_over_blocks(tmp_path: Path) -> None:
    path = tmp_path / "long"
    line = b"2026-01-01T00:00:01.000000001+00:00 stdout F %d\n"
    path.write_bytes(b"".join(line % number for number in range(10_000)))
    with path.open("rb") as file:
        file.seek(logs.tail_offset(path, 5000))
        assert file.readline().endswith(b" 5000\n")


async def test_plain_files(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"a\nb\nc\n")
    read = logs.read_plain(path, Wanted(tail=2), lambda: False)
    assert b"".join([piece async for piece in read]) == b"b\nc\n"
    assert b"".join([piece async for piece in logs.read_plain(path, Wanted(limit_bytes=3), lambda: False)]) == b"a\nb"
