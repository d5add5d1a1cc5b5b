"""Notes become Events; the same note is counted."""

from __future__ import annotations

import asyncio

from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.kinds.event import EVENT
from vmpod.kinds.pod import POD
from vmpod.model.meta import Object
from vmpod.model.status import forbidden
from vmpod.reconcile.actions import Note
from vmpod.reconcile.events import Recorder
from vmpod.testing import clock
from vmpod.testing.api import FakeApi, Fault

POD_OBJECT: Object = {
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "p", "namespace": "d", "uid": "u", "resourceVersion": "7"},
}  # fmt: skip
NOTE = Note("Warning", "FailedScheduling", "no node", POD_OBJECT)


def _recorder(api: FakeApi) -> Recorder:
    return Recorder(Client(InProcess(api, User("x"))), "scheduler", "node-1", clock.VirtualClock())


def test_an_event_as_kubernetes_writes_it() -> None:
    async def scene() -> None:
        api = FakeApi((EVENT, POD))
        await _recorder(api).record(NOTE)
        (event,) = api.list(EVENT)
        assert event["metadata"]["namespace"] == "d"
        assert event["metadata"]["name"].startswith("p.")
        assert event["involvedObject"] == {
            "apiVersion": "v1", "kind": "Pod", "namespace": "d", "name": "p", "uid": "u", "resourceVersion": "7",
        }  # fmt: skip
        assert event["source"] == {"component": "scheduler", "host": "node-1"}
        assert (event["type"], event["reason"], event["message"]) == ("Warning", "FailedScheduling", "no node")
        assert event["firstTimestamp"] == event["lastTimestamp"] == "2030-01-01T00:00:00Z"
        assert event["count"] == 1

    clock.run(scene())


def test_the_same_note_is_counted_and_another_is_not() -> None:
    async def scene() -> None:
        api = FakeApi((EVENT, POD))
        recorder = _recorder(api)
        for _ in range(3):
            await recorder.record(NOTE)
            await asyncio.sleep(30)
        await recorder.record(Note("Warning", "FailedScheduling", "another reason", POD_OBJECT))
        first, second = sorted(api.list(EVENT), key=lambda event: -event["count"])
        assert (first["count"], second["count"]) == (3, 1)
        assert first["firstTimestamp"] == "2030-01-01T00:00:00Z"
        assert first["lastTimestamp"] == "2030-01-01T00:01:00Z"

    clock.run(scene())


def test_a_flood_of_the_same_note_is_written_now_and_then() -> None:
    async def scene() -> None:
        api = FakeApi((EVENT, POD))
        recorder = _recorder(api)
        for _ in range(100):
            await recorder.record(NOTE)
            await asyncio.sleep(0.25)
        assert len(api.writes(EVENT)) == 3
        (event,) = api.list(EVENT)
        assert event["count"] == 81, "at 20 s; the rest comes with the next one"

    clock.run(scene())


def test_counting_goes_on_after_a_restart() -> None:
    async def scene() -> None:
        api = FakeApi((EVENT, POD))
        await _recorder(api).record(NOTE)
        await _recorder(api).record(NOTE)
        (event,) = api.list(EVENT)
        assert event["count"] == 2

    clock.run(scene())


def test_an_expired_event_is_made_anew() -> None:
    async def scene() -> None:
        api = FakeApi((EVENT, POD))
        recorder = _recorder(api)
        await recorder.record(NOTE)
        api.remove(EVENT, "d", api.list(EVENT)[0]["metadata"]["name"])
        await asyncio.sleep(20)
        await recorder.record(NOTE)
        await recorder.record(NOTE)
        assert len(api.list(EVENT)) == 1

    clock.run(scene())


def test_what_cannot_be_recorded_disturbs_nobody() -> None:
    async def scene() -> None:
        api = FakeApi((EVENT, POD))
        api.faults.append(Fault(lambda request: True, forbidden("events", "", "the namespace is terminating")))
        recorder = _recorder(api)
        await recorder.record(NOTE)
        assert api.list(EVENT) == []
        await recorder.record(NOTE)
        assert len(api.list(EVENT)) == 1

    clock.run(scene())


def test_cluster_scoped_objects_have_theirs_in_default() -> None:
    async def scene() -> None:
        api = FakeApi((EVENT, POD))
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "n"}}
        await _recorder(api).record(Note("Normal", "Starting", "x" * 2000, node))
        (event,) = api.list(EVENT)
        assert event["metadata"]["namespace"] == "default"
        assert len(event["message"]) == 1024

    clock.run(scene())
