"""VirtualMachineClone: by way of a snapshot and a restore to another machine, and what differs in it."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.controllers import cloned, virtualmachineclone, virtualmachinerestore, virtualmachinesnapshot
from vmpod.kinds import (
    PERSISTENTVOLUMECLAIM,
    VIRTUALMACHINE,
    VIRTUALMACHINECLONE,
    VIRTUALMACHINERESTORE,
    VIRTUALMACHINESNAPSHOT,
)
from vmpod.model import conditions, meta
from vmpod.model.meta import Object, get, name
from vmpod.model.patch import json_patch
from vmpod.testing.objects import machine
from vmpod.testing.world import World

from .test_virtualmachinesnapshot import Node, new_world

CONTROLLERS: dict[ModuleType, dict[str, Any]] = {
    virtualmachineclone: {}, virtualmachinesnapshot: {}, virtualmachinerestore: {}}


def put_clone(world: World, source: str = "orders", kind: str = "VirtualMachine", **spec: Any) -> None:
    group = "snapshot.kubevirt.io" if kind.endswith("Snapshot") else "kubevirt.io"
    world.put(VIRTUALMACHINECLONE, {"metadata": {"name": "c", "namespace": "default"}, "spec": {
        "source": {"apiGroup": group, "kind": kind, "name": source}, **spec}})  # fmt: skip


def status(world: World) -> Object:
    return dict((world.get(VIRTUALMACHINECLONE, "default", "c") or {}).get("status") or {})


def cloned_world(**spec: Any) -> tuple[World, Node]:
    world, node = new_world()
    world.delete(VIRTUALMACHINESNAPSHOT, "default", "s")
    put_clone(world, **spec)
    world.settle(CONTROLLERS, node)
    return world, node


def reasons(world: World) -> list[str]:
    return [one.reason for one in world.notes if meta.get(one.about, "kind") == "VirtualMachineClone"]


def test_a_machine_becomes_another_and_nothing_is_left_between() -> None:
    world, node = cloned_world(target={"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "copy"})
    found = status(world)
    assert (found["phase"], found["targetName"]) == ("Succeeded", "copy") and found["creationTime"]
    assert "snapshotName" not in found and "restoreName" not in found
    assert conditions.is_true(found["conditions"], "Ready") and not conditions.is_true(found["conditions"], "Progressing")
    assert reasons(world) == ["SnapshotCreated", "RestoreCreated", "TargetVMCreated"]
    copy = world.get(VIRTUALMACHINE, "default", "copy") or {}
    claim = copy["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    held = world.get(PERSISTENTVOLUMECLAIM, "default", claim) or {}
    assert claim != "data" and held["metadata"]["ownerReferences"][0]["name"] == "copy"
    assert copy["spec"]["runStrategy"] == "Halted"
    for kind in (VIRTUALMACHINESNAPSHOT, VIRTUALMACHINERESTORE):
        assert world.list(kind) == []
    world.delete(VIRTUALMACHINE, "default", "copy")
    world.settle(CONTROLLERS, node)
    assert world.list(VIRTUALMACHINECLONE) == []


def test_a_clone_names_its_machine_and_its_claims_when_told_how() -> None:
    world, _ = cloned_world(volumeNamePolicy="PrefixTargetName")
    target = status(world)["targetName"]
    assert target.startswith("clone-orders-")
    assert world.get(PERSISTENTVOLUMECLAIM, "default", f"{target}-d") is not None


def test_a_snapshot_that_is_cloned_stays() -> None:
    world, node = new_world()
    world.settle(CONTROLLERS, node)
    put_clone(world, "s", "VirtualMachineSnapshot")
    world.settle(CONTROLLERS, node)
    assert status(world)["phase"] == "Succeeded"
    assert [name(one) for one in world.list(VIRTUALMACHINESNAPSHOT)] == ["s"]


def test_a_source_that_is_not_there_is_waited_for() -> None:
    world, node = cloned_world(source="later")
    told = conditions.find(status(world)["conditions"], "Progressing") or {}
    assert (told["reason"], told["message"]) == ("Pending", "VirtualMachine later does not exist in namespace default")
    assert reasons(world) == ["SourceDoesNotExist"]
    world.put(VIRTUALMACHINE, machine("later", runStrategy="Halted"))
    world.settle(CONTROLLERS, node)
    assert status(world)["phase"] == "Succeeded"


def test_a_machine_that_exists_is_not_overwritten() -> None:
    world, node = new_world()
    world.put(VIRTUALMACHINE, machine("copy"))
    put_clone(world, target={"kind": "VirtualMachine", "name": "copy"})
    world.settle(CONTROLLERS, node)
    assert status(world)["phase"] == "Failed" and "TargetVMExists" in reasons(world)
    assert [name(one) for one in world.list(VIRTUALMACHINESNAPSHOT)] == ["s"]


def test_a_snapshot_that_fails_or_goes_fails_it() -> None:
    world, node = new_world()
    node.stuck = True
    put_clone(world)
    for _ in range(8):
        world.turn(virtualmachineclone, ("default", "c"))
        for one in world.list(VIRTUALMACHINESNAPSHOT):
            world.turn(virtualmachinesnapshot, ("default", name(one)))
    assert status(world)["phase"] == "SnapshotInProgress"
    world.pass_time(400)
    world.settle(CONTROLLERS, node)
    assert status(world)["phase"] == "Failed" and "SnapshotNotCreated" in reasons(world)


MACHINE: Object = {
    "metadata": {"labels": {"a/x": "1", "b": "2"}, "annotations": {"n/y": "1", "m~z": "2"}},
    "spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"domain": {
        "firmware": {"serial": "s", "uuid": "u"},
        "devices": {"interfaces": [{"name": "one", "macAddress": "02:00:00:00:00:01"}, {"name": "two"}]}}}}}}


def patched(**spec: Any) -> Object:
    return json_patch(MACHINE, [json.loads(one) for one in cloned.patches({"spec": spec}, MACHINE)])


def test_addresses_and_serials_are_its_own() -> None:
    domain = patched()["spec"]["template"]["spec"]["domain"]
    assert domain == {"firmware": {}, "devices": {"interfaces": [{"name": "one"}, {"name": "two"}]}}
    given_ = patched(newMacAddresses={"two": "02:00:00:00:00:02"}, newSMBiosSerial="t")["spec"]["template"]["spec"]["domain"]
    assert given_["devices"]["interfaces"] == [{"name": "one"}, {"name": "two", "macAddress": "02:00:00:00:00:02"}]
    assert given_["firmware"] == {"serial": "t"}


@pytest.mark.parametrize(("filters", "kept"), [
    (None, ["a/x", "b"]), ([], []), (["*"], ["a/x", "b"]), (["*", "!a/*"], ["b"]), (["a/*"], ["a/x"]), (["!b"], []),
    (["a/x", "b"], ["a/x", "b"]),
])  # fmt: skip
def test_labels_are_filtered(filters: list[str] | None, kept: list[str]) -> None:
    spec = {} if filters is None else {"labelFilters": filters}
    assert sorted(patched(**spec)["metadata"]["labels"]) == kept


def test_all_four_maps_are_filtered_and_what_is_asked_comes_last() -> None:
    asked = json.dumps({"op": "add", "path": "/metadata/labels/app", "value": "copy"})
    made = patched(annotationFilters=["n/*"], template={"labelFilters": ["!app"]}, patches=[asked])
    assert made["metadata"]["annotations"] == {"n/y": "1"}
    assert get(made, "spec", "template", "metadata", "labels") == {}
    assert made["metadata"]["labels"]["app"] == "copy"


@given(st.dictionaries(st.text("ab/~.", min_size=1), st.just("v")), st.lists(st.text("ab/*!", min_size=2)))
def test_patches_always_apply(labels: dict[str, str], filters: list[str]) -> None:
    source = {"metadata": {"labels": labels}, "spec": {}}
    made = json_patch(source, [json.loads(one) for one in cloned.patches({"spec": {"labelFilters": filters}}, source)])
    assert set(made["metadata"]["labels"]) <= set(labels)
