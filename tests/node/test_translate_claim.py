"""Claims: protect, bind, import, let go; an unknown class is relaxed with a warning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from vmpod.kinds import PERSISTENTVOLUMECLAIM
from vmpod.model.meta import Object
from vmpod.node.translate import claim as claims
from vmpod.node.translate.claim import (
    CancelImport,
    MakeVolume,
    OfferUpload,
    Seen,
    StartImport,
    TakeUpload,
    plan,
    status,
)
from vmpod.reconcile.actions import Patch

LOCAL: Object = {
    "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "vmpod.io/local", "reclaimPolicy": "Delete",
}  # fmt: skip
RETAIN: Object = {"metadata": {"name": "keep"}, "provisioner": "vmpod.io/local", "reclaimPolicy": "Retain"}


def claim(*, volume: str = "", storage_class: str | None = None, deleting: bool = False, protected: bool = True,
          marks: Mapping[str, str] = MappingProxyType({})) -> Object:  # fmt: skip
    meta: Object = {"name": "data", "namespace": "default", "uid": "u1", "resourceVersion": "7",
                    "annotations": {f"cdi.kubevirt.io/storage.{key}": value for key, value in marks.items()},
                    "finalizers": [claims.PROTECTION] if protected else []}  # fmt: skip
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    spec |= {"volumeName": volume} if volume else {}
    spec |= {"storageClassName": storage_class} if storage_class is not None else {}
    return {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec, "status": {"phase": "Pending"}}


def volume(name: str = "pvc-u1") -> Object:
    return {"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"}, "csi": {"driver": claims.PROVISIONER},
                                                  "claimRef": {"namespace": "default", "name": "data", "uid": "u1"}}}


def seen(wanted: Object, **changed: Any) -> Seen:
    given: dict[str, Any] = {"volume": None, "classes": (LOCAL, RETAIN), "users": (), "importing": False, "node": "n1"}
    return Seen(wanted, **(given | changed))


def test_a_new_claim_gets_a_volume_of_the_default_class() -> None:
    (made,) = plan(seen(claim())).actions
    assert isinstance(made, MakeVolume)
    assert made.volume["spec"]["storageClassName"] == "local"
    assert made.volume["spec"]["claimRef"]["uid"] == "u1"
    assert made.volume["spec"]["capacity"] == {"storage": "1Gi"}


def test_a_claim_that_nobody_here_can_fill_is_not_bound_empty() -> None:
    wanted = claim()
    wanted["spec"]["dataSourceRef"] = {"apiGroup": "forklift.konveyor.io", "kind": "OvirtVolumePopulator", "name": "x"}
    found = plan(seen(wanted))
    assert found.actions == () and [note.reason for note in found.events] == ["UnrecognizedDataSourceKind"]
    wanted["metadata"]["annotations"][claims.SOURCE] = "pvc"
    assert plan(seen(wanted)).actions


def populated(protected: bool = True, **marks: str) -> Object:
    wanted = claim(marks={key.replace("_", "."): text for key, text in marks.items()}, protected=protected)
    wanted["spec"]["dataSourceRef"] = {"apiGroup": "cdi.kubevirt.io", "kind": "VolumeImportSource", "name": "x"}
    return wanted


def test_a_claim_of_a_populator_is_filled_before_it_is_bound() -> None:
    assert plan(seen(populated())) == claims.ClaimPlan()  # the populator has not said with what
    (made,) = plan(seen(populated(import_source="http"))).actions
    assert isinstance(made, MakeVolume)
    (kept,) = plan(seen(populated(False, import_source="http"), volume=volume())).actions
    assert isinstance(kept, Patch) and kept.patch["metadata"]["finalizers"] == [claims.PROTECTION]
    (started,) = plan(seen(populated(import_source="http"), volume=volume())).actions
    assert started == StartImport(populated(import_source="http"), "pvc-u1", 0)
    offered = populated(upload_target="")
    assert isinstance(plan(seen(offered)).actions[0], MakeVolume)
    assert plan(seen(offered, volume=volume())).actions == (OfferUpload(offered, "pvc-u1"),)
    for phase in ("Running", "Failed"):
        told = populated(import_source="http", pod_phase=phase)
        assert plan(seen(told, volume=volume(), importing=phase == "Running")).actions == ()
        assert status(seen(told, volume=volume())) == {"phase": "Pending"}
    (bound,) = plan(seen(populated(import_source="http", pod_phase="Succeeded"), volume=volume())).actions
    assert isinstance(bound, Patch) and bound.patch["spec"] == {"volumeName": "pvc-u1"}


def test_then_it_is_bound() -> None:
    (bound,) = plan(seen(claim(), volume=volume())).actions
    assert isinstance(bound, Patch)
    assert bound.patch["spec"] == {"volumeName": "pvc-u1"}


@pytest.mark.parametrize(("wanted", "used", "warned"), [
    (None, "local", False), ("local", "local", False), ("keep", "keep", False), ("managed-premium", "local", True),
])  # fmt: skip
def test_the_class(wanted: str | None, used: str, warned: bool) -> None:
    found = plan(seen(claim(storage_class=wanted)))
    assert isinstance(found.actions[0], MakeVolume)
    assert found.actions[0].volume["spec"]["storageClassName"] == used
    assert [note.reason for note in found.events] == (["StorageClassRelaxed"] if warned else [])
    assert found.actions[0].volume["spec"]["persistentVolumeReclaimPolicy"] == ("Retain" if used == "keep" else "Delete")


def test_without_any_class_it_says_why() -> None:
    found = plan(seen(claim(), classes=()))
    assert found.actions == ()
    assert found.events[0].reason == "ProvisioningFailed"


def test_a_bound_claim_is_protected() -> None:
    (patch,) = plan(seen(claim(volume="pvc-u1", protected=False), volume=volume())).actions
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"] == {"finalizers": [claims.PROTECTION], "resourceVersion": "7"}


@pytest.mark.parametrize(("marks", "importing", "starts"), [
    ({}, False, False),
    ({"import.source": "none"}, False, True),  # a blank disk
    ({"import.source": "registry"}, False, True),
    ({"import.source": "registry"}, True, False),
    ({"import.source": "registry", "pod.phase": "Running"}, False, True),  # an engine that died left it so
    ({"import.source": "registry", "pod.phase": "Pending", "pod.restarts": "2"}, False, True),
    ({"import.source": "registry", "pod.phase": "Succeeded"}, False, False),
    ({"import.source": "registry", "pod.phase": "Failed"}, False, False),
])  # fmt: skip
def test_imports(marks: dict[str, str], importing: bool, starts: bool) -> None:
    actions = plan(seen(claim(volume="pvc-u1", marks=marks), volume=volume(), importing=importing)).actions
    assert [type(action) for action in actions] == ([StartImport] if starts else [])
    if starts:
        assert isinstance(actions[0], StartImport)
        assert actions[0].restarts == int(marks.get("pod.restarts", 0))


def test_a_deleted_claim_waits_for_its_users() -> None:
    doomed = claim(volume="pvc-u1", deleting=True)
    waiting = plan(seen(doomed, volume=volume(), users=("web",)))
    assert waiting.actions == () and "web" in waiting.events[0].message
    (patch,) = plan(seen(doomed, volume=volume())).actions
    assert isinstance(patch, Patch) and patch.patch["metadata"]["finalizers"] is None
    assert plan(seen(claim(volume="pvc-u1", deleting=True, protected=False))).actions == ()


@pytest.mark.parametrize(("wanted", "there", "expected"), [
    (claim(), None, {"phase": "Pending"}),
    (claim(volume="pvc-u1"), volume(), {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}),
    (claim(volume="pvc-u1", deleting=True), volume(), None),
])  # fmt: skip
def test_status(wanted: Object, there: Object | None, expected: Object | None) -> None:
    assert status(seen(wanted, volume=there)) == expected


def test_a_claim_whose_volume_vanished_is_lost() -> None:
    gone = claim(volume="pvc-u1")
    gone["status"]["phase"] = "Bound"
    assert status(seen(gone)) == {"phase": "Lost"}


@pytest.mark.parametrize(("marks", "said"), [
    ({}, ""),
    ({"import.source": "http"}, "under way"),
    ({"import.source": "http", "pod.phase": "Succeeded"}, ""),
    ({"import.source": "http", "pod.phase": "Failed", "condition.running.message": "no such image"}, "no such image"),
])  # fmt: skip
def test_why_a_claim_cannot_be_mounted(marks: dict[str, str], said: str) -> None:
    found = claims.is_import_pending(claim(volume="pvc-u1", marks=marks))
    assert said in found if said else found == ""


def test_the_import_of_a_deleted_claim_is_ended_before_it_goes() -> None:
    (cancel,) = plan(seen(claim(volume="pvc-u1", deleting=True), volume=volume(), importing=True)).actions
    assert isinstance(cancel, CancelImport)


def test_a_claim_does_not_get_the_volume_of_another() -> None:
    taken = volume()
    taken["spec"]["claimRef"] |= {"name": "other", "uid": "u9"}
    found = plan(seen(claim(volume="pvc-u1"), volume=taken))
    assert found.actions == () and found.events[0].reason == "FailedBinding"
    assert status(seen(claim(volume="pvc-u1"), volume=taken)) == {"phase": "Pending"}


def test_a_claim_takes_the_free_volume_that_it_names() -> None:
    free: Object = {"metadata": {"name": "mine", "resourceVersion": "4"}, "spec": {"hostPath": {"path": "/data"}}}
    found = plan(seen(claim(volume="mine"), volume=free))
    assert [action.subresource for action in found.actions if isinstance(action, Patch)] == ["", "status"]
    assert isinstance(found.actions[0], Patch) and found.actions[0].patch["spec"]["claimRef"]["uid"] == "u1"


@pytest.mark.parametrize(("marks", "deleted", "is_open"), [
    ({claims.SOURCE: "http"}, False, True), ({claims.SOURCE: "http", claims.POD_PHASE: "Running"}, False, True),
    ({claims.SOURCE: "http", claims.POD_PHASE: "Failed"}, False, False), ({}, False, False),
    ({claims.SOURCE: "http", claims.POD_PHASE: "Succeeded"}, False, False), ({claims.SOURCE: "http"}, True, False),
])  # fmt: skip
def test_what_of_a_download_is_worth_keeping(marks: dict[str, str], deleted: bool, is_open: bool) -> None:
    found: Object = {"metadata": {"annotations": marks} | ({"deletionTimestamp": "x"} if deleted else {})}
    assert claims.is_import_open(found) == is_open


def test_retries_wait_longer_and_longer() -> None:
    waits = [claims.retry_s(count) for count in range(12)]
    assert waits[0] == 0 and waits == sorted(waits) and waits[-1] == 300


def test_the_plan_ends() -> None:
    """Applying each step to a small world leads to a bound, filled claim and then to nothing more to do."""
    wanted, there = claim(protected=False, marks={"import.source": "registry"}), None
    for _ in range(10):
        actions = plan(seen(wanted, volume=there)).actions
        if not actions:
            break
        for action in actions:
            match action:
                case MakeVolume(made):
                    there = made
                case StartImport():
                    wanted["metadata"]["annotations"][claims.POD_PHASE] = "Succeeded"
                case Patch(kind, _, _, patch):
                    assert kind is PERSISTENTVOLUMECLAIM
                    wanted["spec"] |= patch.get("spec", {})
                    wanted["metadata"]["finalizers"] = patch["metadata"].get("finalizers", wanted["metadata"]["finalizers"])
    assert wanted["spec"]["volumeName"] == "pvc-u1"
    assert plan(seen(wanted, volume=there)).actions == ()


@pytest.mark.parametrize(
    ("marks", "importing", "steps"),
    [
        ({}, False, [OfferUpload]),
        ({}, True, []),
        ({"pod.ready": "true", "pod.phase": "Running"}, False, []),
        ({"pod.phase": "Succeeded"}, False, []),
        ({"contentType": "archive"}, False, [OfferUpload]),
    ],
)
def test_an_upload_is_offered_once(marks: dict[str, str], importing: bool, steps: list[type]) -> None:
    wanted = claim(volume="pvc-u1", marks={"upload.target": "", **marks})
    found = plan(seen(wanted, volume=volume(), importing=importing))
    assert [type(one) for one in found.actions] == steps
    assert found.events == ()
    assert ("waits for an upload" in claims.is_import_pending(wanted)) == (marks.get("pod.phase") != "Succeeded")


@pytest.mark.parametrize(
    ("marks", "importing", "steps"),
    [({"pod.ready": "true"}, False, [TakeUpload]), ({}, False, [TakeUpload]), ({"pod.ready": "true"}, True, []),
     ({"pod.phase": "Succeeded"}, False, [])],
)  # fmt: skip
def test_what_arrived_before_the_engine_died_is_taken(marks: dict[str, str], importing: bool, steps: list[type]) -> None:
    wanted = claim(volume="pvc-u1", marks={"upload.target": "", **marks})
    there = seen(wanted, volume=volume(), importing=importing, arrived=True)
    assert [type(one) for one in plan(there).actions] == steps


def test_what_arrived_goes_with_its_claim() -> None:
    wanted = claim(volume="pvc-u1", marks={"upload.target": ""})
    wanted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    there = seen(wanted, volume=volume(), arrived=True)
    assert [type(one) for one in plan(there).actions] == [CancelImport]


def test_an_offer_says_why_the_last_upload_failed() -> None:
    notes = claims.as_offer(message="no disk", reason="Format")["metadata"]["annotations"]
    assert (notes[claims.POD_READY], notes[claims.POD_PHASE], notes[claims.RUNNING_MESSAGE]) == ("true", "Running", "no disk")


def test_a_copy_waits_for_its_source_and_tells_why() -> None:
    wanted = claim(volume="pvc-u1", marks={"import.source": "pvc", "import.endpoint": "golden/image"})
    assert claims.copied(wanted) == ("golden", "image")
    why = ("CloneSourceInUse", "pod golden/box using PersistentVolumeClaim image")
    found = plan(seen(wanted, volume=volume(), obstacle=why))
    (told,) = found.actions
    assert isinstance(told, Patch)
    assert (found.again_in, [note.reason for note in found.events]) == (2.0, ["CloneSourceInUse"])
    wanted["metadata"]["annotations"] |= told.patch["metadata"]["annotations"]
    assert plan(seen(wanted, volume=volume(), obstacle=why)) == claims.ClaimPlan(again_in=2.0)
    assert [type(one) for one in plan(seen(wanted, volume=volume())).actions] == [StartImport]


FILLED = claim(volume="pvc-u1", marks={"import.source": "none", "pod.phase": "Succeeded"})


@pytest.mark.parametrize(
    ("source", "bound", "users", "reason"),
    [
        (None, None, (), "CloneWithoutSource"),
        (claim(volume="pvc-u1", deleting=True), volume(), (), "CloneWithoutSource"),
        (claim(), None, (), "CloneSourceNotReady"),
        (FILLED, {**volume(), "spec": {**volume()["spec"], "csi": {"driver": "other"}}}, (), "CloneSourceNotReady"),
        (claim(volume="pvc-u1", marks={"import.source": "http"}), volume(), (), "CloneSourceNotReady"),
        (FILLED, volume(), ("box",), "CloneSourceInUse"),
        (FILLED, volume(), (), ""),
    ],
)
def test_what_keeps_a_claim_from_being_copied(source: Object | None, bound: Object | None, users: tuple[str, ...], reason: str) -> None:
    assert claims.copy_obstacle(("golden", "image"), source, bound, users)[0] == reason


def test_a_class_may_wait_for_the_first_consumer() -> None:
    waits: Object = {**LOCAL, "volumeBindingMode": "WaitForFirstConsumer"}
    found = plan(seen(claim(), classes=(waits,)))
    assert (found.actions, [note.reason for note in found.events]) == ((), ["WaitForFirstConsumer"])
    for ready in (seen(claim(), classes=(waits,), users=("box",)), seen(claim(marks={"bind.immediate.requested": ""}), classes=(waits,))):
        assert [type(one) for one in plan(ready).actions] == [MakeVolume]


def test_a_claim_that_runs_somewhere_is_not_filled() -> None:
    for marks, reason in (({"upload.target": ""}, "UploadTargetInUse"), ({"import.source": "http"}, "ImportTargetInUse")):
        found = plan(seen(claim(volume="pvc-u1", marks=marks), volume=volume(), users=("user",), mounted=("user",)))
        assert found.events[0].reason == reason
        assert found.events[0].message == "pod default/user using PersistentVolumeClaim data"
        (told,) = found.actions
        assert isinstance(told, Patch)
        waits = plan(seen(claim(volume="pvc-u1", marks=marks), volume=volume(), users=("user",)))
        assert not isinstance(waits.actions[0], Patch)  # a pod that waits for the content itself


@pytest.mark.parametrize(("size", "content", "limit"), [
    ("16Gi", "kubevirt", (17 << 30) + (16 << 20)), ("1Gi", "archive", (2 << 30) + (16 << 20)),
])  # fmt: skip
def test_how_much_is_taken(size: str, content: str, limit: int) -> None:
    wanted = claim(marks={"contentType": content})
    wanted["spec"]["resources"]["requests"]["storage"] = size
    assert claims.upload_limit(wanted) == limit
