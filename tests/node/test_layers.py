"""Layers: a frozen disk keeps its content, what lies on it sees it, and it goes when nothing needs it any more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.node import bases, claimdisk, layers
from vmpod.node.claimdisk import ClaimDisk

pytestmark = pytest.mark.host
SIZE = 1 << 20


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.create()
    return made


def volume(paths: Paths, name: str) -> Path:
    made = paths.volume(name)
    made.mkdir()
    return made


def put(disk: ClaimDisk, byte: int, at: int = 0) -> None:
    argv = ["qemu-io", "-f", disk.format, "-c", f"write -P {byte} {at} 4k", str(disk.path)]
    subprocess.run(argv, check=True, capture_output=True)


def holds(disk: ClaimDisk, byte: int, at: int = 0) -> bool:
    argv = ["qemu-io", "-r", "-f", disk.format, "-c", f"read -P {byte} {at} 4k", str(disk.path)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return "verification failed" not in done.stdout + done.stderr


async def frozen(paths: Paths, folder: Path, id: str) -> ClaimDisk:
    layers.hold(paths, id)
    disk = await claimdisk.freeze(paths, folder, SIZE, id)
    claimdisk.forget_old(paths, folder)
    return disk


async def test_what_is_written_after_a_freeze_is_not_in_the_layer(paths: Paths) -> None:
    folder, other = volume(paths, "pvc-1"), volume(paths, "pvc-2")
    put(await claimdisk.make(paths, folder, SIZE), 1)
    head = await frozen(paths, folder, "s1")
    put(head, 2)
    assert claimdisk.find(paths, folder) == head and holds(head, 2)
    assert holds(await claimdisk.make_on_layer(paths, other, SIZE, "s1"), 1)
    assert sorted(one.name for one in folder.iterdir()) == ["disk-1.qcow2"]


async def test_a_freeze_that_was_cut_short_is_begun_anew(paths: Paths) -> None:
    folder = volume(paths, "pvc-1")
    disk = await claimdisk.make(paths, folder, SIZE)
    put(disk, 1)
    layers.hold(paths, "s1")
    layers.take(paths, "s1", disk.path, disk.format, "")
    assert claimdisk.find(paths, folder) == disk
    (folder / "disk-1.qcow2").touch()
    head = await frozen(paths, folder, "s1")
    assert holds(head, 1) and await claimdisk.freeze(paths, folder, SIZE, "s1") == head


async def test_a_raw_disk_becomes_a_raw_layer(paths: Paths) -> None:
    folder = volume(paths, "pvc-1")
    (folder / claimdisk.RAW).write_bytes(b"\x07" * SIZE)
    head = await frozen(paths, folder, "s1")
    assert head.beneath[0].format == "raw" and holds(head, 7) and not (folder / claimdisk.RAW).exists()


async def test_layers_go_when_neither_snapshot_nor_disk_needs_them(paths: Paths) -> None:
    folder = volume(paths, "pvc-1")
    base = paths.bases / f"{'a' * 64}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), str(SIZE)], check=True)
    await claimdisk.make(paths, folder, SIZE, base)
    await frozen(paths, folder, "s1")
    await frozen(paths, folder, "s2")
    for id in ("s1", "s2"):
        layers.let_go(paths, id)
    bases.remove_unused(paths)
    found = claimdisk.find(paths, folder)
    assert found is not None and [one.layer for one in found.beneath] == ["s2", "s1", ""]
    claimdisk.erase(paths, folder)
    bases.remove_unused(paths)
    assert not list(paths.layers.iterdir()) and not base.exists()


async def test_a_layer_that_was_rewritten_is_not_opened(paths: Paths) -> None:
    folder = volume(paths, "pvc-1")
    await claimdisk.make(paths, folder, SIZE)
    await frozen(paths, folder, "s1")
    disk = paths.layer("s1") / layers.DISK
    os.unlink(disk)
    argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow", str(disk), str(SIZE)]
    subprocess.run(argv, check=True)
    with pytest.raises(Problem, match="refers to another file"):
        claimdisk.find(paths, folder)
