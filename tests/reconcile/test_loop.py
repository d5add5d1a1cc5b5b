"""The loop on a small controller: a ConfigMap `parent` that wants `count` children and reports how many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.kinds.event import EVENT
from vmpod.kinds.pod import POD
from vmpod.kinds.replicaset import REPLICASET
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError, conflict
from vmpod.reconcile.actions import Create, Delete, Note, Patch, Plan
from vmpod.reconcile.apply import Written
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, own, owned_by
from vmpod.testing import clock
from vmpod.testing.api import FakeApi, Fault


@dataclass(frozen=True)
class Seen:
    owner: Object
    children: tuple[Object, ...]


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    owner = cache.get(REPLICASET, *key)
    return Seen(owner, tuple(cache.owned(POD, meta.uid(owner)))) if owner else None


def plan(seen: Seen) -> Plan:
    want = seen.owner["spec"]["replicas"]
    if meta.is_deleting(seen.owner):
        return Plan()
    if len(seen.children) > want:
        victim = seen.children[-1]
        return Plan((Delete(POD, meta.namespace(victim), meta.name(victim), meta.uid(victim)),))
    metadata = {
        "namespace": meta.namespace(seen.owner), "generateName": meta.name(seen.owner) + "-",
        "ownerReferences": [meta.owner_reference(seen.owner)],
    }  # fmt: skip
    missing = range(want - len(seen.children))
    notes = (Note("Normal", "Growing", f"{len(missing)} more", seen.owner),) if missing else ()
    return Plan(tuple(Create(POD, {"metadata": dict(metadata)}) for _ in missing), events=notes)


def status(seen: Seen, plan: Plan) -> Object | None:
    return {"replicas": len(seen.children), "observedGeneration": 1}


class World:
    """A fake API, a cache and one loop in virtual time."""

    def __init__(self, **options: Any) -> None:
        lag_s = options.pop("lag_s", 0.0)
        self.api = FakeApi((REPLICASET, POD, EVENT), lag_s=lag_s)
        self.client = Client(InProcess(self.api, User("system:vmpod")))
        self.cache = Cache(self.client, (REPLICASET, POD))
        self.events = Recorder(self.client, "test", "", clock.VirtualClock())
        self.options = {"gather": gather, "plan": plan, "status": status, "apply": None} | options
        self.loop: Loop[Any, Any] = Loop(
            "replicaset", REPLICASET, (own(REPLICASET), owned_by(POD, REPLICASET)),
            cache=self.cache, client=self.client, events=self.events, clock=clock.VirtualClock(), **self.options,
        )  # fmt: skip

    def put(self, name: str = "web", replicas: int = 3, **metadata: Any) -> Object:
        obj = {"metadata": {"name": name, "namespace": "d", **metadata}, "spec": {"replicas": replicas}}
        return self.api.put(REPLICASET, obj)

    def pods(self) -> list[Object]:
        return self.api.list(POD)

    def status(self, name: str = "web") -> Any:
        return (self.api.get(REPLICASET, "d", name) or {}).get("status")

    def reasons(self) -> list[str]:
        return sorted(event["reason"] for event in self.api.list(EVENT))


def play(scene: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def whole() -> None:
        world = World(**options)
        await world.cache.start()
        world.loop.start()
        await asyncio.sleep(5)
        await scene(world)
        await world.loop.stop()
        await world.cache.stop()

    clock.run(whole())


@pytest.mark.parametrize("lag_s", [0.0, 0.3])
def test_converges_and_reads_its_own_writes(lag_s: float) -> None:
    """However late the view is told, no child is created twice."""

    async def scene(world: World) -> None:
        world.put(replicas=3)
        await asyncio.sleep(30)
        assert len(world.pods()) == 3
        assert world.status() == {"replicas": 3, "observedGeneration": 1}
        assert len(world.api.writes(POD, "POST")) == 3
        assert world.reasons() == ["Growing"]
        turns, requests = world.loop.turns, len(world.api.requests)
        await asyncio.sleep(60)
        assert (world.loop.turns, len(world.api.requests)) == (turns, requests), "nothing to do, nothing done"

    play(scene, lag_s=lag_s)


def test_existing_objects_are_looked_at_from_the_start() -> None:
    async def whole() -> None:
        world = World()
        world.put(replicas=2)
        await world.cache.start()
        world.loop.start()
        await asyncio.sleep(5)
        assert world.status() == {"replicas": 2, "observedGeneration": 1}
        await world.loop.stop()
        await world.cache.stop()

    clock.run(whole())


def test_shrinks_and_heals() -> None:
    async def scene(world: World) -> None:
        world.put(replicas=3)
        await asyncio.sleep(5)
        victim = world.pods()[0]
        world.api.remove(POD, "d", meta.name(victim))
        await asyncio.sleep(5)
        assert len(world.pods()) == 3
        world.put(replicas=1)
        await asyncio.sleep(5)
        assert len(world.pods()) == 1
        assert world.status()["replicas"] == 1

    play(scene)


def test_an_old_view_throws_the_plan_away() -> None:
    """The status is not written over a change that the plan did not see."""

    async def scene(world: World) -> None:
        stale = Fault(lambda request: request.path.endswith("/status"), conflict("replicasets.apps", "web"), times=2)
        world.api.faults.append(stale)
        world.put(replicas=1)
        await asyncio.sleep(10)
        assert stale.times == 0
        assert world.status()["replicas"] == 1
        assert world.reasons() == ["Growing"], "a conflict is no error"

    play(scene)


def test_refused_actions_are_told_and_tried_again() -> None:
    async def scene(world: World) -> None:
        quota = ApiError(403, "Forbidden", 'pods "x" is forbidden: exceeded quota')
        refusal = Fault(lambda request: request.method == "POST" and "/pods" in request.path, quota, times=6)
        world.api.faults.append(refusal)
        world.put("web", replicas=1)
        await asyncio.sleep(0.4)
        world.put("other", replicas=0)
        await asyncio.sleep(0.1)
        assert world.status("other") == {"replicas": 0, "observedGeneration": 1}, "other keys go on"
        await asyncio.sleep(60)
        assert len(world.pods()) == 1
        events = [event for event in world.api.list(EVENT) if event["reason"] == "ReconcileError"]
        assert len(events) == 1
        assert events[0]["type"] == "Warning"
        assert events[0]["message"] == 'replicaset: pods "x" is forbidden: exceeded quota'

    play(scene)


def test_an_exception_in_a_plan_is_told_and_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    def fragile(seen: Seen) -> Plan:
        if meta.name(seen.owner) == "bad":
            raise KeyError("spec.template")
        return plan(seen)

    async def scene(world: World) -> None:
        world.put("bad")
        world.put("web", replicas=1)
        await asyncio.sleep(20)
        assert len(world.pods()) == 1
        assert "ReconcileError" in world.reasons()
        world.api.remove(REPLICASET, "d", "bad")
        turns = world.loop.turns
        await asyncio.sleep(120)
        assert world.loop.turns - turns <= 3, "gone, so it is left alone"

    play(scene, plan=fragile)


def test_half_a_plan_is_read_before_the_next_one() -> None:
    """The second of two creations fails: the first must be seen before planning again."""

    async def scene(world: World) -> None:
        calls = 0

        def second(request: Any) -> bool:
            nonlocal calls
            calls += request.method == "POST" and "/pods" in request.path
            return calls == 2

        world.api.faults.append(Fault(second, ApiError(500, "InternalError", "disk full")))
        world.put(replicas=2)
        await asyncio.sleep(30)
        assert len(world.pods()) == 2

    play(scene, lag_s=0.5)


def test_again_in() -> None:
    moments: list[float] = []

    def look(seen: Seen) -> Plan:
        moments.append(round(asyncio.get_running_loop().time()))
        return Plan(again_in=10.0 if len(moments) < 4 else None)

    async def scene(world: World) -> None:
        world.put()
        await asyncio.sleep(100)
        assert moments == [5, 15, 25, 35]

    play(scene, plan=look, status=None)


def test_resync_looks_at_everything_now_and_then() -> None:
    async def scene(world: World) -> None:
        world.put("a", replicas=0)
        world.put("b", replicas=0)
        await asyncio.sleep(5)
        turns = world.loop.turns
        await asyncio.sleep(120)
        assert world.loop.turns == turns + 2

    play(scene, resync_s=100.0)


def test_own_actions_of_a_node_and_a_gather_that_asks_the_host() -> None:
    @dataclass(frozen=True)
    class StartMachine:
        name: str

    @dataclass(frozen=True)
    class NodePlan:
        actions: tuple[StartMachine, ...] = ()
        again_in: float | None = None
        events: tuple[Note, ...] = ()

    running: set[str] = set()

    async def observe(key: Key, cache: Cache, now: datetime) -> tuple[str, bool] | None:
        await asyncio.sleep(0.5)
        return (key[1], key[1] in running) if cache.get(REPLICASET, *key) else None

    def plan_machine(seen: tuple[str, bool]) -> NodePlan:
        return NodePlan() if seen[1] else NodePlan((StartMachine(seen[0]),), again_in=1)

    async def start(action: StartMachine) -> Written | None:
        running.add(action.name)
        return None

    async def scene(world: World) -> None:
        world.put("vm")
        await asyncio.sleep(5)
        assert running == {"vm"}
        assert world.status("vm") == {"running": True}

    def machine_status(seen: tuple[str, bool], plan: NodePlan) -> Object:
        return {"running": seen[1]}

    play(scene, gather=observe, plan=plan_machine, apply=start, status=machine_status)


def test_status_waits_when_the_plan_changes_the_object_itself() -> None:
    def with_finalizer(seen: Seen) -> Plan:
        if seen.owner["metadata"].get("finalizers"):
            return Plan()
        return Plan((Patch(REPLICASET, "d", meta.name(seen.owner), {"metadata": {"finalizers": ["vmpod.io/x"]}}),))

    async def scene(world: World) -> None:
        world.put(replicas=0)
        await asyncio.sleep(5)
        assert world.status() == {"replicas": 0, "observedGeneration": 1}
        assert [request.method for request in world.api.writes(REPLICASET)] == ["PATCH", "PUT"]
        assert world.reasons() == []

    play(scene, plan=with_finalizer)


def test_a_driver_problem_is_told_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    def failing(seen: Seen) -> Plan:
        raise Problem("start the machine", "no memory")

    async def scene(world: World) -> None:
        world.put()
        await asyncio.sleep(5)
        (event,) = world.api.list(EVENT)
        assert event["message"] == "replicaset: cannot start the machine: no memory"

    play(scene, plan=failing)
    assert not any(record.exc_info for record in caplog.records)


def test_one_worker_per_key() -> None:
    inside: list[str] = []

    async def slow(key: Key, cache: Cache, now: datetime) -> Seen | None:
        assert key[1] not in inside
        inside.append(key[1])
        await asyncio.sleep(1)
        inside.remove(key[1])
        return None

    async def scene(world: World) -> None:
        for number in range(20):
            world.loop.enqueue(("d", f"n{number % 3}"))
            await asyncio.sleep(0.2)
        await asyncio.sleep(10)
        assert world.loop.is_idle
        assert world.loop.turns >= 6

    play(scene, gather=slow)


def test_stop_ends_everything() -> None:
    async def scene(world: World) -> None:
        world.put(replicas=1)
        await asyncio.sleep(1)
        await world.loop.stop()
        world.loop.enqueue(("d", "web"))
        turns = world.loop.turns
        await asyncio.sleep(1000)
        assert world.loop.turns == turns

    play(scene)


def test_plans_are_values() -> None:
    note = Note("Normal", "X", "y", {})
    assert Plan(events=(note,)) == replace(Plan(), events=(note,))
