"""Watches a guest come up: its console's log, its disks, its lease, its ports; cheap, and only until it is up.

What was seen stands in a file, so that the next engine goes on from there.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vmpod.base import files
from vmpod.base.errors import Problem
from vmpod.drivers.qemu.qmp import Monitor
from vmpod.node.status import stages
from vmpod.node.status.stages import Look, Progress, Stage

Told = Callable[[Progress], None]
Doors = Callable[[], tuple[str, Sequence[int]]]
_LOOK_S, _QUICK_FOR_S = 0.5, 60.0
_SLOW_LOOK_S, _LOOK_FOR_S = 2.0, 900.0
_PIECE_BYTES = 64 << 10
_KNOCK_S = 1.0
_KNOCK_LATE_S = 10.0


class Ascent:
    """One guest on its way up. `doors` says where it may be reached: its address and the TCP ports to try."""

    def __init__(self, folder: Path, lease: Path | None, doors: Doors, tell: Told) -> None:
        self._file = folder.parent / "stages.json"
        self._log = folder / "serial.log"
        self._lease = lease
        self._doors = doors
        self._tell = tell
        self._offset = 0
        self._knocked_at = 0.0
        self._has_ports = True
        self._news = asyncio.Event()
        self.known = self._recall()

    def switched_on(self) -> None:
        """The machine runs from now on, unless it is known to run already."""
        if not self.known.since:
            self._learn(stages.switched_on(time.time()))
        self._news.set()

    def resumed(self) -> None:
        """The guest goes on with the memory that it had in an earlier QEMU."""
        self._learn(stages.resumed(time.time()))

    def restarted(self) -> None:
        """The guest begins anew in the same machine."""
        self._offset = self._log.stat().st_size if self._log.exists() else 0
        self._learn(stages.switched_on(time.time()))
        self._news.set()

    async def follow(self, monitor: Callable[[], Monitor | None], has_agent: Callable[[], bool]) -> None:
        """Look again and again while there is something to see; afterwards only when told of a new start."""
        while True:
            self._news.clear()
            qmp = monitor()
            if self.known.since and qmp is not None:
                self._learn(stages.advance(self.known, await self._look(qmp, has_agent=has_agent())))
            try:
                await asyncio.wait_for(self._news.wait(), self._pause_s())
            except TimeoutError:
                pass

    def _pause_s(self) -> float | None:
        age = time.time() - self.known.since
        if not self.known.since or age > _LOOK_FOR_S or stages.is_done(self.known, has_ports=self._has_ports):
            return None
        return _LOOK_S if age < _QUICK_FOR_S else _SLOW_LOOK_S

    def heard_agent(self) -> None:
        """The agent's port was opened or closed."""
        self._news.set()

    async def _look(self, qmp: Monitor, *, has_agent: bool) -> Look:
        port = 0 if self.known.has(stages.PORT) else await self._knock()
        read = not self.known.has(stages.DISK, *stages.AFTER_DISK) and await _has_read(qmp)
        return Look(time.time(), self._read_console(), read, self._leased_at(), has_agent, port)

    def _read_console(self) -> bytes:
        """What the console said since the last look; of very much only the end."""
        try:
            with files.open_plain(self._log) as log:
                size = os.fstat(log.fileno()).st_size
                log.seek(max(self._offset if self._offset <= size else 0, size - _PIECE_BYTES))
                said = log.read(_PIECE_BYTES)
                self._offset = log.tell()
                return said
        except OSError:
            return b""

    def _leased_at(self) -> float:
        try:
            return self._lease.stat().st_mtime if self._lease is not None else 0.0
        except OSError:
            return 0.0

    async def _knock(self) -> int:
        """The first port that accepts. A guest without an address has none yet; one that never asks is tried late."""
        now = time.time()
        waits = not self.known.has(stages.ADDRESS, stages.AGENT) and now - self.known.since < _KNOCK_LATE_S
        if waits or now - self._knocked_at < _KNOCK_S:
            return 0
        self._knocked_at = now
        ip, ports = self._doors()
        self._has_ports = bool(ip and ports)
        if not self._has_ports:
            return 0
        open_ports = await asyncio.gather(*(_accepts(ip, port) for port in ports))
        return next((port for port, accepts in zip(ports, open_ports, strict=True) if accepts), 0)

    def _learn(self, fresh: Progress) -> None:
        if fresh != self.known:
            self.known = fresh
            self._note()
            self._tell(fresh)

    def _note(self) -> None:
        said = {"since": self.known.since, "read": self._offset,
                "stages": [[one.name, one.after_s, one.detail] for one in self.known.stages]}
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(said))
            fresh.replace(self._file)
        except OSError:
            pass  # a full disk: the next engine knows less

    def _recall(self) -> Progress:
        try:
            held = json.loads(self._file.read_text())
            self._offset = int(held["read"])
            return Progress(float(held["since"]), tuple(Stage(str(n), float(s), str(d)) for n, s, d in held["stages"]))
        except (OSError, ValueError, KeyError, TypeError):
            return stages.OFF


async def _has_read(qmp: Monitor) -> bool:
    """Whether anything was read from a disk."""
    try:
        return any(one["stats"]["rd_operations"] for one in await qmp.execute("query-blockstats"))
    except Problem:
        return False


async def _accepts(ip: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(ip, port), _KNOCK_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
