"""What the node does next about the content of a snapshot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmpod.base.errors import Problem
from vmpod.kinds.virtualmachinesnapshotcontent import PROTECTION
from vmpod.model.meta import Object
from vmpod.node.translate import snapshot
from vmpod.node.translate.snapshot import Disk, LetGo, Seen, Take
from vmpod.reconcile.actions import Patch
from vmpod.testing.clock import EPOCH

OURS = {"metadata": {"name": "pvc-1"}, "spec": {"csi": {"driver": "vmpod.io/local"}}}
FOREIGN = {"metadata": {"name": "nfs"}, "spec": {"nfs": {}}}


def content(**status: object) -> Object:
    meta = {"name": "c", "namespace": "default", "uid": "u1", "finalizers": [PROTECTION], "resourceVersion": "1"}
    return {"metadata": meta, "status": status,
            "spec": {"volumeBackups": [{"volumeName": "d", "volumeSnapshotName": "vmsnapshot-s-volume-d"}]}}  # fmt: skip


IDLE = Disk("d", "data", 1 << 20, OURS, (), False)
SEEN = Seen(content(), (IDLE,), "", False, EPOCH)
USED = replace(SEEN, disks=(replace(IDLE, users=("launcher",)),), launcher="launcher", is_up=True)


@pytest.mark.parametrize(("seen", "why"), [
    (SEEN, ""),
    (USED, ""),
    (replace(USED, is_up=False), "the machine is starting or stopping"),
    (replace(USED, launcher="other"), "the claim data is in use by the pod launcher"),
    (replace(SEEN, disks=(replace(IDLE, is_busy=True),)), "another snapshot of the claim data is being taken"),
    (replace(SEEN, disks=(replace(IDLE, plugged_into="db"),)),
     "the claim data is plugged into the running machine db"),
    (replace(SEEN, disks=(replace(IDLE, bound=None),)), "the claim data is gone or not bound"),
    (replace(SEEN, disks=(replace(IDLE, bound=FOREIGN),)),
     "the claim data is bound to nfs, which is no volume of vmpod.io/local"),
])  # fmt: skip
def test_what_is_in_the_way(seen: Seen, why: str) -> None:
    made = snapshot.plan(seen)
    assert snapshot.obstacle(seen) == why
    if why:
        (told,) = made.actions
        assert isinstance(told, Patch) and told.patch["status"]["error"]["message"] == why
        again = replace(seen, content=content(error={"message": why}))
        assert snapshot.plan(again).actions == () and snapshot.plan(again).again_in is not None
    else:
        assert made.actions == (Take(seen),)


def test_what_is_taken_is_not_taken_again() -> None:
    done = replace(SEEN, content=content(creationTime="2026-01-01T00:00:00Z", readyToUse=True))
    assert snapshot.plan(done) == snapshot.ContentPlan()


def test_a_deleted_content_gives_its_layers_up_once() -> None:
    leaving = content(creationTime="2026-01-01T00:00:00Z")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert snapshot.plan(replace(SEEN, content=leaving)).actions == (LetGo(leaving),)
    leaving["metadata"]["finalizers"] = []
    assert snapshot.plan(replace(SEEN, content=leaving)).actions == ()


def test_a_claim_is_filled_only_from_what_is_ready() -> None:
    ready, wanted = content(readyToUse=True), "vmsnapshot-s-volume-d"
    assert snapshot.source_layer([content(), ready], wanted) == snapshot.layer_of(ready, "d")
    for held, name in (([content()], wanted), ([content(readyToUse=False)], wanted), ([ready], "other"), ([], wanted)):
        with pytest.raises(Problem, match="that is ready holds"):
            snapshot.source_layer(held, name)


def test_layers_of_two_contents_differ_whatever_they_name() -> None:
    other = content()
    other["metadata"]["uid"] = "u2"
    assert not {*snapshot.layers_of(content())} & {*snapshot.layers_of(other)}
