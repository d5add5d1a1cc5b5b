"""Memory dumps: the next step for each phase."""

from __future__ import annotations

import pytest

from vmpod.model.meta import Object
from vmpod.node.memorydumps import Begin, Seen, plan
from vmpod.reconcile.actions import Patch
from vmpod.testing.clock import EPOCH
from vmpod.testing.objects import instance, machine


def seen(phase: str, *, runs: bool = True, busy: bool = False, claim: str = "Bound", up: bool = True) -> Seen:
    vm = machine("db") | {"status": {"memoryDumpRequest": {"claimName": "m", "phase": phase}}}
    return Seen(vm, instance("db") if runs else None, up, {"status": {"phase": claim}}, busy, EPOCH)


def written(found: Seen) -> Object:
    (action,) = plan(found).actions
    assert isinstance(action, Patch)
    request = action.patch["status"]["memoryDumpRequest"]
    return {} if request is None else dict(request)


def test_it_begins_with_a_name_that_the_next_engine_reads() -> None:
    begun = written(seen("Associating"))
    assert begun["phase"] == "InProgress" and begun["startTimestamp"]
    assert begun["fileName"] == f"db-m-{EPOCH:%Y%m%d-%H%M%S}.memory.dump"
    (action,) = plan(seen("InProgress")).actions
    assert isinstance(action, Begin)


@pytest.mark.parametrize("found", [seen("Associating", claim="Pending"), seen("InProgress", up=False)])
def test_a_new_claim_and_a_machine_not_reached_yet_are_waited_for(found: Seen) -> None:
    waiting = plan(found)
    assert waiting.actions == () and waiting.again_in is not None


@pytest.mark.parametrize("phase", ["Associating", "InProgress"])
def test_without_the_machine_it_fails_and_says_why(phase: str) -> None:
    assert written(seen(phase, runs=False))["message"] == "the machine does not run"
    assert [one.reason for one in plan(seen(phase, runs=False)).events] == ["MemoryDumpError"]


def test_an_association_ends_when_nothing_is_written() -> None:
    assert written(seen("Dissociating")) == {}
    assert plan(seen("Dissociating", busy=True)).actions == ()


@pytest.mark.parametrize("found", [seen("Completed"), seen("Failed"), seen("InProgress", busy=True)])
def test_what_is_done_or_under_way_is_left_alone(found: Seen) -> None:
    assert plan(found).actions == ()
