"""A small process beside a migration: should the engine die, the guest goes on in one of the two QEMUs at once.

QEMU stops the guest before the last step and waits for the engine to hand the network over; an emulated guest stands
still from the start. An engine that is killed would leave it so. This process waits for the end of the engine, which it
hears as the end of a pipe, calls the migration off unless it is past that step, and starts the guest where it is. An
engine that is through with it says so instead.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Self

from vmpod.base import proc
from vmpod.drivers.qemu import sockets

DONE = b"."
_BEFORE = ("setup", "active", "pre-switchover")
_UNDER_WAY = (*_BEFORE, "device", "cancelling", "wait-unplug")
_PATIENCE_S, _LOOK_S = 30.0, 0.05


class Lookout:
    """The process, while it is needed. `resume`: the guest is to run, nobody has paused it."""

    def __init__(self, source: Path, target: Path, log: Path, *, resume: bool) -> None:
        ours, self._door = os.pipe()
        try:
            words = (str(ours), str(source), str(target), "resume" if resume else "paused")
            argv = [sys.executable, "-S", "-s", "-m", __name__, *words]
            environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "LANG": "C.UTF-8"}
            self._child = proc.spawn(argv, log=log, env=environment, cwd="/", pass_fds=(ours,))
        except BaseException:
            os.close(self._door)
            raise
        finally:
            os.close(ours)

    def leave(self, *, call_off: bool) -> None:
        """It is not needed any more; or we go, and nobody hands the guest over."""
        try:
            if not call_off:
                os.write(self._door, DONE)
        except BrokenPipeError:
            pass  # it was killed
        finally:
            os.close(self._door)

    async def dismiss(self) -> None:
        """It is not needed any more; until it is gone."""
        self.leave(call_off=False)
        await proc.end(self._child)


def main(door: int, source: Path, target: Path, *, resume: bool) -> None:
    """Wait for the end of the pipe, then look after the guest."""
    if os.read(door, 1) == DONE:
        return
    try:
        with Line(source) as line:
            has_left = call_off(line)
            if resume and not has_left and line.ask("query-status")["status"] == "paused":
                line.ask("cont")
        if resume and has_left:
            with Line(target) as line:
                line.ask("cont")
    except (OSError, TypeError):
        pass  # the machine has ended too


def call_off(line: Line) -> bool:
    """Cancel a migration whose guest has not left; whether it has. Raises OSError."""
    if _status(line) in _BEFORE:
        line.ask("migrate_cancel")
    while _status(line) in _UNDER_WAY:
        time.sleep(_LOOK_S)
    return bool(line.ask("query-status")["status"] == "postmigrate")


def _status(line: Line) -> str:
    return str((line.ask("query-migrate") or {}).get("status", ""))


class Line:
    """A monitor, for a few commands. Raises OSError."""

    def __init__(self, monitor: Path) -> None:
        self._wire = sockets.connect(monitor)
        self._wire.settimeout(_PATIENCE_S)
        self._file = self._wire.makefile("rwb")

    def __enter__(self) -> Self:
        self._read()  # the greeting
        self.ask("qmp_capabilities")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._wire.close()

    def ask(self, command: str) -> Any:
        """What QEMU answers; nothing when it refuses."""
        self._file.write(json.dumps({"execute": command}).encode() + b"\n")
        self._file.flush()
        while "return" not in (said := self._read()) and "error" not in said:
            pass  # an event
        return said.get("return")

    def _read(self) -> Any:
        if not (text := self._file.readline()):
            raise ConnectionError("the monitor hung up")
        return json.loads(text)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), resume=sys.argv[4] == "resume")
