"""Overlays name their base relative to themselves, are never smaller, and are made once."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.disks import formats, overlay

pytestmark = pytest.mark.host


def base(tmp_path: Path, size: str = "4M") -> Path:
    path = tmp_path / "bases" / "base.qcow2"
    path.parent.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), size], check=True)
    return path


async def test_an_overlay_is_relative_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "volumes" / "pv" / "disk.qcow2"
    await overlay.make_overlay(path, base(tmp_path), size_bytes=8 << 20)
    assert formats.backing_name(path) == "../../bases/base.qcow2"
    assert await overlay.virtual_bytes(path) == 8 << 20
    subprocess.run(["qemu-img", "check", "-q", str(path)], check=True)


async def test_an_overlay_is_never_smaller_than_its_base(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    await overlay.make_overlay(path, base(tmp_path), size_bytes=1 << 20)
    assert await overlay.virtual_bytes(path) == 4 << 20


async def test_whether_anything_was_written_to_an_overlay(tmp_path: Path) -> None:
    path = tmp_path / "volumes" / "pv" / "disk.qcow2"
    await overlay.make_overlay(path, base(tmp_path), size_bytes=8 << 20)
    assert formats.is_unwritten(path)
    subprocess.run(["qemu-io", "-c", "write 5M 512", str(path)], check=True, capture_output=True)
    assert not formats.is_unwritten(path)
    path.write_bytes(b"raw")
    assert not formats.is_unwritten(path)


async def test_a_reserved_disk_owns_all_the_room_that_it_can_take(tmp_path: Path) -> None:
    path = tmp_path / "volumes" / "pv" / "disk.qcow2"
    await overlay.make_overlay(path, base(tmp_path), size_bytes=8 << 20)
    most = await overlay.most_bytes(8 << 20)
    for _ in range(2):
        overlay.reserve(path, most)
        assert path.stat().st_blocks * 512 >= most >= 8 << 20
    assert overlay.is_untouched(path) and formats.backing_name(path) == "../../bases/base.qcow2"
    subprocess.run(["qemu-io", "-c", "write -P 7 0 8M", str(path)], check=True, capture_output=True)
    subprocess.run(["qemu-img", "check", "-q", str(path)], check=True)
    assert path.stat().st_size == most
    with pytest.raises(Problem, match="are free on the disk") as told:
        overlay.reserve(path, 1 << 60)
    assert told.value.reason == "NoSpace" and path.stat().st_size == most


async def test_an_existing_disk_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    await overlay.make_blank(path, 1 << 20)
    before = path.read_bytes()
    await overlay.make_blank(path, 2 << 20)
    assert path.read_bytes() == before


async def test_a_disk_belongs_to_qemu(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    await overlay.make_blank(path, 1 << 20)
    if os.geteuid() == 0:
        assert (path.stat().st_uid, path.stat().st_gid) == (107, 107)
    info = json.loads(subprocess.run(["qemu-img", "info", "--output=json", str(path)], capture_output=True, check=True).stdout)
    assert (info["format"], info["virtual-size"]) == ("qcow2", 1 << 20)


async def test_what_a_guest_made_of_its_disk_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(b"no image any more")
    with pytest.raises(Problem, match="not a qcow2 image"):
        await overlay.virtual_bytes(path)
