"""The state of a machine in a layer: plain files only, all or nothing, and gone with the snapshot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.node import layers, statelayers

ID = "0" * 32


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "home")
    found.create()
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a machine, as UEFI and its TPM fill it."""
    folder = tmp_path / "state"
    for file, data in (("nvram/db_VARS.fd", b"variables"), ("swtpm/tpm2-00.permall", b"sealed")):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_it_comes_back_for_a_machine_of_another_name(paths: Paths, state: Path, tmp_path: Path) -> None:
    layers.hold(paths, ID)
    statelayers.take(paths, ID, state)
    (state / "swtpm" / "tpm2-00.permall").write_bytes(b"later")
    statelayers.take(paths, ID, state)  # again, by an engine that does not know that it is done
    kept = statelayers.find(paths, ID)
    assert kept is not None
    volume = tmp_path / "volume"
    for _ in range(2):
        statelayers.put_back(kept, volume, "copy")
    assert files(volume) == {"nvram/copy_VARS.fd": b"variables", "swtpm/tpm2-00.permall": b"sealed"}


def test_it_goes_when_no_snapshot_holds_it(paths: Paths, state: Path) -> None:
    layers.hold(paths, ID)
    statelayers.take(paths, ID, state)
    layers.remove_unused(paths)
    assert statelayers.find(paths, ID) is not None
    layers.let_go(paths, ID)
    layers.remove_unused(paths)
    assert list(paths.layers.iterdir()) == []


def test_nothing_but_plain_files_is_read(paths: Paths, state: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the engine's")
    (state / "link").symlink_to(tmp_path / "secret")
    (state / "folder").symlink_to(tmp_path)
    os.mkfifo(state / "swtpm" / "pipe")
    statelayers.take(paths, ID, state)
    assert set(files(statelayers.find(paths, ID) or tmp_path)) == {"nvram/db_VARS.fd", "swtpm/tpm2-00.permall"}


def test_a_guest_cannot_fill_the_home_by_its_state(paths: Paths, state: Path) -> None:
    with (state / "huge").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(Problem, match="more than 64 MiB"):
        statelayers.take(paths, ID, state)
    assert statelayers.find(paths, ID) is None
