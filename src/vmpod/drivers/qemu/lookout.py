"""A small process beside a migration: should the engine die, the guest stays where it is.

QEMU stops the guest before the last step and waits for the engine to hand the network over. An engine that is killed
would leave the guest standing still; so this process waits for the end of the engine, which it hears as the end of a
pipe, and calls the migration off unless it is past that step. An engine that is through with it says so instead.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from vmpod.base import proc
from vmpod.drivers.qemu import sockets

DONE = b"."
_BEFORE = ("setup", "active", "pre-switchover")
_PATIENCE_S = 30.0


class Lookout:
    """The process, while it is needed."""

    def __init__(self, monitor: Path, log: Path) -> None:
        ours, self._door = os.pipe()
        try:
            argv = [sys.executable, "-S", "-s", "-m", __name__, str(ours), str(monitor)]
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


def main(door: int, monitor: Path) -> None:
    """Wait for the end of the pipe, then look after the machine."""
    if os.read(door, 1) == DONE:
        return
    try:
        with sockets.connect(monitor) as wire:
            wire.settimeout(_PATIENCE_S)
            call_off(wire)
    except OSError:
        pass  # the machine has ended too


def call_off(wire: socket.socket) -> None:
    """Cancel the migration of the machine at the other end while its guest has not left. Raises OSError."""
    with wire.makefile("rwb") as line:
        _read(line)  # the greeting
        _ask(line, "qmp_capabilities")
        if (_ask(line, "query-migrate") or {}).get("status") in _BEFORE:
            _ask(line, "migrate_cancel")


def _ask(line: Any, command: str) -> Any:
    line.write(json.dumps({"execute": command}).encode() + b"\n")
    line.flush()
    while "return" not in (said := _read(line)) and "error" not in said:
        pass  # an event
    return said.get("return")


def _read(line: Any) -> Any:
    if not (text := line.readline()):
        raise ConnectionError("the monitor hung up")
    return json.loads(text)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
