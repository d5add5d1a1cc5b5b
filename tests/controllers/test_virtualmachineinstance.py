"""VirtualMachineInstance → launcher, phases and conditions until the node takes over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest

from vmpod.base.clock import rfc3339
from vmpod.controllers import virtualmachineinstance as controller
from vmpod.controllers.virtualmachineinstance import Seen
from vmpod.kinds.parts import machine_state
from vmpod.model import conditions
from vmpod.model.meta import Object
from vmpod.reconcile.actions import Create, Delete, Patch, Plan
from vmpod.testing.clock import EPOCH
from vmpod.testing.objects import condition, instance

_DV = {"name": "d", "dataVolume": {"name": "disk"}}
_PVC = {"name": "d", "persistentVolumeClaim": {"claimName": "disk"}}
_BOUND = {"metadata": {"name": "disk"}, "status": {"phase": "Bound"}}


def vmi(phase: str = "", *, volumes: tuple[Object, ...] = (), meta: Object | None = None, **spec: Any) -> Object:
    made = instance(volumes=volumes, **spec)
    made["metadata"] |= {"uid": "i1", "finalizers": [controller.FINALIZER], **(meta or {})}
    return made | ({"status": {"phase": phase}} if phase else {})


def launcher(phase: str = "Pending", node: str = "", *found: Object, meta: Object | None = None, **status: Any) -> Object:
    made = {"uid": "p1", "name": "virt-launcher-orders-abcde", "namespace": "default", **(meta or {})}
    spec: Object = {"containers": [{"name": "compute", "image": "vmpod/virt-launcher"}]}
    return {"metadata": made, "spec": spec | ({"nodeName": node} if node else {}),
            "status": {"phase": phase, "conditions": list(found), **status}}


def seen(instance: Object, *pods: Object, claims: Any = None, volumes: Any = None, later_s: float = 0) -> Seen:
    return Seen(instance, pods, claims or {}, volumes or {}, EPOCH + timedelta(seconds=later_s))


def status(found: Seen) -> Object:
    made = controller.status(found, controller.plan(found))
    assert made is not None
    return made


def told(found: Seen, type: str = "Synchronized") -> tuple[str, str, str]:
    one = conditions.find(status(found)["conditions"], type) or {}
    return one.get("status", ""), one.get("reason", ""), one.get("message", "")


def waiting(reason: str, message: str) -> Object:
    return {"containerStatuses": [{"name": "compute", "state": {"waiting": {"reason": reason, "message": message}}}]}


class TestVolumes:
    def test_a_missing_claim_is_named(self) -> None:
        found = seen(vmi(volumes=(_PVC,)), claims={"disk": None})
        assert controller.plan(found).actions == ()
        text = "PVC default/disk does not exist, waiting for it to appear"
        assert told(found) == ("False", "FailedPvcNotFound", text)
        assert [(note.type, note.reason) for note in controller.plan(found).events] == [("Warning", "FailedPvcNotFound")]

    def test_it_is_told_once(self) -> None:
        found = seen(vmi(volumes=(_PVC,)), claims={"disk": None})
        known = vmi(volumes=(_PVC,)) | {"status": status(found)}
        assert controller.plan(seen(known, claims={"disk": None})).events == ()

    @pytest.mark.parametrize("phase", ["Pending", "ImportInProgress", "Failed"])
    def test_an_unfinished_volume_is_waited_for(self, phase: str) -> None:
        volume = {"metadata": {"name": "disk"}, "status": {"phase": phase}}
        found = seen(vmi(volumes=(_DV,)), claims={"disk": _BOUND}, volumes={"disk": volume})
        assert controller.plan(found) == Plan(again_in=2.0)
        assert told(found, "DataVolumesReady")[:2] == ("False", "NotAllDVsReady")

    def test_a_claim_that_an_import_fills_is_waited_for(self) -> None:
        notes = {"cdi.kubevirt.io/storage.import.source": "file"}
        claim = {"metadata": {"name": "disk", "annotations": notes}, "status": {"phase": "Bound"}}
        assert controller.plan(seen(vmi(volumes=(_PVC,)), claims={"disk": claim})).actions == ()
        notes["cdi.kubevirt.io/storage.pod.phase"] = "Succeeded"
        assert controller.plan(seen(vmi(volumes=(_PVC,)), claims={"disk": claim})).actions != ()

    def test_ready_volumes_make_a_launcher(self) -> None:
        volume = {"metadata": {"name": "disk"}, "status": {"phase": "Succeeded"}}
        found = seen(vmi(volumes=(_DV,)), claims={"disk": _BOUND}, volumes={"disk": volume})
        (action,) = controller.plan(found).actions
        assert isinstance(action, Create)
        assert told(found, "DataVolumesReady")[:2] == ("True", "AllDVsReady")


class TestState:
    _KEPT: ClassVar[Object] = {"devices": {"tpm": {"persistent": True}}}

    def test_its_claim_comes_before_the_launcher(self) -> None:
        owner = {"kind": "VirtualMachine", "name": "orders", "uid": "m1", "controller": True}
        made = vmi(meta={"ownerReferences": [owner]}, domain=self._KEPT)
        (action,) = controller.plan(seen(made)).actions
        assert isinstance(action, Create)
        claim = action.obj
        assert claim["metadata"]["labels"] == {"persistent-state-for": "orders"}
        assert claim["metadata"]["name"].startswith("persistent-state-for-orders-")
        assert claim["metadata"]["ownerReferences"] == [owner]
        found = Seen(made, (), {}, {}, EPOCH, state=claim)
        (action,) = controller.plan(found).actions
        assert isinstance(action, Create)
        assert action.obj["spec"]["volumes"] == [
            {"name": "vm-state", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}]
        assert status(found)["volumeStatus"] == [
            {"name": claim["metadata"]["name"], "persistentVolumeClaimInfo": {"claimName": claim["metadata"]["name"]}}]

    def test_without_a_machine_it_goes_with_the_instance(self) -> None:
        (action,) = controller.plan(seen(vmi(domain=self._KEPT))).actions
        assert isinstance(action, Create)
        assert action.obj["metadata"]["ownerReferences"][0]["uid"] == "i1"

    @pytest.mark.parametrize(("owners", "deleted", "found"), [
        (["m1"], False, True), ([], False, True), (["m0"], False, False), (["m1"], True, False),
    ])
    def test_another_machines_state_is_left_alone(self, owners: list[str], deleted: bool, found: bool) -> None:
        """A machine of the same name may have been deleted a moment ago."""
        metadata: Object = {"name": "c", "uid": "c1", "labels": {"persistent-state-for": "orders"},
                            "ownerReferences": [{"uid": one} for one in owners]}
        claim = {"metadata": metadata | ({"deletionTimestamp": rfc3339(EPOCH)} if deleted else {})}
        assert (machine_state.find_claim("orders", "m1", [claim]) is not None) is found


class TestPhases:
    @pytest.mark.parametrize(
        ("before", "pod", "after"),
        [
            ("", None, "Pending"),
            ("Pending", launcher(), "Scheduling"),
            ("Pending", launcher("Running", "n1"), "Scheduled"),
            ("Scheduling", launcher("Running"), "Scheduling"),
            ("Scheduling", launcher("Failed", "n1"), "Failed"),
            ("Scheduling", launcher("Succeeded", "n1"), "Succeeded"),
            ("Scheduling", None, "Failed"),
            ("Scheduled", None, "Failed"),
            ("Running", None, "Failed"),
        ],
    )
    def test_they_follow_the_launcher(self, before: str, pod: Object | None, after: str) -> None:
        made = status(seen(vmi(before), *([pod] if pod else [])))
        assert made["phase"] == after
        assert made["phaseTransitionTimestamps"][-1]["phase"] == after

    @pytest.mark.parametrize("phase", ["Scheduled", "Running", "Succeeded", "Failed"])
    def test_then_the_node_has_the_word(self, phase: str) -> None:
        found = seen(vmi(phase), launcher("Running", "n1"))
        assert controller.status(found, controller.plan(found)) is None

    def test_a_launcher_that_ended_long_ago_ends_the_instance(self) -> None:
        ended = [{"state": {"terminated": {"finishedAt": rfc3339(EPOCH)}}}]
        pod = launcher("Succeeded", "n1", containerStatuses=ended)
        early = seen(vmi("Running"), pod, later_s=1)
        assert controller.status(early, controller.plan(early)) is None
        assert controller.plan(early).again_in == pytest.approx(9)
        assert status(seen(vmi("Running"), pod, later_s=11))["phase"] == "Succeeded"

    def test_no_second_launcher_is_made(self) -> None:
        assert controller.plan(seen(vmi("Scheduling"))).actions == ()
        assert controller.plan(seen(vmi("Running"))).actions == ()

    def test_placement_is_told(self) -> None:
        made = status(seen(vmi("Scheduling"), launcher("Running", "n1", qosClass="Burstable")))
        assert (made["nodeName"], made["activePods"], made["qosClass"]) == ("n1", {"p1": "n1"}, "Burstable")

    def test_the_node_is_marked_once_it_is_known(self) -> None:
        (action,) = controller.plan(seen(vmi("Scheduled"), launcher("Running", "n1"))).actions
        assert isinstance(action, Patch)
        assert action.patch == {"metadata": {"labels": {"kubevirt.io/nodeName": "n1"}}}


class TestTrouble:
    def test_an_unschedulable_launcher_is_told(self) -> None:
        refused = condition("PodScheduled", False, reason="Unschedulable", message="0/1 nodes are available")
        assert told(seen(vmi("Scheduling"), launcher("Pending", "", refused)), "PodScheduled") == (
            "False", "Unschedulable", "0/1 nodes are available")

    @pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "FailedMount", "CreateContainerError"])
    def test_what_a_container_waits_for_is_told(self, reason: str) -> None:
        pod = launcher("Pending", "n1", **waiting(reason, "because"))
        assert told(seen(vmi("Scheduling"), pod)) == ("False", reason, "because")

    def test_starting_is_no_trouble(self) -> None:
        pod = launcher("Pending", "n1", **waiting("ContainerCreating", ""))
        assert told(seen(vmi("Scheduling"), pod)) == ("", "", "")

    def test_a_failed_launcher_says_why(self) -> None:
        pod = launcher("Failed", "n1", reason="NoMemory", message="2 GiB wanted, 1 GiB free")
        assert told(seen(vmi("Scheduling"), pod)) == ("False", "NoMemory", "2 GiB wanted, 1 GiB free")

    def test_ready_says_that_the_guest_does_not_run(self) -> None:
        assert told(seen(vmi("Pending")), "Ready")[:2] == ("False", "PodNotExists")
        assert told(seen(vmi("Scheduling"), launcher()), "Ready")[:2] == ("False", "GuestNotRunning")


class TestEnd:
    _GOING = {"deletionTimestamp": rfc3339(EPOCH)}

    def test_the_launcher_goes_first(self) -> None:
        plan = controller.plan(seen(vmi("Running", meta=self._GOING), launcher("Running", "n1")))
        (action,) = plan.actions
        assert isinstance(action, Delete)
        assert (action.uid, action.grace_s) == ("p1", 45)
        assert [note.reason for note in plan.events] == ["SuccessfulDelete"]

    def test_a_shorter_grace_is_handed_on_a_longer_is_not(self) -> None:
        pod = launcher("Running", "n1", meta={**self._GOING, "deletionGracePeriodSeconds": 45})
        going = vmi("Running", meta=self._GOING, terminationGracePeriodSeconds=0)
        (action,) = controller.plan(seen(going, pod)).actions
        assert isinstance(action, Delete)
        assert action.grace_s == 15
        assert controller.plan(seen(vmi("Running", meta=self._GOING), pod)).actions == ()

    def test_then_the_instance(self) -> None:
        (action,) = controller.plan(seen(vmi("Succeeded", meta=self._GOING))).actions
        assert isinstance(action, Patch)
        assert action.patch["metadata"]["finalizers"] == []

    def test_an_instance_made_by_hand_gets_its_finalizer(self) -> None:
        (action,) = controller.plan(seen(vmi(meta={"finalizers": []}))).actions
        assert isinstance(action, Patch)
        assert action.patch["metadata"]["finalizers"] == [controller.FINALIZER]
