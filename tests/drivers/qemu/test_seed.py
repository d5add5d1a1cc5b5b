"""Seed disks, read back."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib
import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.seed import write_iso

FILES = {"meta-data": b"{}", "user-data": b"#cloud-config\n" * 400, "openstack/latest/user_data": b"x",
         "openstack/content/0000": b""}


def read(path: Path, name: str, how: str) -> bytes:
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, **{how: f"/{name}"})
    iso.close()
    return out.getvalue()


def test_files_come_back_by_both_name_spaces(tmp_path: Path) -> None:
    path = tmp_path / "seed.iso"
    write_iso(path, "cidata", FILES)
    for name, content in FILES.items():
        assert read(path, name, "joliet_path") == content
        assert read(path, name, "rr_path") == content
    assert path.read_bytes()[0x8028:0x8048].rstrip() == b"cidata"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["seed.iso"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot write the seed disk"):
        write_iso(tmp_path / "missing" / "seed.iso", "cidata", FILES)
