"""fsGroup."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmpod.node import ownership


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_files_become_the_groups(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o755)
    (tmp_path / "d" / "secret").write_text("x")
    (tmp_path / "d" / "secret").chmod(0o400)
    (tmp_path / "link").symlink_to("d/secret")
    ownership.give(tmp_path, os.getgid())
    assert _mode(tmp_path / "d" / "secret") == 0o440
    assert _mode(tmp_path / "d") == 0o2775
    ownership.give(tmp_path, os.getgid())
    assert _mode(tmp_path / "d" / "secret") == 0o440


def test_a_volume_that_is_given_is_passed_over_where_the_policy_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0o600)
    os.chown(tmp_path, -1, os.getgid())
    tmp_path.chmod(0o2775)
    ownership.give(tmp_path, os.getgid(), ownership.ON_ROOT_MISMATCH)
    assert _mode(tmp_path / "a") == 0o600
    ownership.give(tmp_path, os.getgid())
    assert _mode(tmp_path / "a") == 0o660


@pytest.mark.parametrize(("volume", "owned"), [({"emptyDir": {}}, True), ({"hostPath": {"path": "/"}}, False)])
def test_which_volumes(volume: dict[str, object], owned: bool) -> None:
    assert ownership.is_owned({"name": "v", **volume}) is owned


def test_what_the_pod_asks_for() -> None:
    assert ownership.wanted({"spec": {}}) == (None, "Always")
    assert ownership.wanted({"spec": {"securityContext": {"fsGroup": 7}}}) == (7, "Always")
