"""A disk shown as a file: who serves it, with what privileges, and that nothing stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.disks import fusefile, mounts


def chain(folder: Path) -> list[tuple[Path, str]]:
    """A disk on a base, with a mark in each."""
    base, disk = folder / "base.qcow2", folder / "disk.qcow2"
    for argv in (["qemu-img", "create", "-q", "-f", "qcow2", str(base), "64M"],
                 ["qemu-io", "-f", "qcow2", "-c", "write -P 0x41 0 64k", str(base)],
                 ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(disk)]):  # fmt: skip
        subprocess.run(argv, check=True, capture_output=True)
    os.chown(disk, 107, 107)
    return [(disk, "qcow2"), (base, "qcow2")]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.host
async def test_what_is_written_is_on_the_disk_when_the_file_is_gone(tmp_path: Path) -> None:
    images, folder = chain(tmp_path), tmp_path / "shown"
    file = await fusefile.show(folder, tmp_path, images, of="v", writable=True)
    assert file.stat().st_size == 64 << 20 and file.read_bytes()[:2] == b"AA"
    with file.open("r+b") as out:
        out.write(b"BB")
    server = fusefile.server(folder)
    assert server is not None
    seen = status(server.pid)
    assert (seen["Uid"].split(), seen["Groups"], seen["NoNewPrivs"]) == (["107"] * 4, "", "1")
    assert {seen[f"Cap{one}"] for one in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert {"usr", "proc", "dev"} <= set(os.listdir(f"/proc/{server.pid}/root")) and not Path(f"/proc/{server.pid}/root/etc").exists()
    assert await fusefile.show(folder, tmp_path, images, of="v", writable=True) == file
    assert fusefile.server(folder) == server, "the one that is there is kept"
    await fusefile.hide(folder)
    assert (mounts.below(tmp_path), folder.exists()) == ([], False)
    read = subprocess.run(["qemu-io", "-f", "qcow2", "-c", "read -P 0x42 0 2", "-c", "read -P 0x41 2 2", str(images[0][0])],
                          check=True, capture_output=True, text=True)  # fmt: skip
    assert "failed" not in read.stdout, read.stdout


@pytest.mark.host
async def test_a_disk_that_somebody_writes_is_not_shown_and_leaves_nothing(tmp_path: Path) -> None:
    images = chain(tmp_path)
    await fusefile.show(tmp_path / "one", tmp_path, images, of="v", writable=True)
    with pytest.raises(Problem, match="lock"):
        await fusefile.show(tmp_path / "two", tmp_path, images, of="v", writable=False)
    assert not (tmp_path / "two").exists()
    await asyncio.gather(fusefile.hide(tmp_path / "one"), fusefile.hide(tmp_path / "none"))
    assert mounts.below(tmp_path) == []


def test_a_machine_without_the_program_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Problem, match="the program qemu-storage-daemon is not installed"):
        fusefile.check()


def test_a_machine_without_fuse_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    with pytest.raises(Problem, match="no /dev/fuse"):
        fusefile.check()
