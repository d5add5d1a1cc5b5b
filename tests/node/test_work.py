"""What a pod's container is given before it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.podman.spec import Mount
from vmpod.node.translate.mounts import VolumeMount
from vmpod.node.work import _make_mount_sources


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_the_folders_of_a_subpath_have_the_mode_of_their_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    _make_mount_sources((VolumeMount(Mount(str(tmp_path / "a" / "b"), "/x"), str(tmp_path)),))
    assert (_mode(tmp_path / "a"), _mode(tmp_path / "a" / "b")) == (0o777, 0o777)


def test_a_subpath_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    _make_mount_sources((VolumeMount(Mount(str(tmp_path / "a"), "/x"), str(tmp_path)),))
    assert _mode(tmp_path / "a") == 0o700


def test_a_subpath_stays_in_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "out").symlink_to(tmp_path)
    with pytest.raises(Problem, match="leads out of its volume"):
        _make_mount_sources((VolumeMount(Mount(str(volume / "out"), "/x"), str(volume)),))
