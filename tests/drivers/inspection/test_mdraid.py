"""Mirrors of Linux's software RAID, read by one half; super blocks written here as md_p.h has them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.inspection import mdraid
from vmpod.drivers.inspection.blocks import Bytes
from vmpod.drivers.inspection.look import examine

SIZE, OFFSET = 1 << 20, 2048 * 64
SWAP = bytes(4086) + b"SWAPSPACE2"


def member(at: int, level: int = 1, offset: int = OFFSET, version: int = 1) -> bytes:
    """A disk that belongs to an array of a swap area; its super block at byte `at`."""
    disk = bytearray(SIZE)
    disk[offset : offset + len(SWAP)] = SWAP
    disk[at : at + 8] = struct.pack("<II", 0xA92B4EFC, version)
    if version:
        disk[at + 72 : at + 76] = struct.pack("<i", level)
        disk[at + 128 : at + 144] = struct.pack("<QQ", offset // 512, 1024)
    else:
        disk[at + 28 : at + 32] = struct.pack("<i", level)
    return bytes(disk)


@pytest.mark.parametrize(
    "disk", [member(4096), member(0), member(SIZE - 8192, offset=512), member(SIZE - 0x10000, offset=0, version=0)]
)
def test_a_mirror_is_read_by_its_half(disk: bytes) -> None:
    found = mdraid.mirrored(Bytes(disk))
    assert mdraid.is_member(Bytes(disk)) and found is not None
    assert found.read(4086, 10) == b"SWAPSPACE2"


def test_stripes_are_named_and_not_read() -> None:
    assert mdraid.mirrored(Bytes(member(4096, level=0))) is None
    assert examine(Bytes(member(4096, level=5))).unread == ("disk: mdraid",)


def test_what_is_in_a_mirror_is_a_part_of_its_own() -> None:
    found = examine(Bytes(member(4096)))
    assert [(part.name, part.filesystem) for part in found.parts] == [("disk", "mdraid"), ("disk (mirror)", "swap")]
    assert found.unread == ()


def test_no_member() -> None:
    for size in (0, 512, 5000, SIZE):
        assert not mdraid.is_member(Bytes(bytes(size))) and mdraid.mirrored(Bytes(bytes(size))) is None


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damage_is_no_harm(noise: bytes, at: int) -> None:
    disk = bytearray(member(4096))
    disk[4096 + at : 4096 + at + len(noise)] = noise
    assert examine(Bytes(bytes(disk))).virtual_bytes == SIZE


def test_a_mirror_that_holds_itself_is_entered_once() -> None:
    disk = bytearray(member(4096, offset=0))
    disk[4086:4096] = bytes(10)
    disk[4096 + 136 : 4096 + 144] = struct.pack("<Q", 1 << 40)
    assert [part.filesystem for part in examine(Bytes(bytes(disk))).parts] == ["mdraid", "mdraid"]
