"""Where a home is, and that sockets in it stay addressable."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpod.base import clock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.settings import Settings


@pytest.mark.parametrize(("env", "home"), [
    ({"VMPOD_HOME": "/x/home"}, "/x/home"),
    ({"VMPOD_HOME": "", "XDG_DATA_HOME": "/x/data", "HOME": "/root"}, "/x/data/vmpod"),
    ({"HOME": "/home/you"}, "/home/you/.local/share/vmpod"),
])  # fmt: skip
def test_the_home(env: dict[str, str], home: str) -> None:
    assert Paths.of(env).home == Path(home)


def test_homes_have_different_ids() -> None:
    ids = {Paths(Path(f"/home/{name}")).id for name in ("a", "b", "c")}
    assert len(ids) == 3 and all(len(one) == 8 for one in ids)


@pytest.mark.parametrize("length", [10, 60, 61, 200])
def test_sockets_fit_into_an_address(length: int) -> None:
    paths = Paths(Path("/" + "h" * (length - 1)))
    assert len(str(paths.podman_socket)) < 108


def test_a_home_is_private(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home")
    paths.create()
    assert paths.pki.stat().st_mode & 0o777 == 0o700
    assert paths.home.stat().st_mode & 0o777 == 0o700


def test_settings_are_kept(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home")
    assert Settings.load(paths).port == 0
    Settings.load(paths).changed(port=4711, egress=None, node_labels={"zone": "a"}).save(paths)
    kept = Settings.load(paths)
    assert (kept.port, kept.node_labels) == (4711, {"zone": "a"})
    assert paths.settings.stat().st_mode & 0o777 == 0o600


def test_a_settings_file_that_is_not_ours_is_told(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.settings.write_text('{"colour": "red"}')
    with pytest.raises(Problem, match="colour"):
        Settings.load(paths)


@pytest.mark.parametrize(("text", "micro"), [
    ("2026-01-02T03:04:05Z", 0), ("2026-01-02T03:04:05.123456789Z", 123456), ("2026-01-02T05:04:05.5+02:00", 500000),
])  # fmt: skip
def test_moments(text: str, micro: int) -> None:
    moment = clock.parse(text)
    assert clock.rfc3339(moment) == "2026-01-02T03:04:05Z" and moment.microsecond == micro
    assert clock.rfc3339_micro(moment) == f"2026-01-02T03:04:05.{micro:06d}Z"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-02T03:04:05"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        clock.parse(text)
