"""Start the engine of a home when a command needs it, and find out whether it runs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.proc import Daemon

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
_LOG_TAIL_LINES = 20
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}  # one thread runs at a time anyway, and each arena has holes of its own: 2 MB


def running(paths: Paths) -> Daemon | None:
    """The engine of this home, None when none runs."""
    return proc.read_pid_file(paths.engine_pid)


def ensure(paths: Paths) -> Daemon:
    """The running engine, started now if there is none. Raises Problem, with the end of its log, if it dies."""
    with _starting(paths):
        return running(paths) or _start(paths)


@contextmanager
def _starting(paths: Paths) -> Iterator[None]:
    """Only one command starts an engine; the others wait for it."""
    paths.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (paths.home / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(paths: Paths) -> Daemon:
    length = paths.engine_log.stat().st_size if paths.engine_log.exists() else 0
    argv = [sys.executable, "-m", "vmpod", "engine", "run"]
    env = {**os.environ, **_ENVIRONMENT, "VMPOD_HOME": str(paths.home)}
    child = proc.spawn(argv, log=paths.engine_log, env=env, cwd="/")
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (engine := running(paths)) is not None:
            return engine
        proc.reap(child.pid)
        if not proc.is_alive(child):
            raise _died(paths, length)
        time.sleep(0.01)
    raise Problem("start the engine", f"it gave no answer within {START_TIMEOUT_S:g} s", "vmpod engine logs", "Timeout")


def _died(paths: Paths, start: int) -> Problem:
    """The Problem that the engine itself wrote last, else the end of its log."""
    said = paths.engine_log.read_bytes()[start:].decode(errors="replace").strip()
    for line_at in range(said.count("\n") + 1):
        rest = said.split("\n")[line_at:]
        if rest[0].startswith("cannot "):
            what, _, why = rest[0].removeprefix("cannot ").partition(": ")
            return Problem(what, why, "\n".join(line.strip() for line in rest[1:]))
    return Problem("start the engine", "\n".join(said.splitlines()[-_LOG_TAIL_LINES:]), "vmpod engine logs")


def stop(paths: Paths) -> bool:
    """End the engine of this home; whether there was one. What it runs goes on."""
    engine = running(paths)
    if engine is None:
        return False
    asyncio.run(proc.end(engine, grace_s=STOP_TIMEOUT_S))
    paths.engine_pid.unlink(missing_ok=True)
    return True
