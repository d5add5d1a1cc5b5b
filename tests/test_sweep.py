"""The leak sweep sees what it is for; a sweep that finds nothing must mean that there is nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vmpod.base.paths import Paths

from .sweep import settled, sweep, workload

NAP = "import time; time.sleep(60)"


def test_nothing_of_a_home_that_never_was(tmp_path: Path) -> None:
    assert sweep(tmp_path / "never") == []


@pytest.mark.host
def test_what_is_there_is_found_by_every_trace(tmp_path: Path) -> None:
    home = tmp_path / "home"
    id = Paths(home).id
    (home / "mounted").mkdir(parents=True)
    children = [
        subprocess.Popen([sys.executable, "-c", NAP, f"{home}/run/some.sock"]),
        subprocess.Popen([sys.executable, "-c", NAP], env={"VMPOD_HOME": str(home)}),
    ]
    made = [["ip", "link", "add", f"vp-{id}", "type", "bridge"], ["ip", "netns", "add", f"vmpod-{id}-abc"],
            ["nft", "add", "table", "ip", f"vmpod_{id}"],
            ["mount", "-t", "tmpfs", "none", str(home / "mounted")]]  # fmt: skip
    gone = [["ip", "link", "del", f"vp-{id}"], ["ip", "netns", "del", f"vmpod-{id}-abc"],
            ["nft", "delete", "table", "ip", f"vmpod_{id}"], ["umount", str(home / "mounted")]]  # fmt: skip
    try:
        for argv in made:
            subprocess.run(argv, check=True)
        found = "\n".join(sweep(home))
    finally:
        for argv in gone:
            subprocess.run(argv, check=False)
        for child in children:
            child.kill()
            child.wait()
    for child in children:
        assert f"process {child.pid}:" in found
    for words in (f"device vp-{id}", f"netns vmpod-{id}-abc", f"table ip vmpod_{id}", f"mount {home}/mounted", f"file {home}"):
        assert words in found, words
    assert settled(home) == [f"file {home}"] and workload(home) == []
