"""One engine for the tests of the command line, in a home of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..sweep import settled

if TYPE_CHECKING:
    from tests.conftest import Kubectl

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Home:
    """A home, and the command line in it."""

    path: Path
    kubectl: str

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command: nothing of the user's own homes."""
        own = {"VMPOD_HOME": str(self.path), "VMPOD_EGRESS": "off", "KUBECONFIG": str(self.path / "kubeconfig")}
        return {key: value for key, value in os.environ.items() if not key.startswith("VMPOD_")} | own

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "vmpod", *arguments]

    def run(self, *arguments: str, code: int = 0, stdin: str = "", cwd: Path | None = None, **env: str) -> Done:
        """Run a command to its end and check its exit code."""
        done = subprocess.run(self.argv(*arguments), env=self.env | env, input=stdin, capture_output=True, text=True,
                              timeout=200, check=False, cwd=cwd)  # fmt: skip
        assert done.returncode == code, f"vmpod {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Begin a command; the caller ends it."""
        return subprocess.Popen(self.argv(*arguments), env=self.env | env, text=True, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_hear_interrupts)  # fmt: skip


def _hear_interrupts() -> None:
    """As in a terminal: a job in the background of a shell, as tests may be run, ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def home(kubectl: Kubectl) -> Iterator[Home]:
    """A home whose engine runs; all of it is removed afterwards, and looked for."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    for tool in ("podman", "qemu-system-x86_64", "nft", "ip"):
        if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            pytest.skip(f"needs {tool}: make setup")
    made = Home(Path(tempfile.mkdtemp(prefix="vmpod-cli-")), kubectl.program)
    try:
        made.run("engine", "start", "--egress", "off")
        yield made
    finally:
        subprocess.run(made.argv("engine", "stop", "--purge"), env=made.env, timeout=120, check=False)
        left = settled(made.path)
        shutil.rmtree(made.path, ignore_errors=True)
    assert not left, "left behind:\n" + "\n".join(left)
