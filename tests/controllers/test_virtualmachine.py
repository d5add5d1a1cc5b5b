"""VirtualMachine → instance, and the instance folded back."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmpod.base.clock import rfc3339
from vmpod.controllers import datavolume, garbage, scheduler, virtualmachine, virtualmachineinstance
from vmpod.controllers.config import ControllerConfig
from vmpod.controllers.instances import instance_of
from vmpod.kinds import (
    CONTROLLERREVISION,
    DATAVOLUME,
    NODE,
    PERSISTENTVOLUMECLAIM,
    POD,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
)
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.reconcile.actions import Create, Patch
from vmpod.testing.objects import condition, machine, node, node_status
from vmpod.testing.world import World

KEY = ("default", "orders")
CONFIG = ControllerConfig(loadbalancer_cidr="10.9.0.0/24", node_names=("n1",))
CONTROLLERS: dict[ModuleType, dict[str, Any]] = {
    virtualmachine: {}, virtualmachineinstance: {}, datavolume: {}, scheduler: {"config": CONFIG}, garbage: {},
}
_TEMPLATE = {
    "metadata": {"name": "disk"},
    "spec": {"source": {"blank": {}}, "storage": {"resources": {"requests": {"storage": "1Gi"}}}},
}


class Guests:
    """The node's part: launchers run, instances run in them, claims are filled; an order to end is obeyed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ends: list[str] = []
        self.fills = True

    def __call__(self) -> None:
        for claim in self.world.list(PERSISTENTVOLUMECLAIM):
            if self.fills and meta.get(claim, "status", "phase") != "Bound":
                done = {"metadata": {"annotations": {"cdi.kubevirt.io/storage.pod.phase": "Succeeded"}}}
                self.world.update(PERSISTENTVOLUMECLAIM, "default", meta.name(claim), done)
                self.world.update(PERSISTENTVOLUMECLAIM, "default", meta.name(claim), {"status": {"phase": "Bound"}}, "status")
        for pod in self.world.list(POD):
            self._run(pod)

    def _run(self, pod: Object) -> None:
        if meta.is_deleting(pod):
            self._end("Succeeded")
            self.world.delete(POD, "default", meta.name(pod), uid=meta.uid(pod), grace_s=0)
        elif meta.get(pod, "spec", "nodeName") and meta.get(pod, "status", "phase") == "Pending":
            self.world.update(POD, "default", meta.name(pod), {"status": {"phase": "Running"}}, "status")
        elif self.ends:
            phase = self.ends.pop()
            self._end(phase)
            self.world.update(POD, "default", meta.name(pod), {"status": {"phase": phase}}, "status")
        vmi = self.world.get(VIRTUALMACHINEINSTANCE, *KEY)
        if vmi is not None and meta.get(vmi, "status", "phase") == "Scheduled" and not meta.is_deleting(vmi):
            self._write(vmi, "Running", condition("Ready"))

    def _end(self, phase: str) -> None:
        vmi = self.world.get(VIRTUALMACHINEINSTANCE, *KEY)
        if vmi is not None and meta.get(vmi, "status", "phase") in ("Scheduled", "Running"):
            self._write(vmi, phase, condition("Ready", False))

    def _write(self, vmi: Object, phase: str, *found: Object) -> None:
        moved = {"phase": phase, "phaseTransitionTimestamp": rfc3339(self.world.now)}
        times = [*meta.get(vmi, "status", "phaseTransitionTimestamps", default=[]), moved]
        status = {"phase": phase, "conditions": list(found), "phaseTransitionTimestamps": times}
        self.world.update(VIRTUALMACHINEINSTANCE, *KEY, {"status": status}, "status")


def new_world() -> tuple[World, Guests]:
    world = World()
    world.put(NODE, node(), node_status())
    return world, Guests(world)


def settle(world: World, guests: Callable[[], None]) -> None:
    world.settle(CONTROLLERS, guests)
    check(world)


def check(world: World) -> None:
    """What holds at any time: at most one instance, at most one live launcher."""
    assert len(world.list(VIRTUALMACHINEINSTANCE)) <= 1
    assert len([pod for pod in world.list(POD) if meta.get(pod, "status", "phase") in ("Pending", "Running")]) <= 1


def machine_status(world: World) -> Object:
    found = world.get(VIRTUALMACHINE, *KEY)
    assert found is not None
    return dict(found.get("status") or {})


def test_a_machine_that_should_run_runs() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    status = machine_status(world)
    assert (status["printableStatus"], status["created"], status["ready"]) == ("Running", True, True)
    assert status["runStrategy"] == "Always"
    assert status["observedGeneration"] == status["desiredGeneration"] == 1
    vmi = world.get(VIRTUALMACHINEINSTANCE, *KEY)
    assert vmi is not None
    assert meta.labels(vmi)["app"] == "orders"
    assert meta.labels(vmi)["kubevirt.io/nodeName"] == "n1"
    assert vmi["status"]["nodeName"] == "n1"
    phases = [one["phase"] for one in vmi["status"]["phaseTransitionTimestamps"]]
    assert phases == ["Pending", "Scheduled", "Running"]
    assert [note.reason for note in world.notes] == ["SuccessfulCreate", "SuccessfulCreate", "Scheduled"]


def test_a_halted_machine_has_no_instance() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine(runStrategy="Halted"))
    settle(world, guests)
    status = machine_status(world)
    assert (status["printableStatus"], status["created"]) == ("Stopped", False)
    ready = conditions.find(status["conditions"], "Ready")
    assert ready is not None
    assert ready["reason"] == "VMINotExists"


def test_a_start_request_on_a_halted_machine_turns_its_strategy() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine(running=False), {"stateChangeRequests": [{"action": "Start"}]})
    settle(world, guests)
    found = world.get(VIRTUALMACHINE, *KEY)
    assert found is not None
    assert found["spec"]["running"] is True
    assert "stateChangeRequests" not in found["status"]


def test_a_restart_makes_another_instance_and_clears_its_requests() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    first = world.get(VIRTUALMACHINEINSTANCE, *KEY)
    assert first is not None
    requests = [{"action": "Stop", "uid": meta.uid(first)}, {"action": "Start"}]
    world.update(VIRTUALMACHINE, *KEY, {"status": {"stateChangeRequests": requests}}, "status")
    settle(world, guests)
    second = world.get(VIRTUALMACHINEINSTANCE, *KEY)
    assert second is not None
    assert meta.uid(second) != meta.uid(first)
    assert "stateChangeRequests" not in machine_status(world)
    assert machine_status(world)["printableStatus"] == "Running"


def test_crashes_in_a_row_are_spaced_out_and_told() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    for count in (1, 2, 3):
        guests.ends.append("Failed")
        settle(world, guests)
        status = machine_status(world)
        assert status["startFailure"]["consecutiveFailCount"] == count
        assert status["printableStatus"] == "CrashLoopBackOff"
        assert world.list(VIRTUALMACHINEINSTANCE) == []
        world.pass_time(300)
    settle(world, guests)
    assert machine_status(world)["printableStatus"] == "Running"
    world.pass_time(11)
    settle(world, guests)
    assert "startFailure" not in machine_status(world)


def test_a_failed_machine_is_rerun_a_finished_one_is_not() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine(runStrategy="RerunOnFailure"))
    settle(world, guests)
    world.pass_time(60)
    guests.ends.append("Failed")
    settle(world, guests)
    assert machine_status(world)["printableStatus"] == "Running"
    guests.ends.append("Succeeded")
    settle(world, guests)
    assert machine_status(world)["printableStatus"] == "Stopped"
    assert not world.list(VIRTUALMACHINEINSTANCE)


def test_volumes_come_first() -> None:
    world, guests = new_world()
    guests.fills = False
    disk = {"name": "d", "dataVolume": {"name": "disk"}}
    world.put(VIRTUALMACHINE, machine(volumes=(disk,), dataVolumeTemplates=[_TEMPLATE]))
    settle(world, guests)
    assert machine_status(world)["printableStatus"] == "Provisioning"
    assert world.list(VIRTUALMACHINEINSTANCE) == []
    guests.fills = True
    settle(world, guests)
    assert machine_status(world)["printableStatus"] == "Running"


def test_a_volume_that_cannot_be_filled_is_told_once_with_its_reason() -> None:
    world, guests = new_world()
    guests.fills = False
    world.put(VIRTUALMACHINE, machine(dataVolumeTemplates=[_TEMPLATE]))
    settle(world, guests)
    marks = {"cdi.kubevirt.io/storage.pod.phase": "Failed", "cdi.kubevirt.io/storage.condition.running.message": "no image"}
    world.update(PERSISTENTVOLUMECLAIM, "default", "disk", {"metadata": {"annotations": marks}})
    settle(world, guests)
    assert machine_status(world)["printableStatus"] == "DataVolumeError"
    (told,) = {note.message for note in world.notes if note.reason == "FailedDataVolumeImport"}
    assert "disk" in told and "no image" in told


def test_a_volume_without_an_owner_is_adopted() -> None:
    world, guests = new_world()
    world.put(DATAVOLUME, {"metadata": {"name": "disk", "namespace": "default"}, "spec": _TEMPLATE["spec"]})
    world.put(VIRTUALMACHINE, machine(dataVolumeTemplates=[_TEMPLATE]))
    settle(world, guests)
    volume, owner = world.get(DATAVOLUME, "default", "disk"), world.get(VIRTUALMACHINE, *KEY)
    assert volume is not None
    assert owner is not None
    assert meta.is_owned_by(volume, meta.uid(owner))


def test_a_volume_that_is_to_outlive_its_machine_is_left_alone_by_that_machine() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine(dataVolumeTemplates=[_TEMPLATE]))
    settle(world, guests)
    owner = meta.uid(world.get(VIRTUALMACHINE, *KEY) or {})
    marks = {"ownerReferences": None, "annotations": {"vmpod.io/kept-from": owner}}
    world.update(DATAVOLUME, "default", "disk", {"metadata": marks})
    settle(world, guests)
    assert [meta.controller_of(one) for one in world.list(DATAVOLUME)] == [None]


def test_a_foreign_instance_of_its_name_is_told_not_touched() -> None:
    world, guests = new_world()
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
    world.put(VIRTUALMACHINEINSTANCE, {"metadata": {"name": "orders", "namespace": "default", "ownerReferences": [owner]},
                                       "spec": {"domain": {}}})  # fmt: skip
    world.put(VIRTUALMACHINE, machine())
    world.settle({virtualmachine: {}}, guests)
    failure = conditions.find(machine_status(world)["conditions"], "Failure")
    assert failure is not None
    assert "does not belong" in failure["message"]
    assert len({note.message for note in world.notes if note.reason == "FailedCreate"}) == 1


def test_a_changed_template_asks_for_a_restart() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"template": {"spec": {"hostname": "other"}}}})
    settle(world, guests)
    status = machine_status(world)
    assert conditions.is_true(status["conditions"], "RestartRequired")
    assert (status["observedGeneration"], status["desiredGeneration"]) == (1, 2)


def test_what_does_not_touch_the_template_keeps_the_instance_in_step() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    (vmi,) = world.list(VIRTUALMACHINEINSTANCE)
    assert meta.get(vmi, "status", "virtualMachineRevisionName") == meta.name(world.list(CONTROLLERREVISION)[0])
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"runStrategy": "Manual"}})
    settle(world, guests)
    status = machine_status(world)
    assert (status["observedGeneration"], status["desiredGeneration"]) == (2, 2)
    assert conditions.find(status["conditions"], "RestartRequired") is None
    (after,) = world.list(VIRTUALMACHINEINSTANCE)
    assert meta.uid(after) == meta.uid(vmi) and meta.annotations(after)["kubevirt.io/vm-generation"] == "2"


def test_a_start_keeps_one_revision() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    for strategy in ("Halted", "Always"):
        world.update(VIRTUALMACHINE, *KEY, {"spec": {"runStrategy": strategy, "template": {"spec": {"hostname": "h"}}}})
        settle(world, guests)
        world.pass_time(60)
    (kept,) = world.list(CONTROLLERREVISION)
    assert kept["revision"] == 3 and kept["data"]["spec"]["template"]["spec"]["hostname"] == "h"


def test_an_orphan_is_adopted_with_what_it_was_started_from() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    (before,) = world.list(VIRTUALMACHINEINSTANCE)
    old = machine_uid(world)
    world.delete(VIRTUALMACHINE, *KEY, propagation="Orphan")
    settle(world, guests)
    assert not world.list(VIRTUALMACHINE)
    (left,) = world.list(VIRTUALMACHINEINSTANCE)
    assert meta.uid(left) == meta.uid(before) and not meta.controller_of(left)
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    (after,) = world.list(VIRTUALMACHINEINSTANCE)
    owner = meta.controller_of(after)
    assert meta.uid(after) == meta.uid(before) and owner is not None and owner["uid"] == machine_uid(world) != old
    assert machine_status(world)["printableStatus"] == "Running"
    (revision,) = world.list(CONTROLLERREVISION)
    assert meta.is_owned_by(revision, machine_uid(world))
    world.delete(VIRTUALMACHINE, *KEY)
    settle(world, guests)
    world.pass_time(10)
    settle(world, guests)
    for kind in (VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, CONTROLLERREVISION, POD):
        assert not world.list(kind), kind.resource


def machine_uid(world: World) -> str:
    found = world.get(VIRTUALMACHINE, *KEY)
    return meta.uid(found) if found is not None else ""


def test_an_orphan_ends_without_its_machine() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine())
    settle(world, guests)
    world.delete(VIRTUALMACHINE, *KEY, propagation="Orphan")
    settle(world, guests)
    world.delete(VIRTUALMACHINEINSTANCE, *KEY)
    settle(world, guests)
    assert not world.list(VIRTUALMACHINEINSTANCE)


def test_deletion_stops_the_instance_first() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine(dataVolumeTemplates=[_TEMPLATE]))
    settle(world, guests)
    world.delete(VIRTUALMACHINE, *KEY)
    world.turn(virtualmachine, KEY)
    assert machine_status(world)["printableStatus"] == "Terminating"
    assert len(world.list(VIRTUALMACHINEINSTANCE)) == 1
    world.pass_time(10)
    settle(world, guests)
    for kind in (VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, POD, DATAVOLUME, PERSISTENTVOLUMECLAIM):
        assert world.list(kind) == [], kind.resource


def test_an_orphaning_deletion_leaves_everything_running() -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine(dataVolumeTemplates=[_TEMPLATE]))
    settle(world, guests)
    world.delete(VIRTUALMACHINE, *KEY, propagation="Orphan")
    world.pass_time(10)
    settle(world, guests)
    assert world.list(VIRTUALMACHINE) == []
    assert [meta.controller_of(one) for one in world.list(DATAVOLUME)] == [None]
    assert [one["status"]["phase"] for one in world.list(VIRTUALMACHINEINSTANCE)] == ["Running"]


def test_a_paused_start_is_asked_of_the_instance() -> None:
    vm = machine() | {"status": {"stateChangeRequests": [{"action": "Start", "data": {"paused": "true"}}]}}
    vm["metadata"]["uid"] = "m1"
    made = instance_of(vm)
    assert made["spec"]["startStrategy"] == "Paused"
    assert made["spec"]["domain"]["firmware"]["uuid"] == instance_of(vm)["spec"]["domain"]["firmware"]["uuid"]


def test_the_first_turn_marks_the_machine_and_makes_the_instance() -> None:
    world, _ = new_world()
    world.put(VIRTUALMACHINE, machine())
    seen = virtualmachine.gather(KEY, world.cache, world.now)
    assert seen is not None
    keep, create, mark = virtualmachine.plan(seen).actions
    assert isinstance(keep, Create) and meta.name(keep.obj) == f"revision-start-vm-{meta.uid(seen.vm)}-1"
    assert isinstance(mark, Patch)
    assert mark.patch["metadata"]["finalizers"] == [virtualmachine.FINALIZER]
    assert isinstance(create, Create)
    assert meta.name(create.obj) == "orders"


_STEPS = st.one_of(
    st.sampled_from(["Succeeded", "Failed"]).map(lambda phase: ("end", phase)),
    st.sampled_from(["Always", "Halted", "Manual", "RerunOnFailure", "Once"]).map(lambda word: ("strategy", word)),
    st.sampled_from(["start", "stop", "restart"]).map(lambda verb: ("request", verb)),
    st.sampled_from([1, 20, 400]).map(lambda seconds: ("wait", str(seconds))),
    st.sampled_from([("kill", "pod"), ("kill", "vmi")]),
)


def act(world: World, guests: Guests, step: tuple[str, str]) -> None:
    """Something that a user or fate does."""
    what, detail = step
    vmi = world.get(VIRTUALMACHINEINSTANCE, *KEY)
    match what:
        case "end":
            guests.ends = [detail] if vmi is not None else []
        case "strategy":
            world.update(VIRTUALMACHINE, *KEY, {"spec": {"runStrategy": detail}})
        case "request":
            stop = [{"action": "Stop", "uid": meta.uid(vmi)}] if vmi is not None and detail != "start" else []
            requests = stop + ([{"action": "Start"}] if detail != "stop" else [])
            world.update(VIRTUALMACHINE, *KEY, {"status": {"stateChangeRequests": requests}}, "status")
        case "wait":
            world.pass_time(float(detail))
        case "kill" if detail == "vmi":
            world.delete(VIRTUALMACHINEINSTANCE, *KEY)
        case _:
            for pod in world.list(POD):
                world.delete(POD, "default", meta.name(pod), grace_s=0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["Always", "Halted", "Manual", "RerunOnFailure", "Once"]), st.lists(_STEPS, max_size=8))
def test_whatever_happens_it_settles_never_doubles_and_can_be_deleted(
    strategy: str, steps: list[tuple[str, str]]
) -> None:
    world, guests = new_world()
    world.put(VIRTUALMACHINE, machine(runStrategy=strategy))
    for step in steps:
        settle(world, guests)
        act(world, guests, step)
        check(world)
    settle(world, guests)
    found = world.get(VIRTUALMACHINE, *KEY)
    assert found is not None
    if found["spec"]["runStrategy"] == "Halted":
        assert world.list(VIRTUALMACHINEINSTANCE) == []
    world.delete(VIRTUALMACHINE, *KEY)
    world.pass_time(10)
    settle(world, guests)
    assert world.list(VIRTUALMACHINE) == world.list(VIRTUALMACHINEINSTANCE) == world.list(POD) == []
