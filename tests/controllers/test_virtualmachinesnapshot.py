"""VirtualMachineSnapshot and VirtualMachineRestore: locks, contents, deadlines, and the machine as it was."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from vmpod.base.clock import rfc3339
from vmpod.controllers import datavolume, virtualmachinerestore, virtualmachinesnapshot
from vmpod.controllers.restored import restored_spec
from vmpod.kinds import (
    CONTROLLERREVISION,
    DATAVOLUME,
    PERSISTENTVOLUMECLAIM,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINERESTORE,
    VIRTUALMACHINESNAPSHOT,
    VIRTUALMACHINESNAPSHOTCONTENT,
)
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, labels, name, owner_reference
from vmpod.testing.objects import instance, machine
from vmpod.testing.world import World

KEY = ("default", "orders")
CONTROLLERS: dict[ModuleType, dict[str, Any]] = {virtualmachinesnapshot: {}, virtualmachinerestore: {}}
PHASE = "cdi.kubevirt.io/storage.pod.phase"


class Node:
    """The node's part: contents are taken unless it is `stuck`, claims are filled, deleted contents let go."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stuck = False

    def __call__(self) -> None:
        for content in self.world.list(VIRTUALMACHINESNAPSHOTCONTENT):
            if get(content, "metadata", "deletionTimestamp"):
                self._update(VIRTUALMACHINESNAPSHOTCONTENT, content, {"metadata": {"finalizers": None}})
            elif not self.stuck and not get(content, "status", "creationTime"):
                taken = {"readyToUse": True, "creationTime": rfc3339(self.world.now)}
                self._update(VIRTUALMACHINESNAPSHOTCONTENT, content, {"status": taken}, "status")
        for claim in self.world.list(PERSISTENTVOLUMECLAIM):
            if get(claim, "status", "phase") != "Bound":
                self._update(PERSISTENTVOLUMECLAIM, claim, {"metadata": {"annotations": {PHASE: "Succeeded"}}})
                self._update(PERSISTENTVOLUMECLAIM, claim, {"status": {"phase": "Bound"}}, "status")

    def _update(self, kind: Any, obj: Object, patch: Object, subresource: str = "") -> None:
        self.world.update(kind, "default", name(obj), patch, subresource)


def new_world(*, deadline: str = "5m") -> tuple[World, Node]:
    """A stopped machine with a claim, a snapshot of it asked for."""
    world = World()
    vm = machine(volumes=({"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
                          {"name": "root", "containerDisk": {"image": "x"}}), runStrategy="Halted")  # fmt: skip
    disks = [{"name": "d", "disk": {}}, {"name": "root", "disk": {}}]
    vm["spec"]["template"]["spec"]["domain"]["devices"]["disks"] = disks
    world.put(VIRTUALMACHINE, vm)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    world.put(PERSISTENTVOLUMECLAIM, {"metadata": {"name": "data", "namespace": "default"}, "spec": spec},
              {"phase": "Bound"})  # fmt: skip
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "orders"}
    world.put(VIRTUALMACHINESNAPSHOT, {"metadata": {"name": "s", "namespace": "default"},
                                       "spec": {"source": source, "failureDeadline": deadline}})  # fmt: skip
    return world, Node(world)


def put_restore(world: World, target: str = "orders", **spec: Any) -> None:
    wanted = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": target}
    world.put(VIRTUALMACHINERESTORE, {"metadata": {"name": "r", "namespace": "default"},
                                      "spec": {"target": wanted, "virtualMachineSnapshotName": "s", **spec}})  # fmt: skip


def status_of(world: World, kind: Any = VIRTUALMACHINESNAPSHOT, key: str = "s") -> Object:
    return dict((world.get(kind, "default", key) or {}).get("status") or {})


def the_vm(world: World, key: str = "orders") -> Object:
    found = world.get(VIRTUALMACHINE, "default", key)
    assert found is not None
    return found


def reason(status: Object, type: str) -> str:
    return str((conditions.find(status.get("conditions"), type) or {}).get("reason", ""))


def test_a_snapshot_holds_the_volumes_that_are_disks_on_claims() -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    taken = status_of(world)
    assert taken["phase"] == "Succeeded" and taken["readyToUse"] is True
    assert taken["snapshotVolumes"] == {"includedVolumes": ["d"], "excludedVolumes": ["root"]}
    (content,) = world.list(VIRTUALMACHINESNAPSHOTCONTENT)
    assert content["spec"]["volumeBackups"][0]["persistentVolumeClaim"]["metadata"]["name"] == "data"
    assert "snapshotInProgress" not in status_of(world, VIRTUALMACHINE, "orders")


@pytest.mark.parametrize(("found", "indications"), [
    ([], ["NoGuestAgent", "Online"]),
    ([{"type": "AgentConnected", "status": "True"}], ["GuestAgent", "Online"]),
    ([{"type": "AgentConnected", "status": "True"}, {"type": "Paused", "status": "True"}], ["Online", "Paused"]),
])  # fmt: skip
def test_a_snapshot_of_a_running_machine_says_how_consistent_it_is(found: list[Object], indications: list[str]) -> None:
    world, node = new_world()
    world.put(VIRTUALMACHINEINSTANCE, instance(), {"phase": "Running", "conditions": found})
    world.settle(CONTROLLERS, node)
    assert status_of(world)["indications"] == indications
    assert len(status_of(world)["sourceIndications"]) == 2


def test_while_it_is_taken_the_machine_is_locked_and_after_the_deadline_it_fails() -> None:
    world, node = new_world(deadline="1m")
    node.stuck = True
    for _ in range(6):
        world.turn(virtualmachinesnapshot, ("default", "s"))
    assert status_of(world, VIRTUALMACHINE, "orders")["snapshotInProgress"] == "s"
    assert status_of(world)["phase"] == "InProgress"
    world.now += timedelta(seconds=61)
    world.settle(CONTROLLERS, node)
    assert status_of(world)["phase"] == "Failed" and reason(status_of(world), "Failure") == "snapshot deadline exceeded"
    assert not status_of(world, VIRTUALMACHINE, "orders").get("snapshotInProgress")
    assert world.list(VIRTUALMACHINESNAPSHOTCONTENT) == []


@pytest.mark.parametrize(("policy", "kept"), [("Delete", 0), ("Retain", 1)])
def test_the_data_go_with_the_snapshot_unless_they_are_retained(policy: str, kept: int) -> None:
    world, node = new_world()
    world.update(VIRTUALMACHINESNAPSHOT, "default", "s", {"spec": {"deletionPolicy": policy}})
    world.settle(CONTROLLERS, node)
    world.delete(VIRTUALMACHINESNAPSHOT, "default", "s")
    world.settle(CONTROLLERS, node)
    assert world.list(VIRTUALMACHINESNAPSHOT) == []
    assert len(world.list(VIRTUALMACHINESNAPSHOTCONTENT)) == kept


def test_a_restore_brings_the_machine_back_as_it_was() -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"template": {"spec": {"domain": {"memory": {"guest": "1Gi"}}}}}})
    put_restore(world)
    world.settle(CONTROLLERS, node)
    done = status_of(world, VIRTUALMACHINERESTORE, "r")
    assert done["complete"] is True and reason(done, "Ready") == "Operation complete"
    inside = the_vm(world)["spec"]["template"]["spec"]
    claim = done["restores"][0]["persistentVolumeClaim"]
    assert inside["volumes"][0] == {"name": "d", "persistentVolumeClaim": {"claimName": claim}}
    assert inside["domain"]["memory"]["guest"] == "256Mi"
    filled = world.get(PERSISTENTVOLUMECLAIM, "default", claim) or {}
    assert filled["metadata"]["annotations"]["cdi.kubevirt.io/storage.import.source"] == "snapshot"
    assert not status_of(world, VIRTUALMACHINE, "orders").get("restoreInProgress")


@pytest.mark.parametrize("has_memory", [True, False])
def test_a_machine_is_told_of_the_memory_that_its_disks_were_restored_with(has_memory: bool) -> None:
    world, node = new_world()
    if has_memory:
        world.update(VIRTUALMACHINESNAPSHOT, "default", "s", {"metadata": {"annotations": {"vmpod.io/memory": "true"}}})
    world.settle(CONTROLLERS, node)
    (content,) = world.list(VIRTUALMACHINESNAPSHOTCONTENT)
    assert get(content, "metadata", "annotations", "vmpod.io/memory") == ("true" if has_memory else None)
    world.update(VIRTUALMACHINE, *KEY, {"metadata": {"annotations": {"vmpod.io/memory-of": "of another restore"}}})
    put_restore(world)
    world.settle(CONTROLLERS, node)
    told = get(the_vm(world), "metadata", "annotations", "vmpod.io/memory-of")
    assert told == (content["metadata"]["uid"] if has_memory else None)


def test_a_restore_makes_a_machine_that_is_not_there_and_leaves_it_halted() -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    put_restore(world, "copy")
    world.settle(CONTROLLERS, node)
    assert status_of(world, VIRTUALMACHINERESTORE, "r")["complete"] is True
    assert the_vm(world, "copy")["spec"]["runStrategy"] == "Halted"
    assert the_vm(world)["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "data"


def test_another_machine_is_not_overwritten() -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    world.put(VIRTUALMACHINE, machine("other", runStrategy="Halted"))
    put_restore(world, "other")
    for _ in range(6):
        world.turn(virtualmachinerestore, ("default", "r"))
    why = "restore source and restore target are different but restore target already exists"
    assert reason(status_of(world, VIRTUALMACHINERESTORE, "r"), "Ready") == why
    assert any(why in note.message for note in world.notes)


@pytest.mark.parametrize(("policy", "waits_s", "failure"), [
    ("FailImmediate", 0, "Restore target not ready"),
    ("", 301, "Restore target failed to be ready within 5m0s"),
    ("WaitEventually", 301, ""),
    ("WaitGracePeriodAndFail", 0, ""),
])  # fmt: skip
def test_a_target_that_runs(policy: str, waits_s: int, failure: str) -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    world.put(VIRTUALMACHINEINSTANCE, instance(), {"phase": "Running"})
    put_restore(world, targetReadinessPolicy=policy)
    world.turn(virtualmachinerestore, ("default", "r"))
    world.now += timedelta(seconds=waits_s)
    for _ in range(3):
        world.turn(virtualmachinerestore, ("default", "r"))
    told = status_of(world, VIRTUALMACHINERESTORE, "r")
    assert reason(told, "Failure") == failure and told["complete"] is False


def test_the_policy_stop_target_stops_it() -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"runStrategy": "Always"}})
    world.put(VIRTUALMACHINEINSTANCE, instance(), {"phase": "Running"})
    put_restore(world, targetReadinessPolicy="StopTarget")
    for _ in range(3):
        world.turn(virtualmachinerestore, ("default", "r"))
    assert the_vm(world)["spec"]["runStrategy"] == "Halted"


def test_volumes_of_templates_keep_their_templates() -> None:
    spec = {"dataVolumeTemplates": [{"metadata": {"name": "t"}, "spec": {}}],
            "template": {"spec": {"volumes": [{"name": "a", "dataVolume": {"name": "t"}},
                                              {"name": "b", "dataVolume": {"name": "alone"}}]}}}  # fmt: skip
    made = restored_spec({"spec": spec}, {"a": "ra", "b": "rb"})
    assert made["dataVolumeTemplates"][0]["metadata"]["name"] == "ra"
    assert made["template"]["spec"]["volumes"] == [
        {"name": "a", "dataVolume": {"name": "ra"}}, {"name": "b", "persistentVolumeClaim": {"claimName": "rb"}},
    ]


def put_volume(world: World) -> None:
    """The claim of the machine is that of a DataVolume that was imported."""
    volume = world.put(DATAVOLUME, {"apiVersion": DATAVOLUME.api_version, "kind": "DataVolume",
                                    "metadata": {"name": "data", "namespace": "default"},
                                    "spec": {"source": {"http": {"url": "http://gone/"}}}})  # fmt: skip
    patch = {"metadata": {"ownerReferences": [owner_reference(volume)]}}
    world.update(PERSISTENTVOLUMECLAIM, "default", "data", patch)


@pytest.mark.parametrize("is_volume", [False, True])
def test_a_restore_in_place_fills_a_claim_of_the_same_name(is_volume: bool) -> None:
    """A DataVolume stays, and does not import again when its claim is gone for a moment."""
    world, node = new_world()
    if is_volume:
        put_volume(world)
    world.settle(CONTROLLERS, node)
    before = (world.get(PERSISTENTVOLUMECLAIM, "default", "data") or {})["metadata"]["uid"]
    put_restore(world, volumeRestorePolicy="InPlace")
    world.settle({**CONTROLLERS, datavolume: {}}, node)
    done = status_of(world, VIRTUALMACHINERESTORE, "r")
    assert done["complete"] is True and done["restores"][0]["persistentVolumeClaim"] == "data"
    (claim,) = world.list(PERSISTENTVOLUMECLAIM)
    assert claim["metadata"]["uid"] != before and claim["spec"]["dataSource"]["kind"] == "VolumeSnapshot"
    assert (controller_of(claim) or {})["kind"] == ("DataVolume" if is_volume else "VirtualMachine")
    assert done["restores"][0].get("dataVolumeName") == ("data" if is_volume else None)
    inside = the_vm(world)["spec"]["template"]["spec"]
    assert inside["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data"}


def test_a_restore_in_place_takes_no_claim_from_another_machine_that_is_there() -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    put_restore(world, "copy", volumeRestorePolicy="InPlace")
    world.settle(CONTROLLERS, node)
    assert reason(status_of(world, VIRTUALMACHINERESTORE, "r"), "Ready") == "PVC default/data already exists"
    world.delete(VIRTUALMACHINE, *KEY)
    world.settle(CONTROLLERS, node)
    assert status_of(world, VIRTUALMACHINERESTORE, "r")["complete"] is True
    assert the_vm(world, "copy")["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "data"


@pytest.mark.parametrize("policy", ["Vm", "None"])
def test_single_volumes_get_names_and_marks_of_their_own(policy: str) -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    said = {"volumeName": "d", "restoreName": "older", "labels": {"tier": "db"}, "annotations": {"note": "kept"}}
    put_restore(world, volumeRestoreOverrides=[said], volumeOwnershipPolicy=policy)
    world.settle(CONTROLLERS, node)
    made = world.get(PERSISTENTVOLUMECLAIM, "default", "older") or {}
    assert made["metadata"]["labels"]["tier"] == "db" and made["metadata"]["annotations"]["note"] == "kept"
    assert (controller_of(made) is None) == (policy == "None")
    assert the_vm(world)["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "older"


def put_revision(world: World) -> None:
    """The machine has an instance type, kept as a revision."""
    meta = {"name": "orders-small-1", "namespace": "default", "labels": {"kept": "yes"},
            "ownerReferences": [owner_reference(the_vm(world))]}  # fmt: skip
    world.put(CONTROLLERREVISION, {"metadata": meta, "data": {"kind": "VirtualMachineInstancetype"}, "revision": 0})
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"instancetype": {"name": "small"}}})
    kept = {"name": "small", "controllerRevisionRef": {"name": "orders-small-1"}}
    world.update(VIRTUALMACHINE, *KEY, {"status": {"instancetypeRef": kept}}, "status")


@pytest.mark.parametrize("target", ["orders", "copy"])
@pytest.mark.parametrize("has_changed", [False, True])
def test_a_restored_machine_has_a_revision_of_its_own(target: str, has_changed: bool) -> None:
    world, node = new_world()
    put_revision(world)
    world.settle(CONTROLLERS, node)
    (content,) = world.list(VIRTUALMACHINESNAPSHOTCONTENT)
    assert content["spec"]["source"]["virtualMachine"]["spec"]["instancetype"]["revisionName"] == "s-small-1"
    kept = world.get(CONTROLLERREVISION, "default", "s-small-1") or {}
    assert (controller_of(kept) or {})["kind"] == "VirtualMachineSnapshot" and kept["metadata"]["labels"] == {"kept": "yes"}
    if has_changed:
        world.delete(CONTROLLERREVISION, "default", "orders-small-1")
        world.put(CONTROLLERREVISION, {"metadata": {"name": "orders-small-1", "namespace": "default"}, "data": {"other": 1}})
    put_restore(world, target)
    world.settle(CONTROLLERS, node)
    assert status_of(world, VIRTUALMACHINERESTORE, "r")["complete"] is True
    assert the_vm(world, target)["spec"]["instancetype"]["revisionName"] == f"{target}-small-1"
    own = world.get(CONTROLLERREVISION, "default", f"{target}-small-1") or {}
    assert own["data"] == {"kind": "VirtualMachineInstancetype"}
    assert (controller_of(own) or {})["uid"] == the_vm(world, target)["metadata"]["uid"]


def test_a_running_machine_is_kept_as_it_was_started_with_the_disks_that_it_has_now() -> None:
    world, node = new_world()
    began = deepcopy(the_vm(world)["spec"])
    began["template"]["spec"]["domain"]["devices"]["disks"].pop()
    world.put(CONTROLLERREVISION, {"metadata": {"name": "start-1", "namespace": "default"}, "data": {"spec": began}})
    world.put(VIRTUALMACHINEINSTANCE, instance(), {"phase": "Running", "virtualMachineRevisionName": "start-1"})
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"template": {"spec": {"domain": {"memory": {"guest": "1Gi"}}}}}})
    world.settle(CONTROLLERS, node)
    (content,) = world.list(VIRTUALMACHINESNAPSHOTCONTENT)
    domain = content["spec"]["source"]["virtualMachine"]["spec"]["template"]["spec"]["domain"]
    assert domain["memory"]["guest"] == "256Mi" and len(domain["devices"]["disks"]) == 2


def put_state(world: World) -> Object:
    """The machine keeps the state of its TPM on a claim of its own."""
    devices = {"domain": {"devices": {"tpm": {"persistent": True}}}}
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"template": {"spec": devices}}})
    meta = {"name": "persistent-state-for-orders-x", "namespace": "default",
            "labels": {"persistent-state-for": "orders"}, "ownerReferences": [owner_reference(the_vm(world))]}  # fmt: skip
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "10Mi"}}}
    return world.put(PERSISTENTVOLUMECLAIM, {"metadata": meta, "spec": spec}, {"phase": "Bound"})


@pytest.mark.parametrize(("target", "policy"), [("orders", "RandomizeNames"), ("orders", "InPlace"), ("copy", "RandomizeNames")])
def test_what_a_machine_keeps_beside_its_disks_goes_along(target: str, policy: str) -> None:
    """The restored claim is found by the machine; the replaced one goes, and that of another machine stays."""
    world, node = new_world()
    before = put_state(world)
    world.settle(CONTROLLERS, node)
    assert status_of(world)["snapshotVolumes"]["includedVolumes"] == ["d", "persistent-state-for-orders"]
    put_restore(world, target, volumeRestorePolicy=policy)
    world.settle(CONTROLLERS, node)
    assert status_of(world, VIRTUALMACHINERESTORE, "r")["complete"] is True
    claims = world.list(PERSISTENTVOLUMECLAIM)
    (own,) = [one for one in claims if labels(one).get("persistent-state-for") == target]
    assert own["metadata"]["uid"] != before["metadata"]["uid"]
    assert own["metadata"]["annotations"]["vmpod.io/state-of"] == target
    assert (controller_of(own) or {})["name"] == target
    stays = any(one["metadata"]["uid"] == before["metadata"]["uid"] for one in claims)
    assert stays == (target == "copy")


def test_a_machine_that_was_never_started_has_no_state_to_keep() -> None:
    world, node = new_world()
    claim = put_state(world)
    world.delete(PERSISTENTVOLUMECLAIM, "default", name(claim))
    world.settle(CONTROLLERS, node)
    assert status_of(world)["snapshotVolumes"]["includedVolumes"] == ["d"]
