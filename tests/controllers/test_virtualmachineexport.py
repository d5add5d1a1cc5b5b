"""VirtualMachineExport: what it makes, when it waits, what it shows, and its end."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

from vmpod.controllers import exported, virtualmachineexport
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import (
    PERSISTENTVOLUMECLAIM,
    POD,
    SECRET,
    SERVICE,
    VIRTUALMACHINE,
    VIRTUALMACHINEEXPORT,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINESNAPSHOT,
    VIRTUALMACHINESNAPSHOTCONTENT,
)
from vmpod.model import conditions, meta
from vmpod.model.meta import Object, get, name
from vmpod.testing.objects import condition, instance, machine, pod
from vmpod.testing.world import World

CONFIG = ControllerConfig("10.0.0.0/24", ("n1",), api_port=6443, ca_pem="PEM\n")
CONTROLLERS = {virtualmachineexport: {"config": CONFIG}}
SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
SOURCE = "cdi.kubevirt.io/storage.import.source"
VM, CLAIM = ("kubevirt.io", "VirtualMachine", "orders"), ("", "PersistentVolumeClaim", "data")
SNAPSHOT = ("snapshot.kubevirt.io", "VirtualMachineSnapshot", "s")


def world_of(source: tuple[str, str, str] = VM, *, bound: str = "Bound", **spec: Any) -> World:
    """A stopped machine with a disk on the claim `data`, and an export."""
    world = World()
    vm = machine(volumes=({"name": "d", "persistentVolumeClaim": {"claimName": "data"}},), runStrategy="Halted")
    vm["spec"]["template"]["spec"]["domain"]["devices"]["disks"] = [{"name": "d", "disk": {}}]
    world.put(VIRTUALMACHINE, vm)
    world.put(PERSISTENTVOLUMECLAIM, {"metadata": {"name": "data", "namespace": "default"}, "spec": SPEC}, {"phase": bound})
    group, kind, called = source
    wanted = {"kind": kind, "name": called} | ({"apiGroup": group} if group else {})
    world.put(VIRTUALMACHINEEXPORT, {"metadata": {"name": "e", "namespace": "default"}, "spec": {"source": wanted, **spec}})
    return world


def settle(world: World) -> Object:
    """Turn until nothing changes, exporter pods becoming ready; the export's status."""

    def answer() -> None:
        for one in world.list(POD):
            if exported.SELECTOR in meta.labels(one) and not get(one, "status", "conditions"):
                world.update(POD, "default", name(one), {"status": {"phase": "Running", "conditions": [condition("Ready")]}}, "status")

    world.settle(CONTROLLERS, answer)
    return dict((world.get(VIRTUALMACHINEEXPORT, "default", "e") or {}).get("status") or {})


def told(status: Object, type: str = "Ready") -> tuple[str, str]:
    found = conditions.find(status.get("conditions"), type) or {}
    return str(found.get("reason", "")), str(found.get("message", ""))


def test_a_stopped_machine_is_shown() -> None:
    world = world_of()
    status = settle(world)
    assert (status["phase"], status["serviceName"], status["tokenSecretRef"]) == ("Ready", "virt-export-e", "export-token-e")
    assert (told(status)[0], told(status, "PVCReady")[0]) == ("PodReady", "PVCBound")
    assert status["virtualMachineName"] == "orders"
    inside, outside = (status["links"][key] for key in ("internal", "external"))
    assert inside["cert"] == outside["cert"] == "PEM"
    assert [one["type"] for one in inside["manifests"]] == ["all", "auth-header-secret"]
    root = "https://127.0.0.1:6443/api/export.kubevirt.io/v1/namespaces/default/virtualmachineexports/e"
    assert outside["volumes"] == [{"name": "data", "formats": [
        {"format": "raw", "url": f"{root}/volumes/data/disk.img"}, {"format": "gzip", "url": f"{root}/volumes/data/disk.img.gz"}]}]
    assert inside["volumes"][0]["formats"][0]["url"] == "https://virt-export-e.default.svc/volumes/data/disk.img"
    (made,), (secret,) = world.list(POD), world.list(SECRET)
    assert get(made, "spec", "volumes", 0, "persistentVolumeClaim", "claimName") == "data"
    assert len(base64.b64decode(secret["data"]["token"])) >= 20
    assert get(world.list(SERVICE)[0], "spec", "selector") == {"kubevirt.io.virt-export-service": "e"}


def test_a_running_machine_is_waited_for_and_cuts_downloads_off() -> None:
    world = world_of()
    settle(world)
    world.put(VIRTUALMACHINEINSTANCE, instance(), {"phase": "Running"})
    status = settle(world)
    assert world.list(POD) == [] and status["phase"] == "Pending" and status["links"] == {}
    assert told(status) == ("InUse", "Virtual Machine default/orders is running")
    assert world.notes[-1].reason == "ExportPaused"
    world.update(VIRTUALMACHINEINSTANCE, "default", "orders", {"status": {"phase": "Succeeded"}}, "status")
    assert settle(world)["phase"] == "Ready"


@pytest.mark.parametrize(("source", "change", "reason", "phase"), [
    (("kubevirt.io", "VirtualMachine", "no"), {}, "VMNotFound", "Pending"),
    (VM, {"volumes": [{"name": "c", "containerDisk": {"image": "x"}}]}, "VMNoVolumes", "Skipped"),
    (VM, {"volumes": [{"name": "d", "dataVolume": {"name": "none"}}]}, "VolumesNotPopulated", "Pending"),
    (("", "PersistentVolumeClaim", "no"), {}, "Initializing", "Pending"),
    (("snapshot.kubevirt.io", "VirtualMachineSnapshot", "no"), {}, "VMSnapshotNotFound", "Pending"),
])  # fmt: skip
def test_what_is_not_there(source: tuple[str, str, str], change: Object, reason: str, phase: str) -> None:
    world = world_of(source)
    world.update(VIRTUALMACHINE, "default", "orders", {"spec": {"template": {"spec": change}}})
    status = settle(world)
    assert (told(status)[0], status["phase"]) == (reason, phase)
    assert world.list(POD) == []


@pytest.mark.parametrize(("marks", "formats"), [
    ({}, ["raw", "gzip"]),  # a machine names it as a disk
    ({"other": ""}, ["tar.gz"]),
    ({SOURCE: "http", "cdi.kubevirt.io/storage.pod.phase": "Succeeded"}, ["raw", "gzip"]),
])
def test_a_claim_is_a_disk_or_files(marks: dict[str, str], formats: list[str]) -> None:
    wanted = CLAIM if not marks else ("", "PersistentVolumeClaim", "files")
    world = world_of(wanted)
    claim = {"metadata": {"name": "files", "namespace": "default", "annotations": marks}, "spec": SPEC}
    world.put(PERSISTENTVOLUMECLAIM, claim, {"phase": "Bound"})
    status = settle(world)
    assert [one["format"] for one in status["links"]["internal"]["volumes"][0]["formats"]] == formats
    assert [one["type"] for one in status["links"]["internal"]["manifests"]] == ["auth-header-secret"]


def test_a_claim_in_use_or_unbound_is_waited_for() -> None:
    world = world_of(CLAIM, bound="Pending")
    assert told(settle(world)) == ("PVCPending", "PersistentVolumeClaim default/data is not populated")
    world.update(PERSISTENTVOLUMECLAIM, "default", "data", {"status": {"phase": "Bound"}}, "status")
    user = pod("user", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    world.put(POD, user, {"phase": "Running"})
    assert told(settle(world)) == ("InUse", "PersistentVolumeClaim default/data is in use")
    world.update(POD, "default", "user", {"status": {"phase": "Succeeded"}}, "status")
    assert settle(world)["phase"] == "Ready"


def test_a_snapshot_is_shown_by_claims_that_are_made_of_it() -> None:
    world = world_of(SNAPSHOT)
    backup = {"volumeName": "d", "volumeSnapshotName": "vs", "persistentVolumeClaim": {"metadata": {"name": "data"}, "spec": SPEC}}
    meta_ = {"name": "c", "namespace": "default"}
    world.put(VIRTUALMACHINESNAPSHOTCONTENT, {"metadata": meta_, "spec": {"volumeBackups": [backup]}})
    world.put(VIRTUALMACHINESNAPSHOT, {"metadata": {"name": "s", "namespace": "default"}, "spec": {"source": {"name": "orders"}}},
              {"readyToUse": True, "virtualMachineSnapshotContentName": "c"})  # fmt: skip
    assert told(settle(world), "VolumesCreated") == ("NotAllPVCsReady", "Not all PVCs are ready")
    made = world.get(PERSISTENTVOLUMECLAIM, "default", "e-data") or {}
    assert meta.annotations(made)[SOURCE] == "snapshot"
    assert get(made, "metadata", "ownerReferences", 0, "kind") == "VirtualMachineExport"
    world.update(PERSISTENTVOLUMECLAIM, "default", "e-data", {"metadata": {"annotations": {"cdi.kubevirt.io/storage.pod.phase": "Succeeded"}}})
    world.update(PERSISTENTVOLUMECLAIM, "default", "e-data", {"status": {"phase": "Bound"}}, "status")
    status = settle(world)
    (volume,) = status["links"]["external"]["volumes"]
    assert volume["name"] == "data" and "/volumes/e-data/disk.img" in volume["formats"][0]["url"]
    assert status["virtualMachineName"] == "orders"


def test_a_token_of_its_own_is_left_to_its_maker() -> None:
    world = world_of(tokenSecretRef="mine")
    status = settle(world)
    assert status["tokenSecretRef"] == "mine" and world.list(SECRET) == []


@pytest.mark.parametrize(("ttl", "seconds"), [(None, 7200), ("1m", 60)])
def test_it_ends_when_its_time_is_over(ttl: str | None, seconds: int) -> None:
    world = world_of(ttlDuration=ttl) if ttl else world_of()
    settle(world)
    world.now += timedelta(seconds=seconds - 1)
    assert settle(world)["phase"] == "Ready"
    world.now += timedelta(seconds=1)
    settle(world)
    assert world.list(VIRTUALMACHINEEXPORT) == []


def test_names_stay_labels() -> None:
    long = {"metadata": {"name": "x" * 63}}
    assert len(exported.service_name(long)) == 63
