"""An engine that dies while a command waits. It has a home of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from vmpod.base import proc

from ..sweep import settled
from .conftest import Home
from .test_verbs import VM

pytestmark = pytest.mark.host


def test_up_says_what_happened_and_goes_on_where_it_was(home: Home, tmp_path: Path) -> None:
    own = Home(Path(tempfile.mkdtemp(prefix="vmpod-cli-")), home.kubectl)
    file = tmp_path / "vm.yaml"
    file.write_text(VM.format(name="box", strategy="Always").replace("      volumes:",
                    "      readinessProbe: {tcpSocket: {port: 9}, periodSeconds: 1}\n      volumes:"))  # fmt: skip
    try:
        running = own.start("up", str(file))
        engine = _engine(own)
        assert running.stderr is not None
        running.stderr.readline()
        time.sleep(1)
        os.kill(engine, signal.SIGKILL)
        _, said = running.communicate(timeout=20)
        assert running.returncode == 1
        assert "cannot bring everything up: the engine ended meanwhile" in said
        assert "what was applied is kept" in said
        file.write_text(VM.format(name="box", strategy="Always"))
        assert "virtualmachine.kubevirt.io/box configured" in own.run("up", "--detach", str(file)).stdout
    finally:
        subprocess.run(own.argv("engine", "stop", "--purge"), env=own.env, timeout=120, check=False)
        left = settled(own.path)
        shutil.rmtree(own.path, ignore_errors=True)
    assert not left, "left behind:\n" + "\n".join(left)


def _engine(home: Home) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (found := proc.read_pid_file(home.path / "engine.pid")) is not None:
            return found.pid
        time.sleep(0.05)
    raise AssertionError("no engine started")
