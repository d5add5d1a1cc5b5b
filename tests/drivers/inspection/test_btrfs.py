"""btrfs by images that mkfs.btrfs of btrfs-progs 6.14 made: `--rootdir --subvol root --subvol home --subvol root/var/log
--compress zlib|lzo|zstd`, nodes of 4096 bytes, so that its trees have levels; and what damage does."""

from __future__ import annotations

import hashlib
import lzma
import random
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.drivers.inspection import filesystems, lzo
from vmpod.drivers.inspection.blocks import Bytes
from vmpod.drivers.inspection.btrfs import Btrfs
from vmpod.drivers.inspection.look import examine
from vmpod.drivers.inspection.trees import Tree

IMAGES = Path(__file__).with_name("btrfs")
WORDS = "769cd6854ef6486a9f556dbb85f02068cbacdd78002f10030a916b2767445ac8"
USED = 24 << 20  # beyond it the file system of the images is empty


@lru_cache(1)
def image(packing: str) -> bytes:
    return lzma.decompress((IMAGES / f"{packing}.img.xz").read_bytes())


@pytest.mark.parametrize("packing", ["zlib", "lzo", "zstd"])
def test_packed_files_are_read_through_subvolumes(packing: str) -> None:
    tree = Tree(Btrfs(Bytes(image(packing))))
    assert hashlib.sha256(tree.read("/root/words")).hexdigest() == WORDS
    assert tree.names("/root/many") == [f"file-{index}" for index in range(100, 221)]
    assert (tree.text("/root/many/file-219"), tree.text("/root/etc/os-release")[:9]) == ("219\n", "ID=fedora")
    assert (tree.text("/root/var/log/deep/inner"), tree.text("/home/ann/note")) == ("inner\n", "mine\n")
    assert (tree.link("/root/etc/os-release"), tree.exists("/root/nothing")) == ("../usr/lib/os-release", False)


def test_subvolumes_are_known_by_their_paths() -> None:
    found = Btrfs(Bytes(image("zstd"))).subvolumes()
    assert {path: sorted(volume.names("/")) for path, volume in found.items()} == {
        "": ["home", "root"], "home": ["ann"], "root/var/log": ["deep"],
        "root": ["boot", "etc", "lib", "many", "usr", "var", "words"],
    }  # fmt: skip


def test_a_system_in_a_subvolume_is_found() -> None:
    mark = filesystems.mark(Bytes(image("zstd")))
    assert (mark.name, mark.label, mark.uuid) == ("btrfs", "pool", "0b7a4b3e-5b8f-4f0a-9d39-7f1f5f1d2a10")
    assert 50 << 20 < mark.free_bytes < 60 << 20
    found = examine(Bytes(image("zstd")))
    assert (found.system.name, found.system.hostname, found.unread) == ("Fedora Linux 42 (Server Edition)", "felt", ())
    assert found.system.kernels[0].virtio == "builtin"


@pytest.mark.parametrize("seed", range(12))
def test_overwritten_places_do_no_harm(seed: int) -> None:
    noise, broken = random.Random(seed), bytearray(image("zstd"))
    for _ in range(1 << seed):
        at = noise.choice((noise.randrange(0x10000, 0x11000), noise.randrange(0x100000, USED)))
        broken[at : at + 8] = noise.randbytes(8)
    assert examine(Bytes(bytes(broken))).table == ""


def test_a_tree_that_leads_to_itself_ends() -> None:
    broken = bytearray(image("zstd"))
    for at in range(0, USED, 4096):
        level = broken[at + 0x64]
        if broken[at + 0x20 : at + 0x30] == broken[0x10020:0x10030] and 0 < level < 8 and broken[at + 0x30 : at + 0x38] != bytes(8):
            own = bytes(broken[at + 0x30 : at + 0x38])
            for pointer in range(10):
                broken[at + 101 + 33 * pointer + 17 : at + 101 + 33 * pointer + 25] = own
    assert examine(Bytes(bytes(broken))).unread == ("disk: btrfs",)


def test_what_lies_on_another_disk_is_not_read() -> None:
    second = bytearray(image("zstd"))
    second[0x100C9] = 2  # the number of this disk in its pool
    with pytest.raises(OSError, match="not on this disk"):
        Btrfs(Bytes(bytes(second)))


def test_lzo_of_every_kind_of_match() -> None:
    assert lzo.unpack(b"\x15abcd\x11\0\0", 99) == b"abcd"
    assert lzo.unpack(b"\x15abcd\x20\x01\x0c\0\x11\0\0", 99) == b"abcd" + b"abcd" * 8 + b"ab"
    with pytest.raises(ValueError, match="before the output"):
        lzo.unpack(b"\x15abcd\x20\x01\xfc\xff\x11\0\0", 99)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 5000))
def test_lzo_never_gives_more_than_was_asked(raw: bytes, most: int) -> None:
    try:
        assert len(lzo.unpack(raw, most)) <= most
    except (ValueError, IndexError):
        return
