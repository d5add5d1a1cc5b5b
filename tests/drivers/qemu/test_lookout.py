"""The process beside a migration: it calls the migration off when the engine dies, and does nothing else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmpod.base import proc
from vmpod.drivers.qemu import migration
from vmpod.drivers.qemu.lookout import Lookout


@contextmanager
def monitor(path: Path, status: str) -> Iterator[list[str]]:
    """A machine's monitor with a migration in that state; the commands that it hears."""
    heard: list[str] = []
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    door.listen()

    def serve() -> None:
        try:
            wire = door.accept()[0]
        except OSError:
            return
        with wire, wire.makefile("rwb") as line:
            line.write(b'{"QMP": {}}\n')
            line.flush()
            while text := line.readline():
                heard.append(json.loads(text)["execute"])
                line.write(b'{"event": "STOP"}\n' + json.dumps({"return": {"status": status}}).encode() + b"\n")
                line.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield heard
    door.close()
    thread.join(1)


async def gone(lookout: Lookout) -> None:
    await proc._gone(lookout._child, 20)
    assert not proc.is_alive(lookout._child)


@pytest.mark.parametrize(
    ("status", "cancels"),
    [("setup", True), ("active", True), ("pre-switchover", True), ("device", False), ("completed", False)],
)
async def test_an_engine_that_goes_calls_it_off(tmp_path: Path, status: str, cancels: bool) -> None:
    with monitor(tmp_path / "qmp.sock", status) as heard:
        lookout = Lookout(tmp_path / "qmp.sock", tmp_path / "log")
        lookout.leave(call_off=True)
        await gone(lookout)
        assert heard == ["qmp_capabilities", "query-migrate", *(["migrate_cancel"] if cancels else [])]


async def test_one_that_is_through_with_it_leaves_the_machine_alone(tmp_path: Path) -> None:
    with monitor(tmp_path / "qmp.sock", "active") as heard:
        lookout = Lookout(tmp_path / "qmp.sock", tmp_path / "log")
        await lookout.dismiss()
        await gone(lookout)
        assert heard == []


async def test_a_machine_that_has_ended_too_is_no_trouble(tmp_path: Path) -> None:
    lookout = Lookout(tmp_path / "qmp.sock", tmp_path / "log")
    lookout.leave(call_off=True)
    await gone(lookout)
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, migration.Progress()),
        ({"status": "active", "ram": {"remaining": 5, "transferred": 7}}, migration.Progress("active", "", 5, 7)),
        ({"status": "failed", "error-desc": "why"}, migration.Progress("failed", "why")),
        ({"status": "completed", "total-time": 9, "downtime": 3, "ram": {"transferred": 7, "remaining": 0}},
         migration.Progress("completed", "", 0, 7, 9, 3)),
    ],
)  # fmt: skip
def test_how_far_it_is(answer: dict[str, object], expected: migration.Progress) -> None:
    assert migration.progress(answer) == expected
