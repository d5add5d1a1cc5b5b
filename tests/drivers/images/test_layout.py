"""The disk of a container disk: found by KubeVirt's rule, top layer first, links never followed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.images import layout


def layer(*members: tuple[str, bytes | str], packed: bool = False) -> bytes:
    """A layer: (name, bytes) is a file, (name, text) a symbolic link to it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue()) if packed else out.getvalue()


def image(folder: Path, *layers: bytes, nested: bool = False) -> Path:
    """An OCI layout with these layers, lowest first."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content), "mediaType": "application/x"}

    entry = blob(json.dumps({"layers": [blob(one) for one in layers]}).encode())
    if nested:
        entry = blob(json.dumps({"manifests": [entry]}).encode())
    (folder / "index.json").write_text(json.dumps({"manifests": [entry]}))
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_the_only_file_in_disk_is_the_disk(tmp_path: Path, packed: bool, nested: bool) -> None:
    found = image(tmp_path / "image", layer(("disk/a.qcow2", b"QFI"), packed=packed), nested=nested)
    layout.copy_disk(found, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"QFI"


def test_the_top_layer_wins(tmp_path: Path) -> None:
    found = image(tmp_path / "image", layer(("disk/a", b"old")), layer(("./disk/a", b"new")))
    layout.copy_disk(found, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new"


def test_a_path_names_a_file_anywhere(tmp_path: Path) -> None:
    found = image(tmp_path / "image", layer(("disk/a", b"1"), ("custom/b.img", b"2")))
    layout.copy_disk(found, tmp_path / "out", path="/custom/b.img")
    assert (tmp_path / "out").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("etc/passwd", b"x")], "no disk in /disk"),
        ([("disk/a", b"1"), ("disk/b", b"2")], "more than one file"),
        ([("disk/a", "/etc/shadow")], "no disk in /disk"),
        ([("disk/deep/a", b"1")], "no disk in /disk"),
    ],
)
def test_no_disk_is_told(tmp_path: Path, members: list[tuple[str, bytes | str]], why: str) -> None:
    with pytest.raises(Problem, match=why):
        layout.copy_disk(image(tmp_path / "image", layer(*members)), tmp_path / "out")


def test_a_removed_disk_is_not_found_beneath(tmp_path: Path) -> None:
    found = image(tmp_path / "image", layer(("disk/a", b"old")), layer((".wh.disk", b"")))
    with pytest.raises(Problem, match="no disk in /disk"):
        layout.copy_disk(found, tmp_path / "out")


@pytest.mark.parametrize(("upper", "why"), [
    ([("disk/b", b"2")], "more than one file in /disk: disk/a, disk/b"),
    ([("disk/.wh..wh..opq", b"")], "no disk in /disk"),
    ([("disk/.wh.a", b"")], "no disk in /disk"),
])  # fmt: skip
def test_the_layers_are_seen_together(tmp_path: Path, upper: list[tuple[str, bytes | str]], why: str) -> None:
    with pytest.raises(Problem, match=why):
        layout.copy_disk(image(tmp_path / "image", layer(("disk/a", b"1")), layer(*upper)), tmp_path / "out")


@pytest.mark.parametrize("upper", [
    [("disk/b", b"2"), ("disk/.wh.a", b"")], [("disk/b", b"2"), ("disk/.wh..wh..opq", b"")], [(".wh.disk", b""), ("disk/b", b"2")],
])  # fmt: skip
def test_a_layer_may_put_another_disk_in_place(tmp_path: Path, upper: list[tuple[str, bytes | str]]) -> None:
    layout.copy_disk(image(tmp_path / "image", layer(("disk/a", b"1")), layer(*upper)), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"2"


@pytest.mark.parametrize("upper", [(".wh.deep", b""), ("deep/.wh.a", b""), ("deep/.wh..wh..opq", b""), ("deep/a", "/etc/shadow")])
def test_a_named_disk_that_a_layer_hides_is_gone(tmp_path: Path, upper: tuple[str, bytes | str]) -> None:
    found = image(tmp_path / "image", layer(("deep/a", b"1")), layer(upper))
    with pytest.raises(Problem, match="a layer removes /deep/a"):
        layout.copy_disk(found, tmp_path / "out", path="deep/a")


def test_a_damaged_layer_is_told(tmp_path: Path) -> None:
    whole = layer(("disk/a", b"1" * 5000))
    with pytest.raises(Problem, match="a layer of it is damaged"):
        layout.copy_disk(image(tmp_path / "image", whole[:1500]), tmp_path / "out")


def test_a_digest_cannot_lead_elsewhere(tmp_path: Path) -> None:
    found = image(tmp_path / "image", layer(("disk/a", b"x")))
    entry = {"manifests": [{"digest": "sha256:../../../../etc/passwd"}]}
    (found / "index.json").write_text(json.dumps(entry))
    with pytest.raises(Problem, match="no digest"):
        layout.copy_disk(found, tmp_path / "out")


def test_zstd_layers_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="zstd"):
        layout.copy_disk(image(tmp_path / "image", b"\x28\xb5\x2f\xfd" + b"\0" * 20), tmp_path / "out")


def test_holes_stay_holes(tmp_path: Path) -> None:
    content = b"\1" + b"\0" * (3 << 20)
    layout.copy_disk(image(tmp_path / "image", layer(("disk/a", content))), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
