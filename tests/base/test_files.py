"""Files where others write: nothing is followed, nothing is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmpod.base import files


def test_a_regular_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"abc")
    with files.open_plain(path) as file:
        assert file.read() == b"abc"
    with files.open_plain(path, write=True) as file:
        file.truncate(1)
    assert path.read_bytes() == b"a"


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("put", ["link", "pipe", "folder", "nothing"])
def test_anything_else_is_refused(tmp_path: Path, put: str, write: bool) -> None:
    path, secret = tmp_path / "log", tmp_path / "secret"
    secret.write_text("x")
    match put:
        case "link":
            path.symlink_to(secret)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        files.open_plain(path, write=write)
    assert len(os.listdir("/proc/self/fd")) == before and secret.read_text() == "x"


def test_what_has_the_name_is_replaced_and_not_written_to(tmp_path: Path) -> None:
    path, secret = tmp_path / "log.1", tmp_path / "secret"
    secret.write_text("x")
    path.symlink_to(secret)
    files.write_anew(path, b"fresh")
    files.write_anew(path, b"fresher")
    assert path.read_bytes() == b"fresher" and not path.is_symlink() and secret.read_text() == "x"
    assert path.stat().st_mode & 0o777 == 0o600
