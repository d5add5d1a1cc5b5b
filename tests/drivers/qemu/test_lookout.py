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
def monitor(path: Path, *statuses: str, state: str = "running") -> Iterator[list[str]]:
    """A machine's monitor that tells these statuses of a migration, one after the other, the last for ever; what it hears."""
    heard: list[str] = []
    told = list(statuses)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    door.listen()

    def answer(command: str) -> object:
        if command == "query-status":
            return {"status": state}
        return {"status": told.pop(0) if len(told) > 1 else told[0]} if command == "query-migrate" else {}

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
                line.write(b'{"event": "STOP"}\n' + json.dumps({"return": answer(heard[-1])}).encode() + b"\n")
                line.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield heard
    door.close()
    thread.join(1)


async def gone(lookout: Lookout) -> None:
    await proc._gone(lookout._child, 20)
    assert not proc.is_alive(lookout._child)


def asked(heard: list[str]) -> list[str]:
    """The orders, without questions."""
    return [one for one in heard if not one.startswith(("query-", "qmp_"))]


@pytest.mark.parametrize(
    ("statuses", "state", "resume", "at_source", "at_target"),
    [
        (("setup", "cancelled"), "running", True, ["migrate_cancel"], []),
        (("active", "cancelling", "cancelled"), "paused", True, ["migrate_cancel", "cont"], []),
        (("pre-switchover", "cancelled"), "paused", False, ["migrate_cancel"], []),
        (("",), "paused", True, ["cont"], []),
        (("completed",), "paused", True, ["cont"], []),
        (("device", "completed"), "postmigrate", True, [], ["cont"]),
        (("completed",), "postmigrate", True, [], ["cont"]),
        (("completed",), "postmigrate", False, [], []),
    ],
)  # fmt: skip
async def test_an_engine_that_goes_leaves_a_guest_that_runs(
    tmp_path: Path, statuses: tuple[str, ...], state: str, resume: bool, at_source: list[str], at_target: list[str]
) -> None:
    source, target = tmp_path / "a.sock", tmp_path / "b.sock"
    with monitor(source, *statuses, state=state) as here, monitor(target, "") as there:
        lookout = Lookout(source, target, tmp_path / "log", resume=resume)
        lookout.leave(call_off=True)
        await gone(lookout)
        assert (asked(here), asked(there)) == (at_source, at_target)
        assert (tmp_path / "log").read_text() == ""


async def test_one_that_is_through_with_it_leaves_the_machines_alone(tmp_path: Path) -> None:
    with monitor(tmp_path / "qmp.sock", "active") as heard:
        lookout = Lookout(tmp_path / "qmp.sock", tmp_path / "other.sock", tmp_path / "log", resume=True)
        await lookout.dismiss()
        await gone(lookout)
        assert heard == []


async def test_a_machine_that_has_ended_too_is_no_trouble(tmp_path: Path) -> None:
    lookout = Lookout(tmp_path / "qmp.sock", tmp_path / "other.sock", tmp_path / "log", resume=True)
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
