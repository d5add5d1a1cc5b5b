"""Images that are made to hang, to fill the memory or to break their reader: each ends in words, soon."""

from __future__ import annotations

import gzip
import mmap
import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.inspection.look import look

pytestmark = pytest.mark.host

SIZE = 64 << 20


def run(*argv: str | Path, stdin: str = "") -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, timeout=120, input=stdin.encode())


def filled(kind: str, root: Path, image: Path) -> mmap.mmap:
    """A file system of a folder's files, to write into."""
    image.touch()
    os.truncate(image, SIZE if kind != "xfs" else 320 << 20)
    if kind == "iso":
        run("xorriso", "-as", "mkisofs", "-R", "-quiet", "-o", image, root)
    elif kind == "vfat":
        run("mkfs.vfat", "-F", "32", image)
        run("mcopy", "-s", "-i", image, *root.iterdir(), "::/")
    elif kind == "xfs":
        files = "\n".join(f"{one.name} ---644 0 0 {one}" for one in sorted(root.iterdir()) if one.is_file())
        image.with_suffix(".proto").write_text(f"/\n0 0\nd--755 0 0\n{files}\n$\n")
        run("mkfs.xfs", "-q", "-p", image.with_suffix(".proto"), image)
    else:
        run(f"mkfs.{kind}", "-q", "-d", root, image)
    with image.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def linux(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "etc/fstab").write_text("")
    return root


def links(root: Path) -> None:
    """Every file that is looked at is a link to itself, to the next one, or upwards without end."""
    linux(root)
    for name, target in {"os-release": "os-release", "hostname": "passwd", "passwd": "hostname", "netplan": "../etc/netplan/.",
                         "systemd": "../" * 300 + "etc", "ssh": "/etc/ssh/x", "nginx": "/"}.items():  # fmt: skip
        (root / "etc" / name).symlink_to(target)
    (root / "lib").symlink_to("/lib/../lib")
    (root / "boot").symlink_to(".")


def depth(root: Path) -> None:
    """Folders in folders, where services are looked for."""
    folder = linux(root) / "etc/nginx"
    for _ in range(400):
        folder /= "d"
    folder.mkdir(parents=True)


def sparse(root: Path) -> None:
    """Texts of 40 GiB, in a hole."""
    linux(root)
    for name in ("os-release", "passwd", "hostname"):
        (root / "etc" / name).touch()
        os.truncate(root / "etc" / name, 40 << 30)


def bomb(root: Path) -> None:
    """An initramfs that unpacks to 1 GiB of zeroes."""
    linux(root)
    (root / "lib/modules/6.1").mkdir(parents=True)
    (root / "boot").mkdir()
    (root / "boot/initrd.img-6.1").write_bytes(gzip.compress(bytes(64 << 20), 9) * 16)


def crowd(root: Path) -> None:
    """Two thousand kernels."""
    for index in range(2_000):
        (linux(root) if not index else root).joinpath(f"lib/modules/6.{index}").mkdir(parents=True)


def entities(root: Path) -> None:
    """Patterns that make a careless search slow."""
    linux(root)
    (root / "etc/os-release").write_text("A=" + "'" * 200_000)
    (root / "etc/passwd").write_text(":" * 900_000)
    (root / "etc/netplan").mkdir()
    (root / "etc/netplan/a.yaml").write_text(" " * 900_000 + "addresses:")
    (root / "etc/network").mkdir()
    (root / "etc/network/interfaces").write_text(("iface " + " " * 400) * 2000)


@pytest.mark.parametrize("trap", [links, depth, sparse, bomb, crowd, entities])
def test_a_file_system_full_of_traps(trap: Callable[[Path], None], tmp_path: Path) -> None:
    root, image = tmp_path / "root", tmp_path / "image"
    trap(root)
    filled("ext4", root, image)
    found = look(image)
    assert (found.system.family, found.parts[0].filesystem) == ("linux", "ext4")


def every(broken: mmap.mmap, pattern: bytes, new: bytes, shift: int = 0) -> None:
    """Put other bytes at every place where a pattern stands."""
    at = broken.find(pattern)
    while at >= 0:
        broken[at + shift : at + shift + len(new)] = new
        at = broken.find(pattern, at + 1)


def circle_of_clusters(broken: mmap.mmap) -> None:
    """Every chain of the FAT leads to the root folder."""
    start = struct.unpack("<H", broken[14:16])[0] * 512
    length = min(struct.unpack("<I", broken[36:40])[0] * 512, 1 << 20)
    broken[start + 8 : start + length] = struct.pack("<I", 2) * (length // 4 - 2)


def folder_in_itself(broken: mmap.mmap) -> None:
    """Records of an ISO's folders lead to the root folder."""
    root = bytes(broken[16 * 2048 + 158 : 16 * 2048 + 166])
    for at in range(18 * 2048, min(len(broken), 60 * 2048) - 40, 2):
        if broken[at + 25] == 2 and broken[at] > 33:
            broken[at + 2 : at + 10] = root


DAMAGE: dict[str, tuple[str, Callable[[mmap.mmap], None]]] = {
    "a chain of clusters that bites its tail": ("vfat", circle_of_clusters),
    "clusters of 0 sectors": ("vfat", lambda b: b.__setitem__(slice(13, 14), b"\0")),
    "2^32 sectors for each FAT": ("vfat", lambda b: b.__setitem__(slice(36, 40), b"\xff" * 4)),
    "folders that hold themselves": ("iso", folder_in_itself),
    "a folder of 4 GiB": ("iso", lambda b: b.__setitem__(slice(16 * 2048 + 166, 16 * 2048 + 174), b"\xff" * 8)),
    "blocks of 2^33 bytes": ("ext4", lambda b: b.__setitem__(slice(1024 + 24, 1024 + 28), struct.pack("<I", 23))),
    "2^32 blocks in each group": ("ext4", lambda b: b.__setitem__(slice(1024 + 32, 1024 + 36), b"\xff" * 4)),
    "inodes of 0 bytes": ("ext4", lambda b: b.__setitem__(slice(1024 + 88, 1024 + 90), b"\0\0")),
    "trees of extents that lead to themselves": ("ext4", lambda b: every(b, b"\x0a\xf3", struct.pack("<HHH", 4, 4, 5), 2)),
    "inodes of 2^60 bytes": ("xfs", lambda b: every(b, b"IN\x81", struct.pack(">Q", 1 << 60), 56)),
    "extents of 2^21 blocks": ("xfs", lambda b: every(b, b"IN\x81", b"\0" * 13 + b"\xff\xff\xff", 176)),
    "files that are trees of themselves": ("xfs", lambda b: every(b, b"IN\x81", b"\x03", 5)),
    "blocks of 0 bytes": ("xfs", lambda b: b.__setitem__(slice(4, 8), bytes(4))),
    "names of 255 bytes in a folder of 20": ("xfs", lambda b: every(b, b"IN\x41", b"\xff", 178)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_system(what: str, tmp_path: Path) -> None:
    kind, spoil = DAMAGE[what]
    root, image = linux(tmp_path / "root"), tmp_path / "image"
    (root / "os-release").write_text("ID=a\n" * 3000)
    (root / "fstab").write_text("x\n" * 9000)
    broken = filled(kind, root, image)
    spoil(broken)
    broken.flush()
    ends_in_words(image)


def ends_in_words(image: Path) -> None:
    try:
        assert look(image).format == "raw"
    except Problem as problem:
        assert problem.reason in ("Damaged", "Format") and problem.why
        assert "takes more than" not in problem.why


@pytest.mark.parametrize("kind", ["vfat", "iso", "ext4", "xfs"])
def test_noise_in_the_heads_of_file_systems(kind: str, tmp_path: Path) -> None:
    root, image = linux(tmp_path / "root"), tmp_path / "image"
    (root / "fstab").write_text("x\n" * 900)
    disk, noise = filled(kind, root, image), random.Random(kind)
    for most in (1, 2, 8, 64, 512):
        before = bytes(disk[:0x10000])
        for _ in range(most):
            disk[noise.randrange(0x8000, 0x10000) if kind == "iso" else noise.randrange(11, 4096)] = noise.randrange(256)
        ends_in_words(image)
        disk[:0x10000] = before


@pytest.mark.parametrize(("argv", "kind"), [(("mkfs.vfat", "-F", "32"), "vfat"), (("mkfs.ext4", "-q"), "ext4")])
def test_a_volume_without_a_system_does_not_boot(argv: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    image = tmp_path / "x"
    image.touch()
    os.truncate(image, SIZE)
    run(*argv, image)
    found = look(image)
    assert (found.boots, found.parts[0].filesystem) == ((), kind)
    assert SIZE // 2 < found.parts[0].free_bytes < SIZE


def test_a_disk_of_a_pebibyte(tmp_path: Path) -> None:
    image = tmp_path / "x.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", image, str(1 << 50))
    assert look(image).virtual_bytes == 1 << 50
