"""The format is told from the file's own bytes, and images that name other files are refused unopened."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.drivers.disks import formats

FORMATS = ("qcow2", "vmdk", "vdi", "vhdx", "vpc")


def make(path: Path, format: str, *options: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", format, *options, str(path), "4M"], check=True)
    return path


@pytest.mark.host
@pytest.mark.parametrize("format", FORMATS)
def test_each_format_is_told(tmp_path: Path, format: str) -> None:
    assert formats.detect(make(tmp_path / "disk", format)) == format


@pytest.mark.parametrize(
    ("offset", "magic"),
    [(510, b"\x55\xaa"), (0x8001, b"CD001"), (0x438, b"\x53\xef"), (0, b"XFSB"), (0x10040, b"_BHRfS_M")],
)
def test_raw_disks_are_told_by_what_is_on_them(tmp_path: Path, offset: int, magic: bytes) -> None:
    content = bytearray(1 << 17)
    content[offset : offset + len(magic)] = magic
    path = tmp_path / "disk"
    path.write_bytes(content)
    assert formats.detect(path) == "raw"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"hello" * 1000, "no known format.*it is text"), (b"QFI", "no known"),
     ("<html>ä".encode().ljust(512), "it is text"), (b"\0" * 4095, "it is not made of whole sectors"),
     (b"\0" * 257 + b"ustar" + b"\0" * 762, "it is a tar archive"), (b"PK\x03\x04" + b"\0" * 508, "it is a zip archive"),
     (b"\0" * 512 + b"koly" + b"\0" * 508, "it is a disk image of macOS"), (b"\x1f\x8b" + b"\0" * 510, "it is gzip")],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "disk"
    path.write_bytes(content)
    with pytest.raises(Problem, match=why):
        formats.detect(path)


@pytest.mark.parametrize("content", [b"\0" * 4096, b"LUKS\xba\xbe" + b"x" * 506, b"hello\n".ljust(512, b"\0"), bytes(range(256)) * 2])
def test_any_bytes_in_whole_sectors_may_be_a_disk(tmp_path: Path, content: bytes) -> None:
    """A data disk has no boot record."""
    path = tmp_path / "disk"
    path.write_bytes(content)
    assert formats.detect(path) == "raw"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="No such file"):
        formats.detect(tmp_path / "nothing")


@pytest.mark.host
def test_a_backing_file_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "base", "qcow2")
    path = make(tmp_path / "disk", "qcow2", "-b", "base", "-F", "qcow2")
    with pytest.raises(Problem, match=r"refers to another file \(base\)"):
        formats.detect(path)
    assert formats.backing_name(path) == "base"


@pytest.mark.host
def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "disk", "qcow2", "-o", f"data_file={tmp_path / 'data'}")
    with pytest.raises(Problem, match="external data file"):
        formats.detect(path)


@pytest.mark.host
@pytest.mark.parametrize("kind", ["monolithicFlat", "twoGbMaxExtentSparse"])
def test_a_vmdk_with_extents_elsewhere_is_refused(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path / "disk.vmdk", "vmdk", "-o", f"subformat={kind}")
    with pytest.raises(Problem, match="extents"):
        formats.detect(path)


@pytest.mark.host
def test_a_vmdk_with_a_parent_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "base.vmdk", "vmdk")
    path = make(tmp_path / "disk.vmdk", "vmdk", "-b", "base.vmdk", "-F", "vmdk")
    with pytest.raises(Problem, match="refers to another file"):
        formats.detect(path)


def test_a_qcow2_header_that_names_a_host_file_is_never_followed(tmp_path: Path) -> None:
    name = b"/etc/shadow"
    head = bytearray(struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 104, len(name), 16, 1 << 20).ljust(104, b"\0") + name)
    path = tmp_path / "disk"
    path.write_bytes(head)
    with pytest.raises(Problem, match="/etc/shadow"):
        formats.detect(path)


@given(content=st.binary(max_size=600), magic=st.sampled_from([b"", b"QFI\xfb", b"KDMV", b"vhdxfile", b"conectix"]))
def test_nonsense_is_a_problem_or_a_format(tmp_path_factory: pytest.TempPathFactory, content: bytes,
                                           magic: bytes) -> None:  # fmt: skip
    path = tmp_path_factory.getbasetemp() / "nonsense"
    path.write_bytes(magic + content)
    try:
        assert formats.detect(path) in (*FORMATS, "raw")
    except Problem as problem:
        assert problem.fix


@pytest.mark.parametrize(("tool", "name"), [("gzip", "gzip"), ("xz", "xz")])
def test_compression_is_told(tmp_path: Path, tool: str, name: str) -> None:
    (tmp_path / "disk").write_bytes(b"x" * 100)
    subprocess.run([tool, str(tmp_path / "disk")], check=True)
    assert formats.compression(next(tmp_path.iterdir())) == name
