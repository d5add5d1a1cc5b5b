"""Disks as streams: what the guest sees, raw or packed, of a chain of images; by a process without privileges."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from vmpod.drivers.disks.stream import Job

pytestmark = pytest.mark.host
SIZE = 200 << 20


def qemu(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, str], ...]:
    """A disk on a layer on a raw base, with something of its own in each."""
    folder = tmp_path_factory.mktemp("chain")
    raw, layer, disk = folder / "base.img", folder / "layer.qcow2", folder / "disk.qcow2"
    raw.write_bytes(os.urandom(3 << 20).ljust(4 << 20, b"\0"))
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(raw), str(layer), str(SIZE))
    qemu("qemu-io", "-c", "write -P 0x41 1M 128k", "-c", "write -P 0x42 150M 3M", str(layer))
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(layer), str(disk))
    qemu("qemu-io", "-c", "write -P 0x43 1M 64k", "-c", "write -z 151M 1M", str(disk))
    for one in (raw, layer, disk):
        os.chown(one, 107, 107)
    return ((str(disk), "qcow2"), (str(layer), "qcow2"), (str(raw), "raw"))


def start(job: Job) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "vmpod.drivers.disks.stream", json.dumps(asdict(job)), str(os.getpid())]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def sent(job: Job) -> bytes:
    with start(job) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_all_of_it(chain: tuple[tuple[str, str], ...], tmp_path: Path) -> None:
    qemu("qemu-img", "convert", "-O", "raw", chain[0][0], str(tmp_path / "whole"))
    whole = (tmp_path / "whole").read_bytes()
    assert sent(Job(chain)) == whole
    packed = sent(Job(chain, "gzip"))
    assert gzip.decompress(packed) == whole and len(packed) < 5 << 20
    start_, end = (1 << 20) - 5, (1 << 20) + 70_000
    assert sent(Job(chain, start=start_, end=end)) == whole[start_:end]


def test_what_an_image_names_is_not_opened(chain: tuple[tuple[str, str], ...], tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", chain[2][0], str(disk), str(1 << 20))
    os.chown(disk, 107, 107)
    assert sent(Job(((str(disk), "qcow2"),))) == bytes(1 << 20)


def test_a_link_is_not_followed_and_a_broken_disk_is_no_whole_one(chain: tuple[tuple[str, str], ...], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(chain[0][0])
    (tmp_path / "text").write_text("no disk")
    os.chown(tmp_path / "text", 107, 107)
    for name, words in (("link", b"Too many levels"), ("text", b"qcow2")):
        with start(Job(((str(tmp_path / name), "qcow2"),))) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode != 0 and out == b"" and words in err


def test_who_reads_has_no_privileges_and_ends_with_its_reader(chain: tuple[tuple[str, str], ...]) -> None:
    with start(Job(chain)) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        (children,) = (Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split(),)
        for pid in (str(process.pid), *children):
            status = Path(f"/proc/{pid}/status").read_text()
            assert "Uid:\t107\t107\t107\t107" in status and "CapEff:\t0000000000000000" in status
        assert "qemu-nbd" in Path(f"/proc/{children[0]}/cmdline").read_text()
        process.stdout.close()
        assert process.wait(timeout=30) != 0
    for _ in range(200):
        if not Path(f"/proc/{children[0]}").exists():
            return
        os.sched_yield()
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError("qemu-nbd runs on")
