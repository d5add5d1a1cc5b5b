"""Appliances and boxes as archives, good ones and such as are made to do harm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from vmpod.base.errors import Problem
from vmpod.drivers.disks import archives

DISK = b"orders" + bytes(3 << 20) + b"end"


def packed(path: Path, *entries: tuple[str, bytes] | tarfile.TarInfo, pack: Callable[[bytes], bytes] = bytes) -> Path:
    """A tar archive of these files, or entries as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for one in entries:
            if isinstance(one, tarfile.TarInfo):
                tar.addfile(one)
                continue
            info = tarfile.TarInfo(one[0])
            info.size = len(one[1])
            tar.addfile(info, io.BytesIO(one[1]))
    path.write_bytes(pack(out.getvalue()))
    return path


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress, zstd.compress])
def test_a_member_is_copied_with_its_holes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    box = packed(tmp_path / "a.box", ("metadata.json", b"{}"), ("box.img", DISK), pack=pack)
    assert archives.is_archive(box)
    assert [(one.name, one.size) for one in archives.members(box)] == [("metadata.json", 2), ("box.img", len(DISK))]
    assert archives.text(box, "metadata.json") == "{}"
    archives.copy(box, "box.img", tmp_path / "disk")
    assert (tmp_path / "disk").read_bytes() == DISK
    assert (tmp_path / "disk").stat().st_blocks * 512 < len(DISK)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1024), b"\x1f\x8bxxxx", b"QFI\xfb" + bytes(600)])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert not archives.is_archive(tmp_path / "x")


HARM = {
    "a path upwards": (("../../etc/cron.d/x", b"x"), "leads outside"),
    "a path from the root": (("/etc/passwd", b"x"), "leads outside"),
    "a path upwards in the middle": (("a/../../x", b"x"), "leads outside"),
    "a symbolic link": (entry("box.img", tarfile.SYMTYPE, "/etc/shadow"), "never followed"),
    "a hard link": (entry("box.img", tarfile.LNKTYPE, "/etc/shadow"), "never followed"),
    "a block device": (entry("box.img", tarfile.BLKTYPE), "never followed"),
    "a pipe": (entry("box.img", tarfile.FIFOTYPE), "never followed"),
}


@pytest.mark.parametrize("what", HARM)
def test_harm_is_refused(tmp_path: Path, what: str) -> None:
    one, says = HARM[what]
    box = packed(tmp_path / "a.ova", one, ("disk.vmdk", b"x"))  # type: ignore[arg-type]
    for look in (archives.members, lambda path: archives.copy(path, "disk.vmdk", tmp_path / "disk")):
        with pytest.raises(Problem, match=says):
            look(box)
    assert not (tmp_path / "disk").exists()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress, zstd.compress])
@pytest.mark.parametrize("keep", [0.6, 0.99])
def test_a_cut_archive_is_told(tmp_path: Path, pack: Callable[[bytes], bytes], keep: float) -> None:
    noise = bytes(range(256)) * 4096
    whole = packed(tmp_path / "a.box", ("box.img", noise), pack=pack).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(Problem, match="truncated or damaged"):
        archives.copy(tmp_path / "cut", "box.img", tmp_path / "disk")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    box = packed(tmp_path / "a.box", *((f"file{number}", b"") for number in range(archives._MOST_MEMBERS + 1)))
    with pytest.raises(Problem, match="more than"):
        archives.members(box)


def test_a_description_that_is_too_long_is_refused(tmp_path: Path) -> None:
    box = packed(tmp_path / "a.ova", ("a.ovf", bytes(archives._MOST_TEXT + 1)))
    with pytest.raises(Problem, match="too many for a description"):
        archives.text(box, "a.ovf")


def test_a_bomb_ends_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(what: str, folder: Path, wanted_bytes: int) -> None:
        raise Problem(what, "no room", reason="NoSpace")

    bomb = packed(tmp_path / "a.box", ("box.img", b"x" * (130 << 20)), pack=gzip.compress)
    monkeypatch.setattr(archives, "check_room", lambda *a: None if not (tmp_path / "disk").exists() else full(*a))
    with pytest.raises(Problem, match="no room"):
        archives.copy(bomb, "box.img", tmp_path / "disk")
    assert (tmp_path / "disk").stat().st_size < 70 << 20
