"""Subprocesses: what they said when they failed, and processes that outlive us."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vmpod.base import proc
from vmpod.base.errors import Problem


async def test_output_and_input() -> None:
    done = await proc.run([sys.executable, "-c", "print(input() * 2)"], stdin=b"ab\n")
    assert (done.code, done.text) == (0, "abab")


async def test_a_failure_says_what_ran_and_what_it_said() -> None:
    code = "import sys\nfor n in range(30): print('line', n, file=sys.stderr)\nsys.exit(3)"
    with pytest.raises(Problem) as told:
        await proc.run([sys.executable, "-c", code], what="count")
    assert str(told.value).startswith("cannot count: ") and "exited with 3" in str(told.value)
    assert "line 29" in str(told.value) and "line 9\n" not in str(told.value)


async def test_a_missing_program_is_told() -> None:
    with pytest.raises(Problem, match="not installed"):
        await proc.run(["no-such-program-here"])


async def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(Problem, match="did not end within"):
        await proc.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.3)


async def test_a_daemon_is_known_by_pid_and_start(tmp_path: Path) -> None:
    daemon = proc.spawn([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"],
                        log=tmp_path / "log", pid_file=tmp_path / "pid")  # fmt: skip
    try:
        while "up" not in (tmp_path / "log").read_text():
            assert proc.is_alive(daemon)
        assert proc.read_pid_file(tmp_path / "pid") == daemon
        assert not proc.is_alive(proc.Daemon(daemon.pid, daemon.started + 1)), "a reused pid is not taken for it"
        assert proc.rss_bytes(daemon.pid) > 1 << 20
    finally:
        await proc.end(daemon)
    assert proc.read_pid_file(tmp_path / "pid") is None
    assert not Path(f"/proc/{daemon.pid}").exists(), "it was collected: no zombie"


async def test_a_daemon_that_ignores_term_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    daemon = proc.spawn([sys.executable, "-c", code], log=tmp_path / "log")
    while "up" not in (tmp_path / "log").read_text():
        assert proc.is_alive(daemon)
    await proc.end(daemon, grace_s=0.3)
    assert not proc.is_alive(daemon)
