"""What the node says of a machine: never by an instance that is older than what it said last; and who has arrived."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vmpod.model.meta import Object
from vmpod.node import migrations
from vmpod.node.machines import Machines
from vmpod.node.migrations import Migrations


def instance(revision: int) -> Object:
    return {"metadata": {"name": "vm", "namespace": "default", "uid": "u1", "resourceVersion": str(revision)}}


@pytest.mark.parametrize(("cached", "written", "judged"), [(5, 0, 5), (5, 5, 5), (5, 4, 5), (5, 7, 8)])
async def test_a_status_is_judged_by_nothing_older_than_the_last_write(cached: int, written: int, judged: int) -> None:
    """A pause that was written and is over would stay: by what was there before, nothing has changed."""
    machines, seen = object.__new__(Machines), []
    machines._writing, machines._written = {}, {"u1": written}
    machines._cache = SimpleNamespace(get=lambda *_: instance(cached))  # type: ignore[assignment]

    async def read(_: Any) -> Object:
        return instance(8)

    async def write_once(_: Any, vmi: Object) -> bool:
        seen.append(vmi["metadata"]["resourceVersion"])
        return False

    machines._read, machines._write_once = read, write_once  # type: ignore[method-assign, assignment]
    machine = SimpleNamespace(pod_uid="p1", namespace="default", name="vm", uid="u1")
    watch: Any = SimpleNamespace(machine=machine, dormant=False, is_home=lambda _: True)
    await machines._write(watch)
    assert seen == [str(judged)]


@pytest.mark.parametrize(("states", "found"), [
    (["paused"], "paused"), (["inmigrate", "inmigrate", "running"], "running"), (["inmigrate"] * 9, "inmigrate"),
])  # fmt: skip
async def test_a_guest_is_awaited_until_all_of_it_is_there(
    states: list[str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_ARRIVAL_LOOKS", 5)
    monkeypatch.setattr(migrations, "_ARRIVAL_S", 0)
    left = iter(states)

    async def status() -> str:
        return next(left)

    target: Any = SimpleNamespace(qmp=SimpleNamespace(status=status))
    assert await object.__new__(Migrations)._arrived(target) == found
