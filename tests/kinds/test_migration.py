"""Which launcher a guest lives in, what cannot move, and what a migration and a policy may say."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import MIGRATIONPOLICY, VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.kinds.parts.migration import (
    JOB,
    active_launcher,
    is_active,
    is_awaiting,
    is_migrating,
    is_moving_unpaused,
    obstacle,
)
from vmpod.kinds.virtualmachineinstancemigration import FINALIZER
from vmpod.model.meta import Object

MOVING: Object = {"sourcePod": "old", "targetPod": "new"}


def vmi(**state: Any) -> Object:
    return {"status": {"migrationState": state} if state else {}}


def pod(name: str, job: str = "") -> Object:
    return {"metadata": {"name": name, "labels": {JOB: job} if job else {}}}


@pytest.mark.parametrize(
    ("state", "active", "moves"),
    [
        ({}, "", False),
        (MOVING, "old", True),
        (MOVING | {"completed": True}, "new", False),
        (MOVING | {"completed": True, "failed": True}, "old", False),
        (MOVING | {"failed": True}, "old", False),
    ],
)
def test_the_guest_lives_in_one_launcher(state: Object, active: str, moves: bool) -> None:
    machine = vmi(**state)
    assert active_launcher(machine) == active
    assert is_migrating(machine) is moves
    old, new = pod("old"), pod("new", "m1")
    assert [is_active(machine, one) for one in (old, new)] == [active in ("", "old"), active == "new"]
    assert is_awaiting(machine, new) is (active != "new")
    assert not is_awaiting(machine, old)


@pytest.mark.parametrize(("state", "paused", "moves"), [(MOVING, "", True), (MOVING, "True", False), ({}, "", False)])
def test_a_guest_that_stands_still_only_to_be_moved(state: Object, paused: str, moves: bool) -> None:
    machine = vmi(**state)
    machine["status"]["conditions"] = [{"type": "Paused", "status": paused}] if paused else []
    assert is_moving_unpaused(machine) is moves


def test_a_launcher_that_the_guest_has_left_counts_as_before() -> None:
    machine = vmi(**MOVING, completed=True)
    assert not is_active(machine, pod("old", "m0")) and not is_awaiting(machine, pod("old", "m0"))


@pytest.mark.parametrize(
    ("spec", "status", "reason"),
    [
        ({}, {}, ""),
        ({"volumes": [{"name": "d", "containerDisk": {"image": "x"}}]}, {}, ""),
        ({"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "x"}}]}, {}, ""),
        ({"volumes": [{"name": "d", "hostDisk": {"path": "/x"}}]}, {}, "DisksNotLiveMigratable"),
        ({"volumes": [{"name": "d", "hostDisk": {"path": "/x", "shared": True}}]}, {}, ""),
        ({"domain": {"devices": {"disks": [{"name": "d", "lun": {"reservation": True}}]}}}, {}, "DisksNotLiveMigratable"),
        ({}, {"volumeStatus": [{"name": "d", "hotplugVolume": {}}]}, ""),
        ({"domain": {"devices": {"tpm": {}}}}, {}, ""),
        ({"domain": {"devices": {"tpm": {"persistent": True}}}}, {}, "TPMNotLiveMigratable"),
        ({"domain": {"devices": {"tpm": {"enabled": False}}}}, {}, ""),
        ({"domain": {"devices": {"autoattachVSOCK": True}}}, {}, "VSOCKNotLiveMigratable"),
        ({"domain": {"devices": {"filesystems": [{"name": "f"}]}}}, {}, "VirtIOFSNotLiveMigratable"),
        ({"domain": {"devices": {"interfaces": [{"name": "n", "sriov": {}}]}}}, {}, "InterfaceNotLiveMigratable"),
        ({"domain": {"devices": {"interfaces": [{"name": "n", "masquerade": {}}]}}}, {}, ""),
    ],
)  # fmt: skip
def test_what_cannot_move(spec: Object, status: Object, reason: str) -> None:
    found = obstacle({"spec": spec, "status": status})
    assert (found or ("",))[0] == reason


def wish(**spec: Any) -> Object:
    return {"metadata": {"name": "m", "namespace": "d"}, "spec": {"vmiName": "orders", **spec}}


def test_a_new_migration_is_found_by_its_machine_and_can_be_cancelled() -> None:
    made = VIRTUALMACHINEINSTANCEMIGRATION.prepare_create(wish())
    assert made["metadata"]["labels"] == {"kubevirt.io/vmi-name": "orders"}
    assert made["metadata"]["finalizers"] == [FINALIZER]


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (wish(), None, []),
        (wish(vmiName=""), None, ["spec.vmiName"]),
        (wish(sendTo={"connectURL": "x"}), None, ["spec.sendTo"]),
        (wish(), wish(), []),
        (wish(vmiName="other"), wish(), ["spec"]),
    ],
)
def test_faults_of_a_migration(new: Object, old: Object | None, told: list[str]) -> None:
    assert [one.path for one in VIRTUALMACHINEINSTANCEMIGRATION.validate(new, old)] == told


@pytest.mark.parametrize(
    ("spec", "faults", "warnings"),
    [
        ({"bandwidthPerMigration": "1Gi", "completionTimeoutPerGiB": 5}, 0, 0),
        ({"bandwidthPerMigration": "-1", "completionTimeoutPerGiB": -5}, 2, 0),
        ({"allowPostCopy": True, "allowWorkloadDisruption": True}, 0, 2),
        ({"allowPostCopy": False}, 0, 0),
    ],
)
def test_faults_and_warnings_of_a_policy(spec: Object, faults: int, warnings: int) -> None:
    made = {"metadata": {"name": "p"}, "spec": spec}
    assert len(MIGRATIONPOLICY.validate(made, None)) == faults
    assert len(MIGRATIONPOLICY.warnings(made)) == warnings
