"""Claims that name an object of CDI's populators: what is asked for, and what is told."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.controllers import populator as controller
from vmpod.kinds import (
    PERSISTENTVOLUMECLAIM,
    VOLUMECLONESOURCE,
    VOLUMEIMPORTSOURCE,
    VOLUMESNAPSHOT,
    VOLUMEUPLOADSOURCE,
)
from vmpod.kinds.kind import Kind
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.testing.world import World

KEY = ("default", "disk")
_STORAGE = "cdi.kubevirt.io/storage."
_KINDS: dict[str, Kind] = {"VolumeImportSource": VOLUMEIMPORTSOURCE, "VolumeUploadSource": VOLUMEUPLOADSOURCE,
                           "VolumeCloneSource": VOLUMECLONESOURCE}  # fmt: skip
HTTP: Object = {"source": {"http": {"url": "http://x/y", "secretRef": "key"}}}
COPY: Object = {"source": {"kind": "PersistentVolumeClaim", "name": "gold"}}


def claim(name: str = "disk", kind: str = "", size: str = "2Gi", **more: str) -> Object:
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if kind:
        spec["dataSourceRef"] = {"apiGroup": "cdi.kubevirt.io", "kind": kind, "name": "what", **more}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def named(world: World, kind: str, spec: Object) -> None:
    world.put(_KINDS[kind], {"metadata": {"name": "what", "namespace": "default"}, "spec": spec})
    world.settle({controller: {}})


def world_of(kind: str, spec: Object | None = None, *others: tuple[Kind, Object, Object], **more: str) -> World:
    world = World()
    for one, obj, status in others:
        world.put(one, obj, status)
    world.put(PERSISTENTVOLUMECLAIM, claim(kind=kind, **more))
    world.settle({controller: {}})
    if spec is not None:
        named(world, kind, spec)
    return world


def marks(world: World) -> dict[str, str]:
    return meta.annotations(world.get(PERSISTENTVOLUMECLAIM, *KEY) or {})


def report(world: World, **told: str) -> dict[str, str]:
    """What the node writes onto the claim."""
    notes = {_STORAGE + key.replace("_", "."): text for key, text in told.items() if key != "progress"}
    notes |= {"vmpod.io/progress": told["progress"]} if "progress" in told else {}
    world.update(PERSISTENTVOLUMECLAIM, *KEY, {"metadata": {"annotations": notes}})
    world.settle({controller: {}})
    return marks(world)


def last(world: World) -> tuple[str, str, str]:
    note = world.notes[-1]
    return note.type, note.reason, note.message


def test_an_import_is_asked_for_as_of_a_datavolume_and_followed() -> None:
    world = world_of("VolumeImportSource", HTTP)
    found = marks(world)
    assert found[_STORAGE + "import.source"] == "http" and found[_STORAGE + "import.endpoint"] == "http://x/y"
    assert found[_STORAGE + "import.secretName"] == "key"
    assert "cdi.kubevirt.io/ownedByDataVolume" not in found
    assert found[_STORAGE + "populator.kind"] == "VolumeImportSource"
    assert last(world) == ("Normal", "ImportScheduled", "Import into disk scheduled")
    found = report(world, pod_phase="Running", progress="42.10%")
    assert found[_STORAGE + "populator.progress"] == "42.10%"
    assert last(world)[1:] == ("ImportInProgress", "Import into disk in progress")
    found = report(world, pod_phase="Succeeded", progress="100.0%")
    assert found[_STORAGE + "populator.progress"] == "100.0%"
    assert found[_STORAGE + "condition.bound"] == "false"
    assert last(world) == ("Normal", "importSucceeded", "Successfully imported into disk")
    world.update(PERSISTENTVOLUMECLAIM, *KEY, {"status": {"phase": "Bound"}}, "status")
    world.settle({controller: {}})
    assert marks(world)[_STORAGE + "condition.bound"] == "true"
    assert [note.reason for note in world.notes].count("importSucceeded") == 1


def test_a_failure_is_told_with_its_cause() -> None:
    world = world_of("VolumeImportSource", HTTP)
    report(world, pod_phase="Pending", condition_running_message="answered 404", condition_running_reason="Http")
    assert last(world)[1] == "ImportScheduled"  # the node has told it
    assert marks(world)[_STORAGE + "condition.bound.message"] == "answered 404"
    report(world, pod_phase="Failed", condition_running_message="its sha256 is another")
    assert last(world) == ("Warning", "importFailed", "import into disk failed: its sha256 is another")


def test_an_upload() -> None:
    world = world_of("VolumeUploadSource", {"contentType": "archive"})
    found = marks(world)
    assert found[_STORAGE + "upload.target"] == "" and found[_STORAGE + "contentType"] == "archive"
    assert _STORAGE + "import.source" not in found and _STORAGE + "populator.progress" not in found
    report(world, pod_phase="Running", pod_ready="true")
    assert last(world) == ("Normal", "UploadReady", "Upload into disk ready")
    report(world, pod_phase="Succeeded")
    assert last(world) == ("Normal", "UploadSucceeded", "Successfully uploaded into disk")


def test_a_copy() -> None:
    world = world_of("VolumeCloneSource", COPY, (PERSISTENTVOLUMECLAIM, claim("gold"), {}))
    found = marks(world)
    assert found["k8s.io/CloneRequest"] == found[_STORAGE + "import.endpoint"] == "default/gold"
    assert (found["cdi.kubevirt.io/clonePhase"], found["cdi.kubevirt.io/cloneType"]) == ("Pending", "csi-clone")
    assert report(world, pod_phase="Running")["cdi.kubevirt.io/clonePhase"] == "CSIClone"
    found = report(world, pod_phase="Failed", condition_running_message="no room")
    assert found["cdi.kubevirt.io/clonePhase"] == "Error" and "no room" in found["cdi.kubevirt.io/cloneError"]
    found = report(world, pod_phase="Succeeded")
    assert found["cdi.kubevirt.io/clonePhase"] == "Succeeded" and "cdi.kubevirt.io/cloneError" not in found
    assert last(world) == ("Normal", "CloneSucceeded", "Successfully cloned from default/gold into disk")


def test_a_copy_of_a_snapshot_waits_for_it() -> None:
    spec = {"source": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "moment"}}
    moment = {"metadata": {"name": "moment", "namespace": "default"}, "spec": {}}
    world = world_of("VolumeCloneSource", spec, (VOLUMESNAPSHOT, moment, {}))
    assert last(world)[1] == "SnapshotNotReady"
    world.update(VOLUMESNAPSHOT, "default", "moment", {"status": {"readyToUse": True, "restoreSize": "1Gi"}}, "status")
    world.settle({controller: {}})
    assert marks(world)[_STORAGE + "import.source"] == "snapshot"
    assert marks(world)["cdi.kubevirt.io/cloneType"] == "snapshot"


@pytest.mark.parametrize(("kind", "spec", "reason", "why"), [
    ("VolumeImportSource", None, "SourceNotFound", "VolumeImportSource default/what not found"),
    ("VolumeImportSource", {**HTTP, "targetClaim": "other"}, "SourceOfAnotherClaim", "is meant for the claim other"),
    ("VolumeImportSource", {"source": {"imageio": {}}}, "NotSupported", "spec.source.imageio is not supported"),
    ("VolumeCloneSource", COPY, "CloneWithoutSource", "The source pvc default/gold doesn't exist"),
    ("VolumeCloneSource", {"source": {"kind": "Pod", "name": "x"}}, "NotSupported", "spec.source.kind Pod is not supported"),
])  # fmt: skip
def test_what_cannot_be_is_told_and_nothing_is_asked_for(kind: str, spec: Object | None, reason: str, why: str) -> None:
    world = world_of(kind, spec)
    assert last(world)[:2] == ("Warning", reason) and why in last(world)[2]
    assert marks(world)[_STORAGE + "condition.bound.reason"] == reason
    assert _STORAGE + "import.source" not in marks(world)


def test_a_copy_that_is_too_small() -> None:
    world = world_of("VolumeCloneSource", COPY, (PERSISTENTVOLUMECLAIM, claim("gold", size="3Gi"), {}))
    assert last(world)[1] == "ErrIncompatiblePVC" and "smaller than the source 2Gi < 3Gi" in last(world)[2]


def test_objects_of_other_namespaces_are_not_taken() -> None:
    world = world_of("VolumeImportSource", HTTP, namespace="other")
    assert last(world)[1] == "NotSupported" and _STORAGE + "import.source" not in marks(world)


def test_what_has_begun_needs_its_source_no_more() -> None:
    world = world_of("VolumeImportSource", HTTP)
    world.delete(VOLUMEIMPORTSOURCE, "default", "what")
    world.settle({controller: {}})
    report(world, pod_phase="Running")
    assert last(world)[1] == "ImportInProgress"


def test_other_claims_are_left_alone() -> None:
    world = World()
    wanted: dict[str, Any] = claim(kind="VolumeImportSource")
    wanted["spec"]["dataSourceRef"]["apiGroup"] = "forklift.konveyor.io"
    world.put(PERSISTENTVOLUMECLAIM, wanted)
    world.settle({controller: {}})
    assert marks(world) == {} and world.notes == []
