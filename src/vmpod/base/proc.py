"""The only door to subprocesses.

A failure carries the argument vector, the exit code and the last 20 lines of what the program said.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmpod.base.errors import Problem

if TYPE_CHECKING:
    import asyncio

_TAIL_LINES = 20


@dataclass(frozen=True)
class Completed:
    """A subprocess that ended: its exit code (negative: the signal) and what it printed."""

    argv: tuple[str, ...]
    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the last newline."""
        return self.out.decode(errors="replace").rstrip("\n")


@dataclass(frozen=True)
class Daemon:
    """A process that outlives us, named so that a reused pid is not taken for it."""

    pid: int
    started: int


async def run(
    argv: Sequence[str],
    *,
    what: str = "",
    stdin: bytes | None = None,
    timeout_s: float = 60.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    fix: str = "",
) -> Completed:
    """Run a program to its end.

    `what` completes "cannot …" in the error. Raises Problem when the program is missing, runs longer than
    `timeout_s` seconds, or (with `check`) exits with another code than 0.
    """
    import asyncio  # the command line reads pid files and needs none of it: 50 ms

    goal = what or f"run {argv[0]}"
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=None if env is None else dict(env), cwd=cwd,
        )
    except FileNotFoundError:
        why = f"the program {argv[0]} is not installed"
        raise Problem(goal, why, fix or "vmpod doctor", "Missing") from None
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), timeout_s)
    except TimeoutError:
        raise Problem(goal, f"{' '.join(argv)} did not end within {timeout_s:g} s", fix, "Timeout") from None
    finally:
        await _reap(process)
    done = Completed(tuple(argv), process.returncode or 0, out, err)
    if check and done.code != 0:
        raise failure(goal, done, fix)
    return done


async def _reap(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def failure(what: str, done: Completed, fix: str = "") -> Problem:
    """The Problem of a program that exited with another code than 0."""
    said = (done.err or done.out).decode(errors="replace").strip().splitlines()[-_TAIL_LINES:]
    return Problem(what, f"{' '.join(done.argv)} exited with {done.code}: " + "\n".join(said), fix, "Failed")


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    pid_file: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Daemon:
    """Start a process in a session of its own that goes on when we end; its output is appended to `log`.

    Raises Problem when the program is missing.
    """
    try:
        with log.open("ab") as out:
            child = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env=dict(env) if env is not None else None, cwd=cwd, pass_fds=tuple(pass_fds),
            )
    except FileNotFoundError:
        raise Problem(f"start {argv[0]}", "the program is not installed", "vmpod doctor", "Missing") from None
    child.returncode = 0  # it is not ours to wait for: silences Popen's warning, `reap` collects it
    daemon = Daemon(child.pid, start_time(child.pid) or 0)
    if pid_file is not None:
        write_pid_file(pid_file, daemon)
    return daemon


def write_pid_file(path: Path, daemon: Daemon) -> None:
    """Record a process as `PID START`, replacing the file in one step."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(f"{daemon.pid} {daemon.started}\n")
    fresh.replace(path)


def read_pid_file(path: Path) -> Daemon | None:
    """The recorded process if it still lives, else None."""
    try:
        pid, started = (int(word) for word in path.read_text().split())
    except (FileNotFoundError, ValueError):
        return None
    daemon = Daemon(pid, started)
    return daemon if is_alive(daemon) else None


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), field 22); None when it is gone."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def is_alive(daemon: Daemon) -> bool:
    """Whether this very process (not a later one with its number) runs; a zombie does not."""
    fields = _stat_fields(daemon.pid)
    return fields is not None and fields[0] not in "ZX" and int(fields[19]) == daemon.started


def naming(path: str, programs: Sequence[Sequence[str]]) -> list[Daemon]:
    """The processes that name a path, or something below it, among their arguments or in their environment.

    Only those whose arguments hold all words of one of `programs`: a shell in that folder is not meant.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        argv, env = _words(folder / "cmdline"), _words(folder / "environ")
        is_meant = any(set(words) <= set(argv) for words in programs)
        if is_meant and any(f"{path}/" in f"{word}/" for word in (*argv, *env)):
            found.append(Daemon(int(folder.name), start_time(int(folder.name)) or 0))
    return found


def _words(file: Path) -> list[str]:
    try:
        return file.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def rss_bytes(pid: int) -> int:
    """Resident memory of a process in bytes, 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


async def end(daemon: Daemon, *, grace_s: float = 5.0) -> None:
    """End a process of ours: TERM, and KILL after `grace_s` seconds. Returns when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_alive(daemon):
            break
        try:
            os.kill(daemon.pid, number)
        except ProcessLookupError:
            break
        await _gone(daemon, grace_s)
    reap(daemon.pid)


async def _gone(daemon: Daemon, timeout_s: float) -> None:
    import asyncio

    for _ in range(max(1, int(timeout_s / 0.02))):
        reap(daemon.pid)
        if not is_alive(daemon):
            return
        await asyncio.sleep(0.02)


def reap(pid: int) -> None:
    """Collect a child of ours that ended, so that no zombie stays; nothing for others."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except (ChildProcessError, ProcessLookupError):
        pass
