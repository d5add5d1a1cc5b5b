"""Raw bytes become a qcow2 image while their room is given back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmpod.drivers.disks.pour import pour

MIB = 1 << 20


def content(image: Path) -> bytes:
    out = image.with_suffix(".out")
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(image), str(out)], check=True)
    return out.read_bytes()


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=600)), max_size=6))
def test_the_image_holds_the_same(tmp_path: Path, parts: list[tuple[int, bytes]]) -> None:
    source, target = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    target.unlink(missing_ok=True)
    with source.open("wb") as file:
        file.truncate(3 * MIB + 512)
        for sector, data in parts:
            file.seek(sector * 512)
            file.write(data)
    before = source.read_bytes()
    pour(source, target, lambda _: None)
    assert content(target) == before


def test_its_room_is_given_back_on_the_way(tmp_path: Path) -> None:
    source, seen = tmp_path / "disk.raw", []
    source.write_bytes(b"x" * (20 * MIB))
    pour(source, tmp_path / "disk.qcow2", lambda done: seen.append((done, source.stat().st_blocks * 512)))
    assert [done // MIB for done, _ in seen] == [8, 16]
    assert all(taken <= 20 * MIB - done for done, taken in seen)
    assert (tmp_path / "disk.qcow2").stat().st_blocks * 512 >= 20 * MIB


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    source = tmp_path / "disk.raw"
    source.write_bytes(b"x" * (4 * MIB))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            pour(source, small / "disk.qcow2", lambda _: None)
    finally:
        subprocess.run(["umount", str(small)], check=True)
