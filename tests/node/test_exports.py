"""Exporter pods: when to answer, when to stop, and streams that end early."""

from __future__ import annotations

import sys

import pytest

from vmpod.base.errors import Problem
from vmpod.model.meta import Object
from vmpod.node.exports import Close, DiskStream, Open, Seen, plan, running
from vmpod.reconcile.actions import Delete
from vmpod.testing.clock import EPOCH
from vmpod.testing.objects import pod


def exporter(**status: object) -> Object:
    made = pod("virt-export-e")
    made["metadata"]["uid"] = "u1"
    return made | {"status": status}


def deleted() -> Object:
    made = exporter(phase="Running")
    made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return made


@pytest.mark.parametrize(("found", "open", "expected"), [
    (exporter(), (), [Open]),
    (exporter(phase="Pending"), ("u1",), [Open]),  # answered at, and its status not written yet
    (exporter(phase="Running"), (), [Open]),  # by an engine before this one
    (exporter(phase="Running"), ("u1",), []),
    (exporter(), ("u0",), [Close, Open]),
    (deleted(), ("u1",), [Close, Delete]),
    (deleted(), (), [Delete]),
    (None, ("u1",), [Close]),
])  # fmt: skip
def test_plans(found: Object | None, open: tuple[str, ...], expected: list[type]) -> None:
    assert [type(one) for one in plan(Seen(found, open)).actions] == expected


def test_a_pod_that_is_answered_at_is_ready() -> None:
    told = running(exporter(), ["10.0.0.5", "fd00::5"], "10.0.0.1", EPOCH)
    assert (told["phase"], told["podIP"]) == ("Running", "10.0.0.5")
    assert {one["type"]: one["status"] for one in told["conditions"]}["Ready"] == "True"


def stream(script: str, valid: bool = True) -> DiskStream:
    return DiskStream([sys.executable, "-c", script], 0, lambda: valid, lambda one: None)


async def whole(one: DiskStream) -> bytes:
    parts = []
    while (part := await one.receive()) is not None:
        assert part[0] == 1
        parts.append(part[1])
    return b"".join(parts)


async def test_a_stream_is_whole_or_fails() -> None:
    assert await whole(stream("print('disk', end='')")) == b"disk"
    with pytest.raises(Problem, match="no such disk"):
        await whole(stream("print('half'); import sys; sys.exit('no such disk')"))
    with pytest.raises(Problem, match="paused"):
        await whole(stream("print('disk', end='')", valid=False))


async def test_a_stream_that_is_closed_ends_its_process() -> None:
    one = stream("import time; print('part', end='', flush=True); time.sleep(600)")
    assert await one.receive() == (1, b"part")
    await one.close()
    with pytest.raises(Problem, match="paused"):
        await one.receive()
