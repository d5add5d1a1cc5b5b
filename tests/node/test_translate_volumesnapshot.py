"""VolumeSnapshots: protected, taken once, and what their content's end gives up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from vmpod.kinds import volumesnapshot, volumesnapshotcontent
from vmpod.model.meta import Object
from vmpod.node.snapshotlayers import layer_of
from vmpod.node.translate import snapshot as machines
from vmpod.node.translate import volumesnapshot as translate
from vmpod.node.translate.claim import PROVISIONER
from vmpod.node.translate.snapshot import Disk
from vmpod.node.translate.volumesnapshot import Forget, LetGo, Seen, TakeSnapshot, plan, plan_content
from vmpod.reconcile.actions import Delete, Patch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUND: Object = {"metadata": {"name": "pv"}, "spec": {"csi": {"driver": PROVISIONER}, "volumeMode": "Filesystem"}}
IDLE = Disk("disk", "data", 1 << 30, BOUND, (), False, "", "disk")
LOCAL: Object = {"metadata": {"name": "local", "annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"}},
                 "driver": PROVISIONER, "deletionPolicy": "Delete"}  # fmt: skip


def snapshot(**spec: Any) -> Object:
    meta: Object = {"name": "saved", "namespace": "default", "uid": "u1", "resourceVersion": "7",
                    "finalizers": [volumesnapshot.PROTECTION]}  # fmt: skip
    return {"metadata": meta, "spec": {"source": {"persistentVolumeClaimName": "data"}} | spec}


def seen(found: Object, disk: Disk = IDLE, **changed: Any) -> Seen:
    look = machines.Seen(translate.as_content(found, "", "disk"), (disk,), "", False, NOW)
    given: dict[str, Any] = {"content": None, "classes": (LOCAL,), "look": look} | changed
    return Seen(found, **given)


def taken() -> Object:
    content, status = translate.made(seen(snapshot()), "Delete", NOW)
    return content | {"status": status}


def told(seen: Seen) -> str:
    (patch,) = plan(seen).actions
    assert isinstance(patch, Patch) and isinstance(patch.patch, dict)
    return str(patch.patch["status"]["error"]["message"])


def test_it_is_protected_then_taken_then_told() -> None:
    bare = snapshot()
    bare["metadata"]["finalizers"] = []
    (first,) = plan(seen(bare)).actions
    assert isinstance(first, Patch) and first.patch["metadata"]["finalizers"] == [volumesnapshot.PROTECTION]
    (second,) = plan(seen(snapshot())).actions
    assert isinstance(second, TakeSnapshot) and second.policy == "Delete"
    (third,) = plan(seen(snapshot(), content=taken())).actions
    assert isinstance(third, Patch)
    assert third.patch["status"] == {"boundVolumeSnapshotContentName": "snapcontent-u1", "readyToUse": True, "error": None,
                                     "creationTime": "2026-01-01T00:00:00Z", "restoreSize": "1Gi"}  # fmt: skip
    assert plan(seen(snapshot() | {"status": third.patch["status"]}, content=taken())).actions == ()


def test_a_content_without_its_status_is_made_anew() -> None:
    (again,) = plan(seen(snapshot(), content={key: value for key, value in taken().items() if key != "status"})).actions
    assert isinstance(again, TakeSnapshot)


@pytest.mark.parametrize(
    ("found", "disk", "changed", "why"),
    [
        (snapshot(source={"volumeSnapshotContentName": "x"}), IDLE, {}, "volumeSnapshotContentName is not supported"),
        (snapshot(), IDLE, {"classes": ()}, "no default VolumeSnapshotClass"),
        (snapshot(volumeSnapshotClassName="azure"), IDLE, {"classes": ({"metadata": {"name": "azure"}, "driver": "disk.csi.azure.com"},)},
         "disk.csi.azure.com, which is not here"),
        (snapshot(), IDLE, {"pending": "the import is under way"}, "the import is under way"),
        (snapshot(), replace(IDLE, bound=None), {}, "gone or not bound"),
        (snapshot(), replace(IDLE, users=("web",)), {}, "in use by the pod web"),
        (snapshot(), replace(IDLE, is_busy=True), {}, "another snapshot"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_being_taken(found: Object, disk: Disk, changed: dict[str, Any], why: str) -> None:
    there = seen(found, disk, **changed)
    assert why in told(there)
    again = seen(found | {"status": {"error": {"message": told(there)}}}, disk, **changed)
    assert plan(again).actions == () and plan(again).again_in == 2.0


def test_a_class_that_is_not_here_is_relaxed() -> None:
    found = plan(seen(snapshot(volumeSnapshotClassName="azure")))
    assert isinstance(found.actions[0], TakeSnapshot)
    assert [note.reason for note in found.events] == ["VolumeSnapshotClassRelaxed"]


@pytest.mark.parametrize(("policy", "steps"), [("Delete", [Delete, Patch]), ("Retain", [Patch])])
def test_the_content_goes_with_it_by_its_policy(policy: str, steps: list[type]) -> None:
    gone, content = snapshot(), taken()
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    content["spec"]["deletionPolicy"] = policy
    assert [type(one) for one in plan(seen(gone, content=content)).actions] == steps
    assert [type(one) for one in plan(seen(gone)).actions] == [Forget]


def test_a_content_waits_for_its_snapshot() -> None:
    content = taken()
    assert plan_content(content, ()).actions == ()
    content["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert plan_content(content, (snapshot(),)).again_in == 2.0
    assert plan_content(content, ()).actions == (LetGo(content),)
    last = translate.let_go(content | {"metadata": content["metadata"] | {"resourceVersion": "1"}})
    assert last.patch["metadata"]["finalizers"] is None
    assert volumesnapshotcontent.PROTECTION in content["metadata"]["finalizers"]


@pytest.mark.parametrize(("handle", "driver", "is_ours"), [
    ("", PROVISIONER, False), ("../../etc", PROVISIONER, False), ("a" * 32, "other", False), ("a" * 32, PROVISIONER, True)])  # fmt: skip
def test_only_a_layer_is_taken_for_one(handle: str, driver: str, is_ours: bool) -> None:
    content = {"spec": {"driver": driver}, "status": {"snapshotHandle": handle}}
    assert bool(layer_of(content)) == is_ours
