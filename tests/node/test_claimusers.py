"""One machine at a time writes the disk of a claim."""

from __future__ import annotations

import pytest

from vmpod.model.meta import Object
from vmpod.node.claimusers import blocked_by, elsewhere, is_read_only, sole_user

CLAIM: Object = {"persistentVolumeClaim": {"claimName": "data"}}
READS: Object = {"persistentVolumeClaim": {"claimName": "data", "readOnly": True}}
LAYER: Object = {"ephemeral": {"persistentVolumeClaim": {"claimName": "data"}}}
FILLED: Object = {"dataVolume": {"name": "data"}}


def launcher(machine: str, *, at: int, phase: str = "Pending", claim: str = "data") -> Object:
    made = f"2026-01-01T00:00:0{at}Z"
    return {"metadata": {"name": f"virt-launcher-{machine}", "uid": machine, "creationTimestamp": made,
                         "labels": {"kubevirt.io": "virt-launcher"}},
            "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}]},
            "status": {"phase": phase}}  # fmt: skip


def blocked(mine: Object, theirs: Object, other: Object, *, at: int = 5) -> str:
    machines = {"a": {"metadata": {"name": "a"}, "spec": {"volumes": [mine]}},
                "b": {"metadata": {"name": "b"}, "spec": {"volumes": [theirs]}}}  # fmt: skip
    pod = launcher("a", at=at)
    return blocked_by("data", pod, [pod, other], lambda one: machines.get(one["metadata"]["uid"]))


@pytest.mark.parametrize(("mine", "theirs", "waits"), [
    (CLAIM, CLAIM, True), (FILLED, CLAIM, True), (READS, CLAIM, True), (CLAIM, LAYER, True), (LAYER, FILLED, True),
    (READS, READS, False), (LAYER, LAYER, False), (LAYER, READS, False),
])  # fmt: skip
def test_a_writer_is_alone(mine: Object, theirs: Object, waits: bool) -> None:
    assert blocked(mine, theirs, launcher("b", at=1)) == ("the machine b" if waits else "")


@pytest.mark.parametrize(("at", "phase", "waits"), [
    (1, "Pending", True), (9, "Pending", False), (9, "Running", True), (1, "Succeeded", False), (1, "Failed", False),
])  # fmt: skip
def test_it_waits_for_who_came_before_and_for_who_runs(at: int, phase: str, waits: bool) -> None:
    assert blocked(CLAIM, CLAIM, launcher("b", at=at, phase=phase)) == ("the machine b" if waits else "")


def test_of_two_that_wait_for_each_other_exactly_one_goes_on() -> None:
    first, second = launcher("a", at=3), launcher("b", at=3)
    waits = [blocked_by("data", pod, [first, second], lambda _: None) for pod in (first, second)]
    assert sorted(map(bool, waits)) == [False, True]


def test_another_claim_is_nobodys_business() -> None:
    assert blocked(CLAIM, {"persistentVolumeClaim": {"claimName": "other"}}, launcher("b", at=1, claim="other")) == ""


def test_a_claim_that_was_plugged_in_later_is_in_use() -> None:
    assert blocked(CLAIM, CLAIM, launcher("b", at=1, claim="other")) == "the machine b"


def reader(*, at: int = 1, phase: str = "Pending", read_only: bool = False, mount_read_only: bool = False) -> Object:
    made = launcher("reader", at=at, phase=phase)
    made["metadata"] |= {"name": "reader", "labels": {}}
    made["spec"]["volumes"][0]["persistentVolumeClaim"]["readOnly"] = read_only
    made["spec"]["containers"] = [{"volumeMounts": [{"name": "d", "mountPath": "/d", "readOnly": mount_read_only}]}]
    return made


@pytest.mark.parametrize(("mine", "other", "waits"), [
    (CLAIM, reader(), True), (CLAIM, reader(at=9), True), (READS, reader(), True), (CLAIM, reader(read_only=True), True),
    (READS, reader(read_only=True), False), (LAYER, reader(mount_read_only=True), False),
    (CLAIM, reader(phase="Succeeded"), False),
])  # fmt: skip
def test_a_machine_waits_for_a_pod_to_which_the_disk_is_shown(mine: Object, other: Object, waits: bool) -> None:
    machines = {"a": {"metadata": {"name": "a"}, "spec": {"volumes": [mine]}}}
    pod, instance_of = launcher("a", at=5), lambda one: machines.get(one["metadata"]["uid"])
    assert blocked_by("data", pod, [pod, other], instance_of, holders={"reader"}) == ("the pod reader" if waits else "")
    assert blocked_by("data", pod, [pod, other], instance_of) == "", "it has the claim's folder only"


@pytest.mark.parametrize(("pod", "theirs", "read_only", "waits"), [
    (reader(at=5), CLAIM, False, True), (reader(at=5), READS, False, True), (reader(at=5), READS, True, False),
    (reader(at=5, read_only=True), READS, False, False), (reader(at=5, read_only=True), CLAIM, False, True),
])  # fmt: skip
def test_a_pod_waits_for_a_machine(pod: Object, theirs: Object, read_only: bool, waits: bool) -> None:
    vmi = {"metadata": {"name": "b"}, "spec": {"volumes": [theirs]}}
    found = blocked_by("data", pod, [pod, launcher("b", at=1)], lambda one: vmi if one["metadata"]["uid"] == "b" else None,
                       read_only=read_only)  # fmt: skip
    assert found == ("the machine b" if waits else "")


def sole(name: str, *, at: int, phase: str = "Pending", claim: str = "data", owner: str = "") -> Object:
    made = launcher(name, at=at, phase=phase, claim=claim)
    if owner:
        made["metadata"] |= {"ownerReferences": [{"uid": owner, "controller": True}], "labels": {"kubevirt.io": "virt-launcher"}}
    return made


@pytest.mark.parametrize(
    ("pod", "other", "waits"),
    [
        (sole("a", at=5), sole("b", at=1), True), (sole("a", at=5), sole("b", at=9), False), (sole("a", at=5), sole("b", at=9, phase="Running"), True),
        (sole("a", at=5), sole("b", at=1, phase="Succeeded"), False), (sole("a", at=5), sole("b", at=1, claim="other"), False),
        (sole("a", at=5, phase="Running"), sole("b", at=1), False), (sole("a", at=5, owner="vmi"), sole("b", at=1, owner="vmi"), False),
        (sole("a", at=5, owner="vmi"), sole("b", at=1, owner="other"), True),
    ],
)  # fmt: skip
def test_one_pod_has_a_claim_of_its_own(pod: Object, other: Object, waits: bool) -> None:
    alone = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOncePod"]}}
    assert sole_user(alone, pod, [pod, other]) == ("virt-launcher-b" if waits else "")
    assert sole_user({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}, pod, [pod, other]) == ""


def on(node: str, pod: Object, owner: str = "") -> Object:
    pod["spec"]["nodeName"] = node
    if owner:
        pod["metadata"]["ownerReferences"] = [{"kind": "VirtualMachineInstance", "uid": owner, "controller": True}]
    return pod


@pytest.mark.parametrize(("modes", "node", "owner", "phase", "waits"), [
    (["ReadWriteOnce"], "n2", "", "Running", True), (["ReadWriteOnce"], "n1", "", "Running", False),
    (["ReadWriteMany"], "n2", "", "Running", False), (["ReadWriteOnce", "ReadWriteMany"], "n2", "", "Running", False),
    (["ReadWriteOnce"], "n2", "", "Succeeded", False), (["ReadWriteOnce"], "n2", "one", "Running", False),
])  # fmt: skip
def test_a_claim_of_one_node(modes: list[str], node: str, owner: str, phase: str, waits: bool) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": modes}}
    pod, other = on("n1", launcher("a", at=5), owner), on(node, launcher("b", at=1, phase=phase), owner)
    assert elsewhere(claim, pod, [pod, other]) == ("virt-launcher-b" if waits else "")


def test_a_claim_that_nobody_writes_is_everybodys() -> None:
    machines = {one: {"metadata": {"name": one}, "spec": {"volumes": [CLAIM]}} for one in ("a", "b")}
    pods = [launcher("a", at=5), launcher("b", at=1, phase="Running")]
    assert blocked_by("data", pods[0], pods, lambda one: machines.get(one["metadata"]["uid"]), read_only=True) == ""
    assert is_read_only({"spec": {"accessModes": ["ReadOnlyMany"]}})
    assert not is_read_only({"spec": {"accessModes": ["ReadOnlyMany", "ReadWriteOnce"]}}) and not is_read_only({})
