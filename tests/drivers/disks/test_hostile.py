"""Files that are damaged, or made to do harm: each is refused with a reason, and nothing of it is left."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from vmpod.base.errors import Problem
from vmpod.drivers.disks import importer
from vmpod.drivers.disks.importer import Job

pytestmark = pytest.mark.host

RAW = bytes(510) + b"\x55\xaa" + os.urandom(1 << 20) + bytes(512 * 7)


def made(format: str, folder: Path, *options: str) -> bytes:
    """An honest image of a format, to be spoiled."""
    raw, image = folder / "honest.raw", folder / "honest"
    raw.write_bytes(RAW)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", format, *options, str(raw), str(image)], check=True)
    return image.read_bytes()


Spoil = Callable[[Path], bytes]


def spoiled(format: str, at: int, new: bytes, *options: str) -> Spoil:
    """An image with other bytes at a place of its header (negative: from its end)."""

    def spoil(folder: Path) -> bytes:
        whole = bytearray(made(format, folder, *options))
        start = at if at >= 0 else len(whole) + at
        whole[start : start + len(new)] = new
        return bytes(whole)

    return spoil


def cut(format: str, keep: float, *options: str) -> Spoil:
    """The beginning of an image."""
    return lambda folder: (whole := made(format, folder, *options))[: int(len(whole) * keep)]


def plain(content: bytes) -> Spoil:
    return lambda folder: content


def backed(name: bytes) -> Spoil:
    """A qcow2 that names a backing file."""

    def spoil(folder: Path) -> bytes:
        whole = bytearray(made("qcow2", folder))
        whole[8:20] = struct.pack(">QI", 4000, len(name))
        whole[4000 : 4000 + len(name)] = name
        return bytes(whole)

    return spoil


def descriptor(*extents: str, parent: str = "") -> Spoil:
    """The text of a VMDK that lists extents."""
    lines = ["# Disk DescriptorFile", "version=1", "CID=fffffffe", "parentCID=ffffffff", 'createType="monolithicFlat"', *extents]
    text = "\n".join([*lines, *([f'parentFileNameHint="{parent}"'] if parent else [])])
    return plain(text.encode().ljust(1024, b"\0"))


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


STREAM = ("-o", "subformat=streamOptimized")

CASES: dict[str, tuple[Spoil, str]] = {
    "an empty file": (plain(b""), "empty"),
    "one byte": (plain(b"x"), "no known format"),
    "a text": (plain(b"hello\n" * 100), "no known format"),
    "a web page": (plain(b"<!DOCTYPE html><html>404</html>".ljust(512)), "no known format"),
    "a program": (plain(b"\x7fELF" + bytes(508)), "no known format"),
    "a raw disk that is not whole sectors": (plain(RAW + b"x"), "no known format"),
    "the magic of qcow2 alone": (plain(b"QFI\xfb"), "no known format"),
    "half a header of qcow2": (plain(b"QFI\xfb\0\0\0\3" + bytes(40)), "cut off"),
    "version 1 of qcow": (plain(b"QFI\xfb\0\0\0\1" + bytes(504)), "no known format"),
    "an unknown version of qcow2": (spoiled("qcow2", 4, u32(99)), "damaged"),
    "a backing file": (backed(b"/etc/shadow"), "refers to another file"),
    "a backing file by protocol": (backed(b"nbd:127.0.0.1:1"), "refers to another file"),
    "a backing file by JSON": (backed(b'json:{"driver":"file","filename":"/etc/shadow"}'), "refers to another file"),
    "a backing file whose name lies beyond the end": (spoiled("qcow2", 8, u64(1 << 60) + u32(20)), "refers to another file|damaged"),
    "an external data file": (spoiled("qcow2", 72, u64(1 << 2)), "refers to another file"),
    "a feature that nobody knows": (spoiled("qcow2", 72, u64(1 << 40)), "damaged"),
    "a mark of corruption": (spoiled("qcow2", 72, u64(1 << 1)), "damaged"),
    "an encrypted qcow2": (spoiled("qcow2", 32, u32(1)), "encrypted"),
    "a qcow2 encrypted by LUKS": (spoiled("qcow2", 32, u32(2)), "encrypted"),
    "clusters of 2^63 bytes": (spoiled("qcow2", 20, u32(63)), "damaged"),
    "clusters of 4 bytes": (spoiled("qcow2", 20, u32(2)), "damaged"),
    "a disk of 2^62 bytes": (spoiled("qcow2", 24, u64(1 << 62)), "damaged"),
    "a table of 2^31 entries": (spoiled("qcow2", 36, u32(1 << 31)), "damaged"),
    "a table beyond the end": (spoiled("qcow2", 40, u64(1 << 50)), "damaged"),
    "a table at an odd place": (spoiled("qcow2", 40, u64(12345)), "damaged"),
    "a table of references beyond the end": (spoiled("qcow2", 48, u64(1 << 50)), "damaged"),
    "a table of references of 2^31 clusters": (spoiled("qcow2", 56, u32(1 << 31)), "damaged"),
    "2^31 snapshots": (spoiled("qcow2", 60, u32(1 << 31)), "damaged"),
    "references of 2^40 bits": (spoiled("qcow2", 96, u32(40)), "damaged"),
    "a header of 4 GiB": (spoiled("qcow2", 100, u32(0xFFFFFFF8)), "damaged"),
    "half a qcow2": (cut("qcow2", 0.5), "damaged"),
    "the extents of others": (descriptor('RW 20480 FLAT "/etc/passwd" 0'), "refers to another file"),
    "extents upwards": (descriptor('RW 20480 FLAT "../../etc/passwd" 0'), "refers to another file"),
    "an extent that is a device": (descriptor('RW 20480 VMFSRDM "/dev/sda" 0'), "refers to another file"),
    "a VMDK with a parent": (spoiled("vmdk", 512, b'# Disk DescriptorFile\nparentCID=123\nparentFileNameHint="/etc/passwd"\n'), "refers to another file"),
    "half a header of VMDK": (plain(b"KDMV" + bytes(20)), "cut off|damaged"),
    "half a VMDK": (cut("vmdk", 0.5), "damaged"),
    "half a stream-optimised VMDK": (cut("vmdk", 0.5, *STREAM), "damaged"),
    "grains of 2^63 sectors": (spoiled("vmdk", 20, struct.pack("<Q", 1 << 63)), "damaged"),
    "grain tables of 2^32 entries": (spoiled("vmdk", 44, b"\xff\xff\xff\xff"), "damaged"),
    "a directory of grains beyond the end": (spoiled("vmdk", 56, struct.pack("<Q", 1 << 50)), "damaged"),
    "a compression that nobody knows": (spoiled("vmdk", 77, b"\x07\x07", *STREAM), "damaged"),
    "half a header of VDI": (plain(bytes(64) + b"\x7f\x10\xda\xbe" + bytes(444)), "damaged"),
    "a VDI of 2^32 blocks": (spoiled("vdi", 0x180, b"\xff\xff\xff\xff"), "damaged"),
    "blocks of VDI of 1 byte": (spoiled("vdi", 0x178, struct.pack("<I", 1)), "damaged"),
    "a VDI upon another": (spoiled("vdi", 0x4C, struct.pack("<I", 4)), "lies on another image"),
    "half a VDI": (cut("vdi", 0.5), "damaged"),
    "a VHDX without its tables": (plain(b"vhdxfile" + bytes(1 << 20)), "damaged"),
    "half a VHDX": (cut("vhdx", 0.4), "damaged"),
    "a VHD with a parent": (spoiled("vpc", 60, u32(4)), "refers to another file"),
    "a VHD of 2^32 blocks": (spoiled("vpc", 512 + 28, u32(0xFFFFFFFF)), "damaged"),
    "a VHD whose header lies beyond the end": (spoiled("vpc", 16, u64(1 << 50)), "damaged"),
    "gzip that ends early": (plain(gzip.compress(RAW)[:-4000]), "truncated or damaged"),
    "gzip with a wrong sum": (plain(gzip.compress(RAW)[:-8] + bytes(8)), "truncated or damaged"),
    "gzip of no known block": (plain(gzip.compress(RAW)[:10] + b"\xff" * 900), "truncated or damaged"),
    "xz that ends early": (plain(lzma.compress(RAW)[:-4000]), "truncated or damaged"),
    "bzip2 that ends early": (plain(bz2.compress(RAW)[:-4000]), "truncated or damaged"),
    "bzip2 with other bytes in it": (plain(bz2.compress(RAW)[:9000] + bytes(9000)), "truncated or damaged"),
    "zstd that ends early": (plain(zstd.compress(RAW)[:-4000]), "truncated or damaged"),
    "gzip in gzip": (plain(gzip.compress(gzip.compress(RAW))), "no known format"),
    "gzip of nothing": (plain(gzip.compress(b"")), "empty"),
    "a backing file inside gzip": (lambda folder: gzip.compress(backed(b"/etc/shadow")(folder)), "refers to another file"),
}


@pytest.mark.parametrize("what", CASES)
def test_a_bad_image_is_refused(tmp_path: Path, what: str) -> None:
    spoil, says = CASES[what]
    image = tmp_path / "image"
    image.write_bytes(spoil(tmp_path))
    before = image.read_bytes()
    with pytest.raises(Problem, match=says):
        importer.run(Job("file", str(image), str(tmp_path / "bases"), str(tmp_path / "staging")))
    assert not any((tmp_path / "staging").iterdir())
    assert not (tmp_path / "bases").exists() or not any((tmp_path / "bases").iterdir())
    assert image.read_bytes() == before


PARTS: dict[str, tuple[Spoil, str]] = {
    "an extent elsewhere": (descriptor('RW 4 FLAT "/etc/passwd" 0'), "is not beside it"),
    "an extent upwards": (descriptor('RW 4 FLAT "../passwd" 0'), "is not beside it"),
    "an extent that is a link": (descriptor('RW 4 FLAT "link" 0'), "symbolic link"),
    "an extent that is a folder": (descriptor('RW 4 FLAT "folder" 0'), "use the disk"),
    "an extent that is a device": (descriptor('RW 4 VMFSRDM "/dev/sda" 0'), "no file"),
    "an extent that is missing": (descriptor('RW 4 FLAT "gone.vmdk" 0'), "is missing"),
    "an extent without a name": (descriptor("RW 4 FLAT"), "is not beside it"),
    "no extents": (descriptor(), "lists 0 extents"),
    "a parent": (plain(b'# Disk DescriptorFile\nparentCID=12345678\nRW 4 FLAT "x" 0\n'), "parent disk"),
}


@pytest.mark.parametrize("what", PARTS)
def test_a_bad_list_of_parts_is_refused(tmp_path: Path, what: str) -> None:
    spoil, says = PARTS[what]
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    (tmp_path / "image").write_bytes(spoil(tmp_path))
    with pytest.raises(Problem, match=says):
        importer.run(Job("split", str(tmp_path / "image"), str(tmp_path / "bases"), str(tmp_path / "staging")))
    assert not any((tmp_path / "staging").iterdir())


@pytest.mark.parametrize("kind", ["folder", "pipe", "nothing", "device"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(Problem, match=r"there is no such file|it is not a file"):
        source = "/dev/zero" if kind == "device" else str(path)
        importer.run(Job("file", source, str(tmp_path / "bases"), str(tmp_path / "staging")))
