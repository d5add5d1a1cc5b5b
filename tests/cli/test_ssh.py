"""The command line given to ssh."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vmpod.cli import ssh_


def words(home: str = "/h", **more: object) -> list[str]:
    given = {"user": "", "identity": "", "port": 22, "arguments": (), **more}
    return ssh_.argv(Path(home), "db", "shop", "uid1", **given)  # type: ignore[arg-type]


def test_options_come_before_the_machine_and_arguments_after() -> None:
    found = words(user="root", identity="key", arguments=("--", "uname", "-a"))
    assert found[-7:] == ["-i", "key", "-l", "root", "db.shop", "uname", "-a"]
    assert any(word.endswith("-m vmpod _forward -n shop db 22") for word in found)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs ssh")
@pytest.mark.parametrize("home", ["/h", "/a home", "/100%"])
def test_ssh_reads_it_as_meant(home: str) -> None:
    found = words(home, user="root")
    done = subprocess.run([found[0], "-G", *found[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert said["userknownhostsfile"].replace("%%", "%") == f"{home}/known_hosts"
    assert said["hostkeyalias"] == "db.shop.uid1"
    assert said["stricthostkeychecking"] == "accept-new"
    assert said["user"] == "root"
