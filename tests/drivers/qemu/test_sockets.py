"""Unix sockets at long paths."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vmpod.drivers.qemu import sockets


@pytest.mark.parametrize("length", [10, 90])
def test_connects_at_any_length(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("d" * length)
    folder.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        here = os.getcwd()
        os.chdir(folder)
        server.bind("s.sock")
        os.chdir(here)
        server.listen()
        with sockets.connect(folder / "s.sock") as found:
            assert not found.getblocking()
    assert len(os.listdir("/proc/self/fd")) == before


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sockets.connect(tmp_path / "s.sock")


def test_a_link_that_a_guest_made_is_not_followed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "other.sock"))
        server.listen()
        (tmp_path / "s.sock").symlink_to("other.sock")
        (tmp_path / "file.sock").touch()
        for name in ("s.sock", "file.sock"):
            with pytest.raises(OSError, match="not a socket"):
                sockets.connect(tmp_path / name)
