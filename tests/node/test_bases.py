"""Bases stay while something needs them, and go when nothing does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.node import bases, claimdisk
from vmpod.node.bases import Bases

pytestmark = pytest.mark.host
A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.create()
    for name in (A, B, C, D):
        (made.bases / f"{name}.qcow2").write_bytes(b"")
    claimdisk.note_base(made, made.volume("pvc-1"), made.bases / f"{A}.qcow2")
    bases.write_image(made.bases / "key.image", B, "image-1")
    own = made.pod("u1") / "disks" / "root.qcow2"
    own.parent.mkdir(parents=True)
    argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", f"../../../disks/bases/{C}.qcow2"]
    subprocess.run([*argv, str(own), "1M"], check=True)
    return made


def left(paths: Paths) -> list[str]:
    return sorted(path.stem[0] for path in paths.bases.glob("*.qcow2"))


async def test_what_nothing_uses_is_removed(paths: Paths) -> None:
    await Bases(paths).sweep()
    assert left(paths) == ["a", "b", "c"]
    claimdisk.erase(paths, paths.volume("pvc-1"))
    await Bases(paths).sweep()
    assert left(paths) == ["b", "c"]


async def test_nothing_is_removed_while_one_is_being_made(paths: Paths) -> None:
    keeper = Bases(paths)
    async with keeper.kept():
        await keeper.sweep()
        assert left(paths) == ["a", "b", "c", "d"]
    await keeper.sweep()
    assert left(paths) == ["a", "b", "c"]


async def test_an_image_that_is_gone_is_forgotten(paths: Paths) -> None:
    asked: list[str] = []

    async def is_there(image: str) -> bool:
        asked.append(image)
        return False

    keeper = Bases(paths)
    await keeper.forget_images(is_there)
    await keeper.sweep()
    assert asked == ["image-1"] and left(paths) == ["a", "c"]
    assert bases.read_image(paths.bases / "key.image") == ("", "")
