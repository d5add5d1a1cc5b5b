"""What takes how much room, by files as a home holds them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from vmpod.base.paths import Paths
from vmpod.cli import disk_
from vmpod.cli.main import cli
from vmpod.node import bases, usage
from vmpod.node.usage import Use

MIB = 1 << 20


def qcow2(path: Path, guest_bytes: int, kept_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((b"QFI\xfb" + bytes(20) + guest_bytes.to_bytes(8, "big")).ljust(kept_bytes, b"x"))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home with a base, a frozen layer on it, two volumes, a pod's own disk and a half-made thing."""
    home = Paths(tmp_path)
    qcow2(home.bases / "aaaa.qcow2", 64 * MIB, 2 * MIB)
    bases.write_image(home.bases / "key.image", "aaaa", "0123456789abcdef")
    qcow2(home.bases / "bbbb.qcow2", 8 * MIB, MIB)
    qcow2(home.layer("one") / "disk.qcow2", 64 * MIB, MIB)
    home.layer_base("one").write_text("aaaa")
    qcow2(home.volumes / "pvc-1" / "disk-1.qcow2", 64 * MIB, 3 * MIB)
    home.volume_base("pvc-1").write_text("layer:one\ndisk-1.qcow2")
    (home.volumes / "pvc-2").mkdir()
    (home.volumes / "pvc-2" / "orders.db").write_bytes(os.urandom(MIB // 2))
    (home.volumes / "pvc-2" / "trap").symlink_to("/etc")
    qcow2(home.pods / "uid" / "disks" / "disk0.qcow2", 64 * MIB, MIB)
    (home.pods / "other" / "disks").mkdir(parents=True)
    home.staging.mkdir(parents=True)
    (home.staging / "half").write_bytes(os.urandom(MIB // 4))
    return home


def test_each_thing_is_counted_once(paths: Paths) -> None:
    assert usage.uses(paths) == [
        Use("volume", "pvc-1", 3 * MIB, 64 * MIB, "layer:one"), Use("volume", "pvc-2", MIB // 2),
        Use("layer", "one", MIB, 64 * MIB, "aaaa", 1), Use("base", "aaaa", 2 * MIB, 64 * MIB, users=2),
        Use("base", "bbbb", MIB, 8 * MIB), Use("pod", "uid", MIB, 64 * MIB), Use("staging", "", MIB // 4),
    ]  # fmt: skip


def test_the_table_names_claims_and_what_they_lie_on(paths: Paths) -> None:
    text = disk_.table(usage.uses(paths), {"pvc-1": "shop/orders"}, usage.images(paths))
    lines = [line.split("   ") for line in text.splitlines()]
    assert [line[0].strip() for line in lines] == [
        "WHAT", "claim shop/orders", "volume pvc-2", "layer one", "base aaaa", "base bbbb", "pod uid", "half-made things", "total",
    ]  # fmt: skip
    assert "on layer one" in text and "on base aaaa" in text and "beneath nothing" in text
    assert "beneath 2 disks, of the image 0123456789ab" in text
    assert lines[-1][-1].strip() == "8.8 MiB"


def test_the_command_needs_no_engine(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMPOD_HOME", str(paths.home))
    done = CliRunner().invoke(cli, ["disk", "usage", "-o", "json"])
    assert [one["kind"] for one in json.loads(done.output)][:2] == ["volume", "volume"]
    assert "claim" not in CliRunner().invoke(cli, ["disk", "usage"]).output.splitlines()[1]
