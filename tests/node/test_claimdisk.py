"""The disk of a claim: what containers and guests put in its place is never followed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.disks import formats, overlay
from vmpod.node import claimdisk, layers
from vmpod.node.claimdisk import DISK, RAW

pytestmark = pytest.mark.host
SIZE = 1 << 20


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.create()
    return made


@pytest.fixture
def folder(paths: Paths) -> Path:
    made = paths.volume("pvc-1")
    made.mkdir()
    return made


def base(paths: Paths, name: str = "a" * 64) -> Path:
    path = paths.bases / f"{name}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(SIZE)], check=True)
    return path


def rewrite(disk: Path, *options: str) -> None:
    """Put another qcow2 in a disk's place, as a container could."""
    disk.unlink()
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", *options, str(disk), str(SIZE)], check=True)


async def test_a_blank_disk_and_one_on_a_base(paths: Paths, folder: Path) -> None:
    assert claimdisk.find(paths, folder) is None
    blank = await claimdisk.make(paths, folder, SIZE)
    assert claimdisk.find(paths, folder) == blank and not blank.beneath
    other, beneath = paths.volume("pvc-2"), base(paths)
    other.mkdir()
    await claimdisk.make(paths, other, 2 * SIZE, beneath)
    found = claimdisk.find(paths, other)
    assert found is not None and [one.path for one in found.beneath] == [beneath]
    assert formats.backing_name(found.path) == f"../../bases/{beneath.name}"
    assert not list(paths.staging.iterdir()) and sorted(p.name for p in folder.iterdir()) == [DISK]


@pytest.mark.parametrize("name", [DISK, RAW])
@pytest.mark.parametrize("put", ["link", "dangling", "pipe", "folder"])
async def test_only_a_regular_file_is_opened(paths: Paths, folder: Path, name: str, put: str) -> None:
    path = folder / name
    match put:
        case "link":
            path.symlink_to("/etc/shadow")
        case "dangling":
            path.symlink_to("/nowhere/at/all")
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    with pytest.raises(Problem) as told:
        claimdisk.find(paths, folder)
    assert told.value.reason == "ForeignFile"
    if name == DISK:
        await claimdisk.make(paths, folder, SIZE)  # keeps what is there
        with pytest.raises(Problem):
            claimdisk.find(paths, folder)


@pytest.mark.parametrize("named", ["/etc/shadow", "../../bases/" + "b" * 64 + ".qcow2", "..", "json:{}", ""])
async def test_the_backing_file_must_be_the_recorded_base(paths: Paths, folder: Path, named: str) -> None:
    disk = await claimdisk.make(paths, folder, SIZE, base(paths))
    base(paths, "b" * 64)
    rewrite(disk.path, *(("-b", named, "-F", "raw") if named else ()))
    with pytest.raises(Problem, match="than the one it was made on"):
        claimdisk.find(paths, folder)


async def test_a_blank_disk_may_not_grow_a_backing_file_or_a_data_file(paths: Paths, folder: Path) -> None:
    disk = await claimdisk.make(paths, folder, SIZE)
    rewrite(disk.path, "-b", "/etc/shadow", "-F", "raw")
    with pytest.raises(Problem, match="/etc/shadow"):
        claimdisk.find(paths, folder)
    rewrite(disk.path, "-o", f"data_file={folder}/data")
    with pytest.raises(Problem, match="external data file"):
        claimdisk.find(paths, folder)
    disk.path.write_bytes(b"no image")
    with pytest.raises(Problem, match="not a qcow2"):
        claimdisk.find(paths, folder)


async def test_an_imported_disk_that_was_removed_is_no_blank_one(paths: Paths, folder: Path) -> None:
    disk = await claimdisk.make(paths, folder, SIZE, base(paths))
    disk.path.unlink()
    with pytest.raises(Problem, match="removed from its volume"):
        claimdisk.find(paths, folder)


async def test_what_was_recorded_before_an_engine_died_is_forgotten(paths: Paths, folder: Path) -> None:
    claimdisk.note_base(paths, folder, base(paths))
    with pytest.raises(Problem, match="was removed from its volume"):
        claimdisk.find(paths, folder)
    claimdisk.forget_unmade(paths, folder)
    assert claimdisk.find(paths, folder) is None
    await claimdisk.make(paths, folder, SIZE, base(paths))
    claimdisk.forget_unmade(paths, folder)
    assert claimdisk.find(paths, folder) is not None


async def test_nothing_is_made_for_a_volume_that_is_gone(paths: Paths) -> None:
    with pytest.raises(Problem, match="No such file"):
        await claimdisk.make(paths, paths.volume("pvc-9"), SIZE)
    assert not list(paths.staging.iterdir()) and not paths.volume("pvc-9").exists()


def test_giving_a_link_to_qemu_leaves_what_it_leads_to_alone(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_text("x")
    (folder / RAW).symlink_to(target)
    claimdisk.give_to_qemu(folder / RAW)
    assert target.stat().st_uid == os.geteuid()


async def test_a_disk_is_shared_with_its_copies(paths: Paths, folder: Path) -> None:
    """While nothing was written, what is beneath it; then it becomes a layer, once."""
    beneath = base(paths)
    disk = (await claimdisk.make(paths, folder, SIZE, beneath)).path
    assert overlay.is_untouched(disk)
    assert await claimdisk.share(paths, folder, SIZE, "1") == beneath.stem
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 512", str(disk)], check=True, capture_output=True)
    assert not overlay.is_untouched(disk)
    assert await claimdisk.share(paths, folder, SIZE, "2") == layers.word("2")
    assert await claimdisk.share(paths, folder, SIZE, "3") == layers.word("2")
    copy = paths.volume("pvc-9")
    copy.mkdir()
    made = await claimdisk.make_on(paths, copy, 2 * SIZE, layers.word("2"))
    assert [one.path.name for one in made.beneath] == [DISK, beneath.name]
    assert claimdisk.find(paths, copy) == made
    read = ["qemu-io", "-f", "qcow2", "-c", "read -P 7 0 512", str(made.path)]
    assert "read 512/512" in subprocess.run(read, check=True, capture_output=True, text=True).stdout


async def test_a_copy_of_a_blank_disk_is_blank(paths: Paths, folder: Path) -> None:
    await claimdisk.make(paths, folder, SIZE)
    assert await claimdisk.share(paths, folder, SIZE, "1") == ""
    copy = paths.volume("pvc-9")
    copy.mkdir()
    assert (await claimdisk.make_on(paths, copy, SIZE, "")).beneath == ()
