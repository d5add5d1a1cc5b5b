"""Why something is stuck."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.cli.reasons import belongs, explain, pod_trouble


def pod(name: str, owner: str = "", owner_kind: str = "ReplicaSet", /, **status: Any) -> dict[str, Any]:
    owners = [{"kind": owner_kind, "name": owner, "uid": "o", "controller": True}] if owner else []
    return {"metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": owners}, "status": status}


def warning(kind: str, name: str, message: str, at: str, uid: str = "") -> dict[str, Any]:
    about = {"kind": kind, "name": name, "uid": uid}
    return {"type": "Warning", "reason": "Bad", "message": message, "involvedObject": about, "lastTimestamp": at}


WAITING = {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such\n image"}}}]}
UNPLACED = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}]}
MAKING = {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}
INIT = {"initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
        "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "says"),
    [(WAITING, "ErrImagePull: no such\n image"), (UNPLACED, "Unschedulable: no node"), (MAKING, ""),
     (INIT, "CrashLoopBackOff"), ({}, "")],
)  # fmt: skip
def test_a_pod_says_what_keeps_it(status: dict[str, Any], says: str) -> None:
    assert pod_trouble({"status": status}) == says


def test_a_deployment_owns_the_pods_of_its_replica_sets_only() -> None:
    assert belongs("Deployment", "web", pod("web-55d-x", "web-55d"))
    assert not belongs("Deployment", "web", pod("web-admin-55d-x", "web-admin-55d"))
    assert belongs("VirtualMachine", "db", pod("virt-launcher-db-x", "db", "VirtualMachineInstance"))
    assert belongs("ReplicaSet", "web-55d", pod("web-55d-x", "web-55d"))
    assert belongs("Pod", "p", pod("p")) and not belongs("Deployment", "p", pod("p"))


def test_a_pods_own_words_come_first_on_one_line() -> None:
    found = explain("Deployment", "web", [pod("web-1-x", "web-1", **WAITING)], [warning("Deployment", "web", "m", "2")])
    assert found == "ErrImagePull: no such image"


def test_the_newest_warning_of_the_object_or_its_pods() -> None:
    mine = [pod("web-1-x", "web-1")]
    events = [
        warning("Pod", "web-1-x", "probe failed", "2026-01-02T00:00:00Z", uid="uid-web-1-x"),
        warning("Deployment", "web", "older", "2026-01-01T00:00:00Z"),
        warning("Pod", "web-1-x", "of an earlier life", "2026-01-03T00:00:00Z", uid="gone"),
        warning("Pod", "other", "not mine", "2026-01-04T00:00:00Z"),
    ]
    assert explain("Deployment", "web", mine, events) == "Bad: probe failed"
    assert explain("Deployment", "else", mine, events) == ""


def test_a_data_volume_speaks_through_its_claim() -> None:
    events = [warning("PersistentVolumeClaim", "disk", "disk full", "2026-01-01T00:00:00Z")]
    assert explain("DataVolume", "disk", [], events) == "Bad: disk full"


def test_long_stories_are_cut() -> None:
    events = [warning("Pod", "p", "x" * 1000, "1")]
    assert len(explain("Pod", "p", [], events)) == 300
