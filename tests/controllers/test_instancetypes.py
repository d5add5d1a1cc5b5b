"""A machine keeps the instance type and the preference that it was first seen with."""

from __future__ import annotations

from vmpod.controllers import virtualmachine
from vmpod.kinds import (
    CONTROLLERREVISION,
    VIRTUALMACHINE,
    VIRTUALMACHINECLUSTERINSTANCETYPE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINEPREFERENCE,
)
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.objects import machine
from vmpod.testing.world import World

KEY = ("default", "orders")
MATCHERS: Object = {
    "instancetype": {"name": "two"}, "preference": {"name": "quick", "kind": "VirtualMachinePreference"},
}


def bare() -> Object:
    made = machine(**MATCHERS, volumes=({"name": "root", "containerDisk": {"image": "a"}},))
    del made["spec"]["template"]["spec"]["domain"]["memory"]
    return made


def put_types(world: World) -> None:
    size = {"cpu": {"guest": 2}, "memory": {"guest": "128Mi"}}
    world.put(VIRTUALMACHINECLUSTERINSTANCETYPE, {"metadata": {"name": "two"}, "spec": size})
    likes = {"devices": {"preferredDiskBus": "virtio"}}
    world.put(VIRTUALMACHINEPREFERENCE, {"metadata": {"name": "quick", "namespace": "default"}, "spec": likes})


def settle(world: World) -> None:
    world.settle({virtualmachine: {}}, lambda: None)


def instance(world: World) -> Object:
    found = world.get(VIRTUALMACHINEINSTANCE, *KEY)
    assert found is not None
    return found


def of_machine(world: World, *path: str) -> Object:
    found: Object = meta.get(world.get(VIRTUALMACHINE, *KEY), *path, default={})
    return found


def test_the_instance_has_what_both_say() -> None:
    world = World()
    put_types(world)
    world.put(VIRTUALMACHINE, bare())
    settle(world)
    domain = instance(world)["spec"]["domain"]
    assert (domain["cpu"]["sockets"], domain["memory"]["guest"]) == (2, "128Mi")
    assert domain["devices"]["disks"] == [{"name": "root", "disk": {"bus": "virtio"}}]
    told = meta.annotations(instance(world))
    assert told["kubevirt.io/cluster-instancetype-name"] == "two" and told["kubevirt.io/preference-name"] == "quick"
    kept = {meta.name(one): one for one in world.list(CONTROLLERREVISION)}
    for field, kind in (("instancetypeRef", "VirtualMachineClusterInstancetype"), ("preferenceRef", "VirtualMachinePreference")):
        revision = kept[of_machine(world, "status", field)["controllerRevisionRef"]["name"]]
        assert revision["data"]["kind"] == kind and meta.labels(revision)["instancetype.kubevirt.io/object-kind"] == kind
        assert meta.controller_of(revision) is not None
    assert "memory" not in of_machine(world, "spec", "template", "spec", "domain")


def test_a_later_edit_or_removal_changes_nothing() -> None:
    world = World()
    put_types(world)
    world.put(VIRTUALMACHINE, bare())
    settle(world)
    first = of_machine(world, "status")
    world.update(VIRTUALMACHINECLUSTERINSTANCETYPE, "", "two", {"spec": {"cpu": {"guest": 7}}})
    world.delete(VIRTUALMACHINEPREFERENCE, "default", "quick")
    settle(world)
    assert of_machine(world, "status") == first and len(world.list(CONTROLLERREVISION)) == 3  # and one of the start
    world.delete(VIRTUALMACHINEINSTANCE, *KEY)
    found = instance(world)
    world.update(VIRTUALMACHINEINSTANCE, *KEY, {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"], "finalizers": []}})
    settle(world)
    assert instance(world)["spec"]["domain"]["cpu"]["sockets"] == 2


def test_another_type_asks_for_a_restart() -> None:
    world = World()
    put_types(world)
    world.put(VIRTUALMACHINE, bare())
    settle(world)
    size = {"cpu": {"guest": 1}, "memory": {"guest": "64Mi"}}
    world.put(VIRTUALMACHINECLUSTERINSTANCETYPE, {"metadata": {"name": "one"}, "spec": size})
    world.update(VIRTUALMACHINE, *KEY, {"spec": {"instancetype": {"name": "one"}}})
    settle(world)
    assert of_machine(world, "status", "instancetypeRef")["name"] == "one"
    assert conditions.is_true(meta.get(world.get(VIRTUALMACHINE, *KEY), "status", "conditions"), "RestartRequired")
    assert instance(world)["spec"]["domain"]["cpu"]["sockets"] == 2


def test_what_is_missing_is_told_and_waited_for() -> None:
    world = World()
    world.put(VIRTUALMACHINE, bare())
    settle(world)
    failed = conditions.find(meta.get(world.get(VIRTUALMACHINE, *KEY), "status", "conditions"), "Failure") or {}
    assert failed["reason"] == "FailedFindInstancetype"
    assert failed["message"] == 'virtualmachineclusterinstancetypes.instancetype.kubevirt.io "two" not found'
    assert world.list(VIRTUALMACHINEINSTANCE) == []
    put_types(world)
    settle(world)
    assert instance(world)["spec"]["domain"]["cpu"]["sockets"] == 2


def test_a_type_that_came_to_contradict_the_machine() -> None:
    world = World()
    put_types(world)
    made = bare()
    made["spec"]["template"]["spec"]["domain"]["cpu"] = {"cores": 4}
    world.put(VIRTUALMACHINE, made)
    settle(world)
    failed = conditions.find(meta.get(world.get(VIRTUALMACHINE, *KEY), "status", "conditions"), "Failure") or {}
    assert failed["message"] == (
        "error encountered while storing instancetype.kubevirt.io controllerRevisions: VM field(s) "
        "spec.template.spec.domain.cpu.cores conflicts with selected instance type")
    assert world.list(VIRTUALMACHINEINSTANCE) == [] and world.list(CONTROLLERREVISION) == []
