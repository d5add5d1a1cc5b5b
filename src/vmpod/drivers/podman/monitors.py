"""conmon, podman's monitor processes, where podman forgets them: those of programs run in a container.

Over its REST socket podman 4 asks the monitor of an ended exec session to wait five minutes before it cleans up
(ExitCommandDelay in pkg/api/handlers/compat/exec.go, as Docker does): two processes and 3 MB for each probe or
exec, and they outlive their container. A SIGTERM ends the wait and the monitor cleans up at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

_LOOKS = 5
_PAUSE_S = 0.01
_OF_A_SESSION = b"--exec-process-spec"


async def hurry(session: str) -> None:
    """End the wait of the monitor of a session that has ended; nothing when it is not waiting yet."""
    for _ in range(_LOOKS):
        if await asyncio.to_thread(_hurry, session.encode()):
            return
        await asyncio.sleep(_PAUSE_S)


def _hurry(session: bytes) -> bool:
    """Whether there was a waiting monitor: the child of another one of the same session."""
    there = _monitors(session)
    waiting = [pid for pid in there if _parent(pid) in there]
    for pid in waiting:
        _signal(pid, signal.SIGTERM)
    return bool(waiting)


async def end(container: str) -> None:
    """Kill the monitors of all sessions of a container that is gone."""
    for pid in await asyncio.to_thread(_monitors, container.encode()):
        _signal(pid, signal.SIGKILL)


def _monitors(word: bytes) -> set[int]:
    """The monitors of exec sessions with this word, a container's or session's id, among their arguments."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            words = _arguments(name)
            if words[0].endswith(b"conmon") and word in words and _OF_A_SESSION in words:
                found.add(int(name))
    return found


def _arguments(pid: str) -> list[bytes]:
    try:
        return Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
