"""The resolver process as the engine sees it: started, adopted, told, ended. It outlives the engine."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from pathlib import Path

from vmpod.base import log, proc
from vmpod.base.errors import Problem

_log = log.get("net")
_PARTS = ("resolver.py", "dnswire.py", "zone.py", "upstream.py", "dhcp.py", "dhcp6.py", "loop.py")
_START_S = 10.0


def version() -> str:
    """A mark that changes with the resolver's code: a process of another version is replaced, not adopted."""
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / part).read_bytes() for part in _PARTS)).hexdigest()[:12]


class Resolver:
    """The process that reads `snapshot.json` in the home's network folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid_file = folder / "resolver.pid"

    @property
    def pid(self) -> int | None:
        daemon = proc.read_pid_file(self._pid_file)
        return daemon.pid if daemon else None

    def notice(self) -> None:
        """Tell the process that the snapshot is new; without this it looks for itself, once a second."""
        daemon = proc.read_pid_file(self._pid_file)
        if daemon:
            try:
                os.kill(daemon.pid, signal.SIGHUP)
            except ProcessLookupError:
                _log.warning("the resolver process %d is gone", daemon.pid)

    async def ensure(self) -> None:
        """Adopt a living process of our version, else start one, then end the old one: names answer throughout.

        Raises Problem when the new one does not come up.
        """
        living = proc.read_pid_file(self._pid_file)
        if living and self._ready() == (living.pid, version()):
            self.notice()
            return
        fresh = self._start()
        await self._wait(fresh)
        proc.write_pid_file(self._pid_file, fresh)
        if living:
            await proc.end(living)

    def _start(self) -> proc.Daemon:
        package = Path(__file__).parents[3]
        environment = {"PYTHONPATH": str(package), "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"}
        argv = [sys.executable, "-S", "-s", "-m", "vmpod.drivers.net.resolver", str(self._folder), version()]
        return proc.spawn(argv, log=self._folder / "resolver.log", env=environment, cwd="/")

    def _ready(self) -> tuple[int, str] | None:
        """Which process said that it listens, and its version."""
        try:
            pid, mark = (self._folder / "resolver.ready").read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid), mark

    async def _wait(self, fresh: proc.Daemon) -> None:
        for _ in range(int(_START_S / 0.01)):
            if self._ready() == (fresh.pid, version()):
                return
            proc.reap(fresh.pid)
            if not proc.is_alive(fresh):
                break
            await asyncio.sleep(0.01)
        await proc.end(fresh)
        raise Problem("start the resolver", self._last_words(), "read network/resolver.log in the home", "Failed")

    def _last_words(self) -> str:
        try:
            lines = (self._folder / "resolver.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return "\n".join(lines[-5:]) or "it did not answer in time"

    async def end(self) -> None:
        """End the process and forget it; nothing when there is none."""
        daemon = proc.read_pid_file(self._pid_file)
        if daemon:
            await proc.end(daemon)
        for name in ("resolver.pid", "resolver.ready"):
            (self._folder / name).unlink(missing_ok=True)
