"""When an instance starts and stops."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.clock import rfc3339
from vmpod.controllers import runstrategy
from vmpod.controllers.runstrategy import Decision
from vmpod.model.meta import Object
from vmpod.testing.clock import EPOCH

START, STOP, KEEP, RERUN = Decision(start=True), Decision(stop=True), Decision(), Decision(stop=True, rerun=True)
_STOP_IT = {"action": "Stop", "uid": "i1"}
_START_IT = {"action": "Start"}


def vm(strategy: str, *requests: Object, settled: str = "") -> Object:
    return {"metadata": {"uid": "m1"}, "spec": {"runStrategy": strategy},
            "status": {"stateChangeRequests": list(requests), "runStrategy": settled}}


def vmi(phase: str, *, deleting: bool = False, times: tuple[tuple[str, float], ...] = ()) -> Object:
    stamps = [{"phase": word, "phaseTransitionTimestamp": rfc3339(EPOCH + timedelta(seconds=at))} for word, at in times]
    return {"metadata": {"uid": "i1", **({"deletionTimestamp": "x"} if deleting else {})},
            "status": {"phase": phase, "phaseTransitionTimestamps": stamps}}


@pytest.mark.parametrize(
    ("machine", "phase", "expected"),
    [
        (vm("Always"), None, START),
        (vm("Always"), "Running", KEEP),
        (vm("Always"), "Succeeded", STOP),
        (vm("Always"), "Failed", STOP),
        (vm("Always", _STOP_IT, _START_IT), "Running", STOP),
        (vm("Halted"), None, KEEP),
        (vm("Halted"), "Running", STOP),
        (vm("Halted", _START_IT), None, START),
        (vm("Manual"), None, KEEP),
        (vm("Manual", _START_IT), None, START),
        (vm("Manual"), "Succeeded", KEEP),
        (vm("Manual", _STOP_IT), "Running", STOP),
        (vm("Manual", {"action": "Stop", "uid": "another"}), "Running", KEEP),
        (vm("RerunOnFailure"), None, START),
        (vm("RerunOnFailure", settled="RerunOnFailure"), None, KEEP),
        (vm("RerunOnFailure", _START_IT, settled="RerunOnFailure"), None, START),
        (vm("RerunOnFailure"), "Succeeded", STOP),
        (vm("RerunOnFailure"), "Running", KEEP),
        (vm("RerunOnFailure"), "Failed", RERUN),
        (vm("RerunOnFailure", _STOP_IT), "Failed", STOP),
        (vm("Once"), None, START),
        (vm("Once", settled="Once"), None, START),
        (vm("Once", _STOP_IT), "Running", STOP),
        (vm("Once"), "Succeeded", KEEP),
        (vm("Once"), "Failed", KEEP),
    ],
)  # fmt: skip
def test_each_strategy_starts_and_stops_as_kubevirt_does(machine: Object, phase: str | None, expected: Decision) -> None:
    assert runstrategy.decide(machine, vmi(phase) if phase else None) == expected


@pytest.mark.parametrize("strategy", ["Always", "Halted", "Manual", "Once"])
def test_an_instance_on_its_way_out_is_left_alone(strategy: str) -> None:
    assert runstrategy.decide(vm(strategy), vmi("Running", deleting=True)) == KEEP


def test_a_failure_that_is_to_be_rerun_is_remembered_while_the_instance_goes() -> None:
    assert runstrategy.decide(vm("RerunOnFailure"), vmi("Failed", deleting=True)) == Decision(rerun=True)


@pytest.mark.parametrize(
    ("running", "expected"), [(True, "Always"), (False, "Halted"), (None, "Halted")]
)
def test_the_deprecated_field_means_a_strategy(running: bool | None, expected: str) -> None:
    assert runstrategy.strategy({"spec": {"running": running}}) == expected


def test_requests_are_dropped_when_they_are_fulfilled() -> None:
    restart = vm("Always", _STOP_IT, _START_IT)
    assert runstrategy.pending_requests(restart, vmi("Running"), rerun=False) == [_STOP_IT, _START_IT]
    assert runstrategy.pending_requests(restart, None, rerun=False) == [_START_IT]
    fresh = vmi("Pending")
    fresh["metadata"]["uid"] = "i2"
    assert runstrategy.pending_requests(restart, fresh, rerun=False) == []


def test_a_rerun_adds_one_start_request() -> None:
    once = runstrategy.pending_requests(vm("RerunOnFailure"), vmi("Failed"), rerun=True)
    assert once == [_START_IT]
    again = runstrategy.pending_requests(vm("RerunOnFailure", *once), vmi("Failed"), rerun=True)
    assert again == once


class TestBackOff:
    def test_a_failure_before_running_is_counted_once(self) -> None:
        machine = vm("Always")
        failure = runstrategy.start_failure(machine, vmi("Failed"), EPOCH)
        assert failure is not None
        assert failure["consecutiveFailCount"] == 1
        machine["status"]["startFailure"] = failure
        assert runstrategy.start_failure(machine, vmi("Failed", deleting=True), EPOCH + timedelta(seconds=3)) == failure

    def test_a_crash_within_seconds_counts_a_later_one_does_not(self) -> None:
        early = vmi("Failed", times=(("Running", 0), ("Failed", 2)))
        late = vmi("Failed", times=(("Running", 0), ("Failed", 60)))
        assert runstrategy.start_failure(vm("Always"), early, EPOCH) is not None
        assert runstrategy.start_failure(vm("Always"), late, EPOCH) is None

    @pytest.mark.parametrize("strategy", ["Halted", "Manual", "Once"])
    def test_who_starts_it_by_hand_does_not_wait(self, strategy: str) -> None:
        machine = vm(strategy)
        machine["status"]["startFailure"] = {"consecutiveFailCount": 3, "lastFailedVMIUID": "i0"}
        assert runstrategy.start_failure(machine, vmi("Failed"), EPOCH) is None
        assert runstrategy.start_failure(machine, None, EPOCH) is None

    def test_a_guest_that_shuts_itself_down_has_not_failed(self) -> None:
        ended = vmi("Succeeded", times=(("Running", 0), ("Succeeded", 2)))
        assert runstrategy.start_failure(vm("Always"), ended, EPOCH) is None

    def test_running_long_enough_clears_it(self) -> None:
        machine = vm("Always")
        machine["status"]["startFailure"] = {"consecutiveFailCount": 3, "lastFailedVMIUID": "i0"}
        running = vmi("Running", times=(("Running", 0),))
        assert runstrategy.start_failure(machine, running, EPOCH + timedelta(seconds=2)) is not None
        assert runstrategy.start_failure(machine, running, EPOCH + timedelta(seconds=11)) is None

    @given(st.text(min_size=1), st.integers(1, 50))
    def test_the_wait_grows_with_the_square_and_is_capped(self, uid: str, count: int) -> None:
        wait = runstrategy.back_off_s(uid, count)
        assert min(300, 10 * count * count) <= wait <= min(300, 15 * count * count)
        assert wait == runstrategy.back_off_s(uid, count)
