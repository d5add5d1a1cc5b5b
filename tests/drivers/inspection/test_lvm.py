"""Logical volumes over partitions, by a physical volume written here."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.inspection import lvm
from vmpod.drivers.inspection.blocks import Bytes

ID = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345"
TEXT = """vg0 {
id = "x" seqno = 3
extent_size = 8 # 4 KiB
physical_volumes {
pv0 { id = "ID" pe_start = 128 pe_count = 10 }
}
logical_volumes {
root { id = "y" segment_count = 2
segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 1 stripes = [ "pv0", 3 ] }
segment2 { start_extent = 1 extent_count = 1 type = "striped" stripe_count = 1 stripes = [ "pv0", 1 ] }
}
wide { segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 2 stripes = ["pv0", 0, "pv1", 0] } }
thin { segment1 { start_extent = 0 extent_count = 2 type = "thin" } }
}
}
""".replace("ID", ID)


def physical_volume(text: str = TEXT) -> bytearray:
    disk = bytearray(256 * 1024)
    disk[512 : 512 + 32] = struct.pack("<8sQII8s", b"LABELONE", 1, 0, 32, b"LVM2 001")
    header = ID.replace("-", "").encode() + struct.pack("<Q", len(disk))
    header += struct.pack("<QQQQ", 65536, 0, 0, 0) + struct.pack("<QQQQ", 4096, 32768, 0, 0)
    disk[544 : 544 + len(header)] = header
    disk[4096 + 4 : 4096 + 20] = b" LVM2 x[5A%r0N*>"
    disk[4096 + 40 : 4096 + 56] = struct.pack("<QQ", 512, len(text))
    disk[4608 : 4608 + len(text)] = text.encode()
    for extent in range(10):
        start = 65536 + extent * 4096
        disk[start : start + 4096] = bytes([extent]) * 4096
    return disk


def test_a_linear_volume_is_put_together_from_its_extents() -> None:
    disk = Bytes(bytes(physical_volume()))
    assert lvm.is_member(disk)
    found = dict(lvm.volumes([disk]))
    assert list(found) == ["vg0/root"]
    root = found["vg0/root"]
    assert (root.size, root.read(4090, 12)) == (8192, b"\x03" * 6 + b"\x01" * 6)


def test_a_volume_on_a_disk_that_is_not_here_is_left_out() -> None:
    other = physical_volume(TEXT.replace(ID, "zzzzzz-ghij-klmn-opqr-stuv-wxyz-012345"))
    assert list(lvm.volumes([Bytes(bytes(other))])) == []


@given(st.binary(min_size=1, max_size=400), st.integers(512, 6000))
def test_damage_is_no_harm(noise: bytes, at: int) -> None:
    disk = physical_volume()
    disk[at : at + len(noise)] = noise
    for _, volume in lvm.volumes([Bytes(bytes(disk))]):
        volume.read(0, 512)
