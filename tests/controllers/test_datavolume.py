"""DataVolume → claim, and the claim's progress folded back."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.controllers import datasource, garbage, storageprofile
from vmpod.controllers import datavolume as controller
from vmpod.kinds import (
    CDICONFIG,
    DATASOURCE,
    DATAVOLUME,
    PERSISTENTVOLUMECLAIM,
    STORAGECLASS,
    STORAGEPROFILE,
    VOLUMESNAPSHOT,
)
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.world import World

KEY = ("default", "disk")
_STORAGE = {"resources": {"requests": {"storage": "2Gi"}}}
_ANNOTATION = "cdi.kubevirt.io/storage."


def world_of(source: Object | None = None, **spec: Any) -> World:
    world = World()
    wish = {"source": source or {"blank": {}}, "storage": _STORAGE, **spec}
    wish = {key: value for key, value in wish.items() if value is not None}
    world.put(DATAVOLUME, {"metadata": {"name": "disk", "namespace": "default", "labels": {"app": "db"}}, "spec": wish})
    world.settle({controller: {}})
    return world


def claim(world: World) -> Object:
    found = world.get(PERSISTENTVOLUMECLAIM, *KEY)
    assert found is not None
    return found


def status(world: World) -> Object:
    return dict(meta.get(world.get(DATAVOLUME, *KEY), "status", default={}))


def report(world: World, phase: str = "Bound", **marks: str) -> Object:
    """What the node writes onto the claim."""
    notes = {_ANNOTATION + key.replace("_", "."): text for key, text in marks.items() if key != "progress"}
    if "progress" in marks:
        notes["vmpod.io/progress"] = marks["progress"]
    world.update(PERSISTENTVOLUMECLAIM, *KEY, {"metadata": {"annotations": notes}})
    world.update(PERSISTENTVOLUMECLAIM, *KEY, {"status": {"phase": phase}}, "status")
    world.settle({controller: {}})
    return status(world)


def condition_of(world: World, type: str) -> tuple[str, str, str]:
    found = conditions.find(status(world)["conditions"], type) or {}
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"blank": {}}, {"import.source": "none"}),
        ({"http": {"url": "http://x/y"}}, {"import.source": "http", "import.endpoint": "http://x/y"}),
        ({"http": {"url": "http://x/y", "insecureSkipVerify": True}}, {"import.insecureSkipVerify": "true"}),
        ({"http": {"url": "http://x/y", "extraHeaders": ["a: b", "c: d"], "secretExtraHeaders": ["key"]}},
         {"import.extraHeaders.0": "a: b", "import.extraHeaders.1": "c: d", "import.secretExtraHeaders.0": "key"}),
        ({"registry": {"url": "oci-archive:a.tar", "platform": {"architecture": "arm64"}, "certConfigMap": "ca"}},
         {"import.endpoint": "oci-archive:a.tar", "import.registryImageArchitecture": "arm64", "import.certConfigMap": "ca"}),
        ({"s3": {"url": "http://x/b/k", "secretRef": "key", "certConfigMap": "ca"}},
         {"import.source": "s3", "import.endpoint": "http://x/b/k", "import.secretName": "key", "import.certConfigMap": "ca"}),
        ({"gcs": {"url": "gs://b/k", "secretRef": "key"}},
         {"import.source": "gcs", "import.endpoint": "gs://b/k", "import.secretName": "key"}),
        (
            {"registry": {"url": "docker://a/b", "pullMethod": "node", "secretRef": "key"}},
            {"import.source": "registry", "import.endpoint": "docker://a/b", "import.registryImportMethod": "node",
             "import.secretName": "key"},
        ),
    ],
)  # fmt: skip
def test_the_claim_asks_for_its_content(source: Object, expected: dict[str, str]) -> None:
    made = claim(world_of(source))
    notes = {key.removeprefix(_ANNOTATION): text for key, text in meta.annotations(made).items()}
    assert expected.items() <= notes.items()
    assert made["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert made["spec"]["resources"] == _STORAGE["resources"]
    assert meta.labels(made)["app"] == "containerized-data-importer"
    assert meta.controller_of(made) is not None


@pytest.mark.parametrize(("config", "said", "asked"), [
    (None, None, "false"), ({}, None, "false"), ({"preallocation": True}, None, "true"),
    ({"preallocation": True}, False, "false"), ({"preallocation": False}, True, "true"),
])  # fmt: skip
def test_room_is_reserved_as_the_configuration_says_unless_the_volume_does(
    config: Object | None, said: bool | None, asked: str
) -> None:
    world = World()
    if config is not None:
        world.put(CDICONFIG, {"metadata": {"name": "config"}, "spec": config})
    spec = {"source": {"blank": {}}, "storage": _STORAGE} | ({} if said is None else {"preallocation": said})
    world.put(DATAVOLUME, {"metadata": {"name": "disk", "namespace": "default"}, "spec": spec})
    world.settle({controller: {}})
    assert meta.annotations(claim(world))[_ANNOTATION + "preallocation.requested"] == asked


def test_an_import_is_followed_to_its_end() -> None:
    world = world_of({"http": {"url": "http://x/y"}})
    assert (status(world)["phase"], status(world)["progress"]) == ("Pending", "N/A")
    assert condition_of(world, "Bound")[0] == "False"
    assert report(world)["phase"] == "ImportScheduled"
    found = report(world, pod_phase="Running", progress="42.1")
    assert (found["phase"], found["progress"], found["claimName"]) == ("ImportInProgress", "42.10%", "disk")
    assert condition_of(world, "Running")[0] == "True"
    found = report(world, pod_phase="Succeeded")
    assert (found["phase"], found["progress"]) == ("Succeeded", "100.0%")
    assert condition_of(world, "Running") == ("False", "Completed", "Import Complete")
    assert condition_of(world, "Ready")[0] == "True"
    assert [note.reason for note in world.notes] == ["ImportScheduled", "ImportInProgress", "ImportSucceeded"]
    assert world.notes[-1].message == "Successfully imported into PVC disk"


def test_an_upload_is_followed_to_its_end() -> None:
    world = world_of({"upload": {}})
    notes = meta.annotations(claim(world))
    assert notes[_ANNOTATION + "upload.target"] == ""
    assert _ANNOTATION + "import.source" not in notes
    assert status(world)["phase"] == "Pending"
    assert report(world)["phase"] == "UploadScheduled"
    assert report(world, pod_phase="Running", pod_ready="true")["phase"] == "UploadReady"
    assert condition_of(world, "Running")[0] == "True"
    assert report(world, pod_phase="Succeeded", pod_ready="true")["phase"] == "Succeeded"
    assert condition_of(world, "Running") == ("False", "Completed", "Upload Complete")
    assert [note.reason for note in world.notes] == ["UploadScheduled", "UploadReady", "UploadSucceeded"]


def test_a_failure_is_told_with_its_cause() -> None:
    world = world_of({"http": {"url": "http://x/y"}})
    marks = {"pod_phase": "Failed", "condition_running_message": "checksum mismatch", "pod_restarts": "2"}
    found = report(world, **marks)
    assert (found["phase"], found["restartCount"]) == ("Failed", 2)
    assert condition_of(world, "Running") == ("False", "Error", "checksum mismatch")
    assert world.notes[-1].type == "Warning"
    assert "checksum mismatch" in world.notes[-1].message


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"source": {"pvc": {"name": "a", "namespace": "b"}}}, "The source pvc b/a doesn't exist"),
        ({"source": {"snapshot": {"name": "a", "namespace": "b"}}}, "The source snapshot b/a doesn't exist"),
        ({"source": None, "sourceRef": {"kind": "DataSource", "name": "a"}}, "The source DataSource default/a doesn't exist"),
        ({"source": None, "sourceRef": {"kind": "Other", "name": "a"}}, "Unsupported sourceRef kind Other"),
        ({"storage": {}}, "PVC size is missing"),
    ],
)
def test_what_is_not_done_is_refused_by_name(spec: Object, why: str) -> None:
    world = world_of(**spec)
    assert world.list(PERSISTENTVOLUMECLAIM) == []
    assert status(world)["phase"] == "Pending"
    assert why in condition_of(world, "Running")[2]
    (warning,) = world.notes
    assert why in warning.message


def test_a_claim_of_somebody_else_is_not_touched() -> None:
    world = World()
    world.put(PERSISTENTVOLUMECLAIM, {"metadata": {"name": "disk", "namespace": "default"}, "spec": _STORAGE})
    spec = {"source": {"blank": {}}, "storage": _STORAGE}
    world.put(DATAVOLUME, {"metadata": {"name": "disk", "namespace": "default"}, "spec": spec})
    world.settle({controller: {}})
    assert condition_of(world, "Running")[1] == "ErrResourceExists"
    assert meta.owner_references(claim(world)) == []


def test_a_kept_claim_is_taken_up_again() -> None:
    world = world_of()
    report(world, pod_phase="Succeeded")
    before = meta.uid(claim(world))
    world.delete(DATAVOLUME, *KEY, propagation="Orphan")
    world.settle({garbage: {}, controller: {}})
    assert meta.owner_references(claim(world)) == []
    spec = {"source": {"blank": {}}, "storage": _STORAGE}
    world.put(DATAVOLUME, {"metadata": {"name": "disk", "namespace": "default"}, "spec": spec})
    world.settle({garbage: {}, controller: {}})
    assert meta.uid(claim(world)) == before
    assert status(world)["phase"] == "Succeeded"


def origin(world: World, size: str = "2Gi", namespace: str = "golden") -> None:
    """A claim that may be copied."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    world.put(PERSISTENTVOLUMECLAIM, {"metadata": {"name": "image", "namespace": namespace}, "spec": spec},
              {"phase": "Bound", "capacity": {"storage": size}})  # fmt: skip


def test_a_copy_is_made_when_its_source_is_there() -> None:
    world = world_of({"pvc": {"name": "image", "namespace": "golden"}}, storage={})
    assert world.get(PERSISTENTVOLUMECLAIM, *KEY) is None
    assert world.notes[-1].reason == "CloneWithoutSource"
    origin(world)
    world.settle({controller: {}})
    made = claim(world)
    notes = meta.annotations(made)
    assert notes[_ANNOTATION + "import.source"] == "pvc"
    assert notes["k8s.io/CloneRequest"] == notes[_ANNOTATION + "import.endpoint"] == "golden/image"
    assert made["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert report(world)["phase"] == "CloneScheduled"
    assert report(world, pod_phase="Running")["phase"] == "CloneInProgress"
    world.delete(PERSISTENTVOLUMECLAIM, "golden", "image")
    assert report(world, pod_phase="Succeeded")["phase"] == "Succeeded"
    assert condition_of(world, "Running") == ("False", "Completed", "Clone Complete")
    assert [note.reason for note in world.notes] == ["CloneWithoutSource", "CloneScheduled", "CloneInProgress", "CloneSucceeded"]
    assert world.notes[-1].message == "Successfully cloned from golden/image into default/disk"


def test_a_copy_is_not_smaller_than_its_source() -> None:
    world = world_of()
    origin(world, "3Gi")
    world.put(DATAVOLUME, {"metadata": {"name": "small", "namespace": "default"},
                           "spec": {"source": {"pvc": {"name": "image", "namespace": "golden"}}, "storage": _STORAGE}})  # fmt: skip
    world.settle({controller: {}})
    assert world.get(PERSISTENTVOLUMECLAIM, "default", "small") is None
    assert "2Gi < 3Gi" in world.notes[-1].message


def test_a_copy_of_a_snapshot_waits_until_it_is_ready() -> None:
    world = world_of({"snapshot": {"name": "saved", "namespace": "golden"}}, storage={})
    spec = {"source": {"persistentVolumeClaimName": "image"}}
    world.put(VOLUMESNAPSHOT, {"metadata": {"name": "saved", "namespace": "golden"}, "spec": spec}, {"readyToUse": False})
    world.put(DATASOURCE, {"metadata": {"name": "s", "namespace": "golden"}, "spec": {"source": {"snapshot": {"name": "saved"}}}})
    world.settle({controller: {}, datasource: {}})
    assert condition_of(world, "Running")[1] == "SnapshotNotReady"
    world.update(VOLUMESNAPSHOT, "golden", "saved", {"status": {"readyToUse": True, "restoreSize": "3Gi"}}, "status")
    world.settle({controller: {}, datasource: {}})
    made = claim(world)
    assert meta.annotations(made)[_ANNOTATION + "import.source"] == "snapshot"
    assert made["spec"]["resources"]["requests"]["storage"] == "3Gi"
    assert report(world, pod_phase="Running")["phase"] == "CloneFromSnapshotSourceInProgress"
    assert report(world, pod_phase="Succeeded")["phase"] == "Succeeded"
    told = meta.get(world.get(DATASOURCE, "golden", "s"), "status", "conditions")
    assert conditions.is_true(told, "Ready")


@pytest.mark.parametrize("through", [1, 2, 3])
def test_a_data_source_names_what_is_copied(through: int) -> None:
    """Directly, or by another one; no further, as upstream."""
    world = world_of(source=None, sourceRef={"kind": "DataSource", "name": "s1", "namespace": "golden"}, storage={})
    origin(world)
    for number in range(1, through + 1):
        named = {"pvc": {"name": "image"}} if number == through else {"dataSource": {"name": f"s{number + 1}", "namespace": "golden"}}
        world.put(DATASOURCE, {"metadata": {"name": f"s{number}", "namespace": "golden"}, "spec": {"source": named}})
    world.settle({controller: {}, datasource: {}})
    if through == 3:
        assert world.get(PERSISTENTVOLUMECLAIM, *KEY) is None
        return
    assert meta.annotations(claim(world))["k8s.io/CloneRequest"] == "golden/image"
    told = meta.get(world.get(DATASOURCE, "golden", "s1"), "status", default={})
    assert conditions.is_true(told["conditions"], "Ready")
    assert told["source"] == {"pvc": {"name": "image"}}


def test_a_data_source_tells_what_it_lacks() -> None:
    world = world_of()
    for name, source in (("none", {}), ("gone", {"pvc": {"name": "x", "namespace": "y"}}), ("filling", {"pvc": {"name": "disk"}})):
        world.put(DATASOURCE, {"metadata": {"name": name, "namespace": "default"}, "spec": {"source": source}})
    world.settle({controller: {}, datasource: {}})
    told = {name: conditions.find(meta.get(world.get(DATASOURCE, "default", name), "status", "conditions"), "Ready") or {}
            for name in ("none", "gone", "filling")}  # fmt: skip
    assert {name: (one["status"], one["message"]) for name, one in told.items()} == {
        "none": ("False", "No source PVC set"), "gone": ("False", "PVC not found"),
        "filling": ("False", "Import DataVolume phase Pending")}  # fmt: skip


@pytest.mark.parametrize("now", [False, True])
def test_a_claim_that_waits_for_its_first_consumer(now: bool) -> None:
    world = World()
    world.put(STORAGECLASS, {"metadata": {"name": "wait"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer"})
    notes = {"cdi.kubevirt.io/storage.bind.immediate.requested": ""} if now else {}
    world.put(DATAVOLUME, {"metadata": {"name": "disk", "namespace": "default", "annotations": notes},
                           "spec": {"source": {"http": {"url": "http://x"}}, "storage": _STORAGE | {"storageClassName": "wait"}}})  # fmt: skip
    world.settle({controller: {}})
    assert report(world, "Pending")["phase"] == ("Pending" if now else "WaitForFirstConsumer")
    assert report(world)["phase"] == "ImportScheduled"


def test_what_a_profile_says_fills_what_a_volume_leaves_open() -> None:
    world = World()
    world.put(STORAGECLASS, {"metadata": {"name": "c", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                             "provisioner": "p"})  # fmt: skip
    for _ in range(2):  # made, then told of
        world.turn(storageprofile, ("", "c"))
    sets = [{"accessModes": ["ReadWriteMany"], "volumeMode": "Block"}, {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}]
    assert meta.get(world.get(STORAGEPROFILE, "", "c"), "status", "claimPropertySets") == [storageprofile.PLAIN]
    assert meta.get(world.get(STORAGEPROFILE, "", "c"), "status", "cloneStrategy") == "csi-clone"
    world.update(STORAGEPROFILE, "", "c", {"spec": {"claimPropertySets": sets, "cloneStrategy": "snapshot"}})
    for name, said in (("open", {}), ("files", {"volumeMode": "Filesystem"}), ("own", {"accessModes": ["ReadOnlyMany"]})):
        world.put(DATAVOLUME, {"metadata": {"name": name, "namespace": "default"}, "spec": {"source": {"blank": {}}, "storage": _STORAGE | said}})
    world.settle({controller: {}, storageprofile: {}})
    made = {name: world.get(PERSISTENTVOLUMECLAIM, "default", name) or {} for name in ("open", "files", "own")}
    assert {name: (one["spec"]["accessModes"], one["spec"]["volumeMode"]) for name, one in made.items()} == {
        "open": (["ReadWriteMany"], "Block"), "files": (["ReadWriteOnce"], "Filesystem"), "own": (["ReadOnlyMany"], "Filesystem")}  # fmt: skip
    world.put(DATAVOLUME, {"metadata": {"name": "copy", "namespace": "default"}, "spec": {
        "source": {"pvc": {"name": "own", "namespace": "default"}}, "storage": _STORAGE}})  # fmt: skip
    world.settle({controller: {}, storageprofile: {}})
    assert meta.annotations(world.get(PERSISTENTVOLUMECLAIM, "default", "copy") or {})["cdi.kubevirt.io/cloneType"] == "snapshot"
    world.delete(STORAGECLASS, "", "c")
    world.turn(storageprofile, ("", "c"))
    assert world.list(STORAGEPROFILE) == []
