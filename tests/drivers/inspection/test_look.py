"""Real file systems in real images, made by the tools that make them, read by a process without rights."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.inspection.facts import Image
from vmpod.drivers.inspection.look import look
from vmpod.drivers.inspection.trees import Tree
from vmpod.drivers.inspection.xfs import Xfs

pytestmark = pytest.mark.host

MANY = 1200


def run(*argv: str | Path) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, timeout=120)


class File:
    """A raw image."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a small system."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("etc/netplan", "usr/lib", "usr/bin", "many", "lib/modules/6.1.0"):
        (folder / name).mkdir(parents=True)
    (folder / "usr/lib/os-release").write_text('ID=rocky\nVERSION_ID="9.4"\nPRETTY_NAME="Rocky Linux 9.4"\n')
    (folder / "etc/os-release").symlink_to("../usr/lib/os-release")
    (folder / "etc/hostname").write_text("till\n")
    (folder / "etc/fstab").write_text("LABEL=root / auto defaults 0 0\n")
    (folder / "lib/modules/6.1.0/modules.builtin").write_text("kernel/drivers/block/virtio_blk.ko\n")
    for index in range(MANY):
        (folder / f"many/file-number-{index:05}").write_text(str(index))
    (folder / "big").write_bytes(random.Random(7).randbytes(3 << 20))
    return folder


def filesystem(kind: str, root: Path, out: Path) -> None:
    out.touch()
    os.truncate(out, 400 << 20)
    if kind == "xfs":
        described = out.with_suffix(".proto")
        described.write_text("/\n0 0\nd--755 0 0\n" + "\n".join(described_xfs(root, root)) + "\n$\n")
        run("mkfs.xfs", "-q", "-L", "root", "-p", described, out)
    else:
        run(f"mkfs.{kind}", "-q", "-L", "root", "-d", root, out)


def described_xfs(folder: Path, root: Path) -> list[str]:
    """The lines by which mkfs.xfs is told what to put into a file system."""
    lines = []
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            lines.append(f"{entry.name} l--777 0 0 {entry.readlink()}")
        elif entry.is_dir():
            lines += [f"{entry.name} d--755 0 0", *described_xfs(entry, root), "$"]
        else:
            lines.append(f"{entry.name} ---644 0 0 {entry}")
    return lines


def disk(parts: list[Path], out: Path, label: str, kinds: list[str]) -> None:
    """A disk with a partition table and these file systems."""
    size = sum(part.stat().st_size for part in parts) + (4 << 20)
    out.touch()
    os.truncate(out, size)
    lines, at = [f"label: {label}"], 2048
    for part, kind in zip(parts, kinds, strict=True):
        lines.append(f"start={at}, size={part.stat().st_size // 512}, type={kind}")
        run("dd", f"if={part}", f"of={out}", "bs=1M", f"seek={at // 2048}", "conv=notrunc,sparse")
        at += part.stat().st_size // 512
    subprocess.run(["sfdisk", "-q", str(out)], input="\n".join(lines), text=True, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_system_on_a_gpt_disk_with_an_efi_partition(kind: str, root: Path, tmp_path: Path) -> None:
    inner, esp, raw, image = (tmp_path / name for name in ("root.fs", "esp.fs", "disk.raw", "disk.qcow2"))
    filesystem(kind, root, inner)
    run("mkfs.vfat", "-C", "-n", "ESP", esp, "40960")
    loader = tmp_path / "BOOTX64.EFI"
    loader.write_bytes(b"MZ")
    run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-i", esp, loader, "::/EFI/BOOT/BOOTX64.EFI")
    disk([esp, inner], raw, "gpt", ["U", "L"])
    run("qemu-img", "convert", "-O", "qcow2", raw, image)
    found: Image = look(image)
    assert (found.format, found.table, found.boots) == ("qcow2", "gpt", ("uefi",))
    assert [(part.kind, part.filesystem, part.label) for part in found.parts] == [("efi", "vfat", "ESP"), ("linux", kind, "root")]
    assert (found.system.name, found.system.hostname) == ("Rocky Linux 9.4", "till")
    assert found.system.kernels[0].virtio == "builtin"
    assert found.parts[1].free_bytes > 100 << 20
    assert not list(Path(image).parent.glob("vmpod-*"))


def test_xfs_is_read_whole(root: Path, tmp_path: Path) -> None:
    filesystem("xfs", root, tmp_path / "x.fs")
    tree = Tree(Xfs(File(tmp_path / "x.fs")))
    assert tree.names("/many") == [f"file-number-{index:05}" for index in range(MANY)]
    assert tree.text("/many/file-number-00999") == "999"
    wanted = hashlib.sha256((root / "big").read_bytes()).digest()
    assert hashlib.sha256(tree.read("/big", 4 << 20)).digest() == wanted


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_damaged_file_system_ends_in_words(kind: str, root: Path, tmp_path: Path) -> None:
    raw = tmp_path / "x.raw"
    filesystem(kind, root, raw)
    noise = random.Random(kind)
    with raw.open("r+b") as file:
        for _ in range(400):
            file.seek(noise.randrange(2048, 8 << 20))
            file.write(noise.randbytes(64))
    try:
        assert look(raw).format == "raw"
    except Problem as problem:
        assert problem.reason == "Damaged"


@pytest.mark.parametrize("format", ["qcow2", "vmdk", "vdi", "vhdx", "vpc"])
def test_every_format_is_opened(format: str, tmp_path: Path) -> None:
    raw, image = tmp_path / "d.raw", tmp_path / "d.img"
    raw.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    run("qemu-img", "convert", "-f", "raw", "-O", format, raw, image)
    assert look(image).format == format


def test_what_is_not_read_is_asked_of_virt_inspector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, program = tmp_path / "x.raw", tmp_path / "virt-inspector"
    disk([empty(tmp_path / "p.fs")], raw, "dos", ["83"])
    program.write_text("#!/bin/sh\necho '<operatingsystems><operatingsystem><name>freebsd</name><product_name>FreeBSD 14"
                       "</product_name></operatingsystem></operatingsystems>'\n")  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert (look(raw, ask="auto").system.name, look(raw).system.name) == ("FreeBSD 14", "")
    program.write_text("#!/bin/sh\necho cannot start >&2; exit 1\n")
    assert look(raw, ask="auto").inspector == "nothing (cannot start)"
    with pytest.raises(Problem, match="cannot start"):
        look(raw, ask="always")


def empty(path: Path) -> Path:
    path.write_bytes(bytes(1 << 20))
    return path


def test_the_command_says_why_an_image_does_not_boot(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from vmpod.cli.main import cli

    filesystem("ext4", root, tmp_path / "x.raw")
    done = CliRunner().invoke(cli, ["inspect", str(tmp_path / "x.raw")])
    assert done.exit_code == 1
    assert "verdict     fails: it is one ext4 file system without a partition table and a boot loader" in done.output
    done = CliRunner().invoke(cli, ["inspect", "--json", str(tmp_path / "x.raw")])
    said = json.loads(done.output)
    assert (said["image"]["system"]["id"], said["advice"]["verdict"]) == ("rocky", "fails")
    run("gzip", tmp_path / "x.raw")
    done = CliRunner().invoke(cli, ["inspect", str(tmp_path / "x.raw.gz")])
    assert "Rocky Linux 9.4" in done.output
