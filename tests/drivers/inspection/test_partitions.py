"""Partition tables, made here byte by byte."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.inspection import partitions
from vmpod.drivers.inspection.blocks import Bytes

_SIZE = 4 << 20


def mbr(*entries: tuple[int, int, int, int], code: bytes = b"") -> bytearray:
    """A disk with an MBR: entries are (kind, active, first sector, sectors)."""
    disk = bytearray(_SIZE)
    disk[: len(code)] = code
    for index, (kind, active, start, count) in enumerate(entries):
        disk[446 + 16 * index : 462 + 16 * index] = struct.pack("<B3xB3xII", active, kind, start, count)
    disk[510:512] = b"\x55\xaa"
    return disk


def gpt(*entries: tuple[str, int, int, str], at: int = 512) -> bytearray:
    """A disk with a GPT: entries are (type, first, last sector, name); the header at byte `at`."""
    disk = mbr((0xEE, 0, 1, 0xFFFF))
    disk[at : at + 92] = struct.pack("<8s64xQIII", b"EFI PART", 2, 128, 128, 0)
    for index, (kind, start, end, name) in enumerate(entries):
        raw = uuid.UUID(kind).bytes_le + uuid.uuid4().bytes + struct.pack("<QQQ", start, end, 0) + name.encode("utf-16-le")
        disk[1024 + 128 * index : 1024 + 128 * index + len(raw)] = raw
    return disk


ESP, LINUX = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0fc63daf-8483-4772-8e79-3d69d8477de4"


def test_an_mbr_with_logical_partitions() -> None:
    disk = mbr((0x83, 0x80, 100, 50), (0x05, 0, 1000, 2000), (0x82, 0, 200, 10), code=b"\xeb\x63")
    for at, entries in {1000: ((0x8E, 10, 20), (0x05, 100, 50)), 1100: ((0x83, 5, 6), (0, 0, 0))}.items():
        for index, (kind, start, count) in enumerate(entries):
            where = at * 512 + 446 + 16 * index
            disk[where : where + 16] = struct.pack("<B3xB3xII", 0, kind, start, count)
        disk[at * 512 + 510 : at * 512 + 512] = b"\x55\xaa"
    found = partitions.read(Bytes(bytes(disk)))
    assert (found.table, found.boot_code) == ("mbr", True)
    assert [(part.name, part.kind, part.start // 512, part.active) for part in found.parts] == [
        ("1", "linux", 100, True), ("5", "lvm", 1010, False), ("6", "linux", 1105, False), ("3", "swap", 200, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "active", "needs"),
    [(b"\xfa\x31", 0, True), (b"\xfa\x31", 0x80, False), (b"\xeb\x63 GRUB ", 0, False), (b"", 0, False)],
)
def test_code_that_starts_the_active_partition(code: bytes, active: int, needs: bool) -> None:
    assert partitions.read(Bytes(bytes(mbr((0x83, active, 100, 50), code=code)))).needs_active == needs


def test_a_chain_of_logical_partitions_that_bites_its_tail_ends() -> None:
    disk = mbr((0x05, 0, 10, 100))
    disk[10 * 512 + 446 : 10 * 512 + 478] = struct.pack("<B3xB3xIIB3xB3xII", 0, 0x83, 1, 1, 0, 0x05, 0, 9)
    disk[10 * 512 + 510 : 10 * 512 + 512] = b"\x55\xaa"
    assert [part.name for part in partitions.read(Bytes(bytes(disk))).parts] == ["5"]


@pytest.mark.parametrize("at", [512, _SIZE - 512])
def test_a_gpt_by_its_header_or_by_the_copy_at_the_end(at: int) -> None:
    found = partitions.read(Bytes(bytes(gpt((ESP, 64, 127, "EFI"), (LINUX, 128, 255, "root"), at=at))))
    assert found.table == "gpt"
    assert [(part.kind, part.start, part.size, part.label) for part in found.parts] == [
        ("efi", 32768, 32768, "EFI"), ("linux", 65536, 65536, "root"),
    ]  # fmt: skip


def test_a_partition_that_lies_beyond_the_disk_is_left_out() -> None:
    found = partitions.read(Bytes(bytes(gpt((LINUX, 64, 1 << 40, "far"), (LINUX, 64, 65, "near")))))
    assert ([part.label for part in found.parts], found.beyond) == (["near"], ("1",))


def test_an_mbr_of_a_disk_that_was_cut_off() -> None:
    found = partitions.read(Bytes(bytes(mbr((0x83, 0x80, 100, 50), (0x83, 0, 200, _SIZE // 512)))))
    assert ([part.name for part in found.parts], found.beyond) == (["1", "2"], ("2",))


@pytest.mark.parametrize(("platforms", "boots"), [((0,), ("bios",)), ((0, 0xEF), ("bios", "uefi")), ((0xEF,), ("uefi",))])
def test_a_cdrom_says_what_it_starts_by(platforms: tuple[int, ...], boots: tuple[str, ...]) -> None:
    disk = bytearray(64 * 2048)
    disk[0x8001:0x8006] = b"CD001"
    record = 17 * 2048
    disk[record : record + 7] = b"\x00CD001\x01"
    disk[record + 7 : record + 30] = b"EL TORITO SPECIFICATION"
    disk[record + 71 : record + 75] = struct.pack("<I", 20)
    catalogue = bytearray(2048)
    catalogue[:2], catalogue[30:32], catalogue[32] = bytes((1, platforms[0])), b"\x55\xaa", 0x88
    for index, platform in enumerate(platforms[1:]):
        catalogue[64 + 32 * index : 66 + 32 * index] = bytes((0x91, platform))
    disk[20 * 2048 : 21 * 2048] = catalogue
    found = partitions.read(Bytes(bytes(disk)))
    assert (found.table, found.el_torito) == ("iso9660", boots)


@given(st.binary(max_size=2048), st.integers(0, 2047))
def test_whatever_stands_there_it_is_read_without_harm(noise: bytes, at: int) -> None:
    disk = gpt((ESP, 64, 127, "EFI"))
    disk[at : at + len(noise)] = noise
    for part in partitions.read(Bytes(bytes(disk[:65536]))).parts:
        assert part.start >= 0 and part.size >= 0
