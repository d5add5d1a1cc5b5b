"""What is refused of snapshots and restores."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import VIRTUALMACHINERESTORE, VIRTUALMACHINESNAPSHOT
from vmpod.kinds.virtualmachinesnapshot import default

VM = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "db"}


def paths(kind: Any, spec: object, old: object = None) -> list[str]:
    meta = {"name": "one", "namespace": "default"}
    before = None if old is None else {"metadata": meta, "spec": old}
    return [one.path for one in kind.validate({"metadata": meta, "spec": spec}, before)]


@pytest.mark.parametrize(("spec", "refused"), [
    ({"source": VM}, []),
    ({"source": VM, "failureDeadline": "1m30s"}, []),
    ({"source": VM, "failureDeadline": "soon"}, ["spec.failureDeadline"]),
    ({"source": {**VM, "apiGroup": "apps"}}, ["spec.source.apiGroup"]),
    ({"source": {**VM, "kind": "Pod"}}, ["spec.source.kind"]),
])  # fmt: skip
def test_snapshots(spec: object, refused: list[str]) -> None:
    assert paths(VIRTUALMACHINESNAPSHOT, spec) == refused


@pytest.mark.parametrize(("more", "refused"), [
    ({}, []),
    ({"targetReadinessPolicy": "StopTarget", "volumeRestorePolicy": "RandomizeNames", "volumeOwnershipPolicy": "None"}, []),
    ({"targetReadinessPolicy": "Now"}, ["spec.targetReadinessPolicy"]),
    ({"volumeRestorePolicy": "InPlace"}, []),
    ({"volumeRestoreOverrides": [{"volumeName": "d", "labels": {"a": "b"}}, {"restoreName": "x"}, {"volumeName": "e"}]},
     ["spec.volumeRestoreOverrides[1].volumeName", "spec.volumeRestoreOverrides[2]"]),
    ({"volumeRestorePolicy": "Other"}, ["spec.volumeRestorePolicy"]),
    ({"volumeOwnershipPolicy": "Pod"}, ["spec.volumeOwnershipPolicy"]),
    ({"volumeRestorePolicy": "PrefixTargetName", "patches": ['{"op": "remove", "path": "/a"}']}, []),
    ({"patches": ["{}", "{", '{"op": "remove", "path": "/a"}']},
     ["spec.patches[0]", "spec.patches[1]"]),
    ({"target": {**VM, "kind": "Pod"}}, ["spec.target.kind"]),
])  # fmt: skip
def test_restores(more: dict[str, Any], refused: list[str]) -> None:
    assert paths(VIRTUALMACHINERESTORE, {"target": VM, "virtualMachineSnapshotName": "s", **more}) == refused


@pytest.mark.parametrize("kind", [VIRTUALMACHINESNAPSHOT, VIRTUALMACHINERESTORE])
def test_a_spec_does_not_change(kind: Any) -> None:
    assert paths(kind, {"source": VM, "target": VM}, {"source": {**VM, "name": "x"}, "target": VM}) == ["spec"]


def test_defaults() -> None:
    assert default({"spec": {}})["spec"] == {"failureDeadline": "5m", "deletionPolicy": "Delete"}
