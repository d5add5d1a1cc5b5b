"""Pools and replica sets of machines: numbers, templates, revisions, what goes first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.controllers import virtualmachineinstancereplicaset as replicas
from vmpod.controllers import virtualmachinepool as pools
from vmpod.controllers.poolmachines import REVISION
from vmpod.kinds import (
    CONTROLLERREVISION,
    DATAVOLUME,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
    VIRTUALMACHINEINSTANCEREPLICASET,
    VIRTUALMACHINEPOOL,
)
from vmpod.model import meta
from vmpod.model.meta import Object, owner_reference
from vmpod.testing.objects import condition
from vmpod.testing.world import World

LABELS = {"app": "web"}


def pool(**spec: Any) -> Object:
    volumes = [
        {"name": "disk", "dataVolume": {"name": "disk"}}, {"name": "cm", "configMap": {"name": "cm"}},
        {"name": "secret", "secret": {"secretName": "s"}}, {"name": "ci", "cloudInitNoCloud": {"secretRef": {"name": "u"}}},
    ]
    inside = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}, "volumes": volumes}
    machine = {"runStrategy": "Always", "template": {"metadata": {"labels": LABELS}, "spec": inside},
               "dataVolumeTemplates": [{"metadata": {"name": "disk"}, "spec": {"source": {"blank": {}}}}]}
    template = {"metadata": {"labels": LABELS}, "spec": machine}
    return {"metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "virtualMachineTemplate": template, **spec}}


def settle(world: World) -> None:
    world.settle({pools: {}}, lambda: None)


def names(world: World) -> list[str]:
    return [meta.name(vm) for vm in world.list(VIRTUALMACHINE)]


def change(world: World, **spec: Any) -> None:
    world.update(VIRTUALMACHINEPOOL, "default", "web", {"spec": spec})
    settle(world)


def start(world: World, vm: Object, *, is_ready: bool = True) -> None:
    """An instance of a machine as its controller makes it, running."""
    labels = meta.labels(vm["spec"]["template"])
    made = {"metadata": {"name": meta.name(vm), "namespace": "default", "labels": labels}, "spec": {"domain": {}}}
    world.put(VIRTUALMACHINEINSTANCE, made, {"phase": "Running", "conditions": [condition("Ready", is_ready)]})


def test_machines_are_numbered_and_have_disks_of_their_own() -> None:
    world = World()
    world.put(VIRTUALMACHINEPOOL, pool(nameGeneration={"appendIndexToConfigMapRefs": True, "appendIndexToSecretRefs": True}))
    settle(world)
    assert names(world) == ["web-0", "web-1"]
    vm = world.get(VIRTUALMACHINE, "default", "web-1")
    assert vm is not None and meta.labels(vm) == {**LABELS, REVISION: "web-1"} == meta.labels(vm["spec"]["template"])
    assert vm["spec"]["dataVolumeTemplates"][0]["metadata"]["name"] == "disk-1"
    volumes = vm["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["dataVolume"]["name"] == "disk-1" and volumes[1]["configMap"]["name"] == "cm-1"
    assert volumes[2]["secret"]["secretName"] == "s-1" and volumes[3]["cloudInitNoCloud"]["secretRef"]["name"] == "u-1"
    found = world.get(VIRTUALMACHINEPOOL, "default", "web")
    assert meta.get(found, "status") == {"replicas": 2, "readyReplicas": 0, "labelSelector": "app=web"}
    (revision,) = world.list(CONTROLLERREVISION)
    assert meta.name(revision) == "web-1" and revision["data"]["replicas"] == 2


def test_names_that_are_taken_are_left_out() -> None:
    world = World()
    spec = {"runStrategy": "Halted", "template": {"spec": {"domain": {}}}}
    world.put(VIRTUALMACHINE, {"metadata": {"name": "web-0", "namespace": "default"}, "spec": spec})
    world.put(VIRTUALMACHINEPOOL, pool())
    settle(world)
    assert names(world) == ["web-0", "web-1", "web-2"]


@pytest.mark.parametrize(("policy", "left"), [
    ("AscendingOrder", ["web-2"]), ("DescendingOrder", ["web-0"]), ("Oldest", ["web-2"]), ("Newest", ["web-0"]),
])
def test_which_machines_go_first(policy: str, left: list[str]) -> None:
    world = World()
    world.put(VIRTUALMACHINEPOOL, pool(replicas=3, scaleInStrategy={"proactive": {"selectionPolicy": {"sortPolicy": policy}}}))
    settle(world)
    change(world, replicas=1)
    assert names(world) == left
    change(world, replicas=2)
    assert len(names(world)) == 2


def test_only_selected_machines_go() -> None:
    never: Object = {"proactive": {"selectionPolicy": {"selectors": {"labelSelector": {"matchLabels": {"app": "other"}}}}}}
    strategies: tuple[Object, ...] = (never, {"unmanaged": {}}, {"opportunistic": {}})
    for strategy in strategies:
        world = World()
        world.put(VIRTUALMACHINEPOOL, pool(scaleInStrategy=strategy))
        settle(world)
        change(world, replicas=0)
        assert len(names(world)) == 2


def test_disks_may_outlive_their_machines() -> None:
    world = World()
    world.put(VIRTUALMACHINEPOOL, pool(replicas=1, scaleInStrategy={"proactive": {"statePreservation": "Offline"}}))
    settle(world)
    (vm,) = world.list(VIRTUALMACHINE)
    meta_ = {"name": "disk-0", "namespace": "default", "ownerReferences": [owner_reference(vm)]}
    world.put(DATAVOLUME, {"metadata": meta_, "spec": {"source": {"blank": {}}}})
    change(world, replicas=0)
    (kept,) = world.list(DATAVOLUME)
    assert names(world) == [] and meta.owner_references(kept) == []


def with_memory(memory: str) -> Object:
    inside = {"spec": {"domain": {"memory": {"guest": memory}}}}
    return {"virtualMachineTemplate": {"spec": {"template": inside}}}


def running(maximum: Any = None, **spec: Any) -> World:
    """A pool of three machines whose instances are ready."""
    world = World()
    world.put(VIRTUALMACHINEPOOL, pool(replicas=3, **({"maxUnavailable": maximum} if maximum else {}), **spec))
    settle(world)
    for vm in world.list(VIRTUALMACHINE):
        start(world, vm)
    return world


@pytest.mark.parametrize(("maximum", "stay"), [(None, 0), (1, 2), ("50%", 2), ("67%", 1)])
def test_instances_of_an_old_template_end_a_few_at_a_time(maximum: Any, stay: int) -> None:
    world = running(maximum)
    change(world, **with_memory("128Mi"))
    assert {vm["spec"]["template"]["spec"]["domain"]["memory"]["guest"] for vm in world.list(VIRTUALMACHINE)} == {"128Mi"}
    assert len(world.list(VIRTUALMACHINEINSTANCE)) == stay
    while len(world.list(VIRTUALMACHINEINSTANCE)) < 3 or len(world.list(CONTROLLERREVISION)) > 1:
        held = {meta.name(one) for one in world.list(VIRTUALMACHINEINSTANCE)}
        for vm in world.list(VIRTUALMACHINE):
            if meta.name(vm) not in held:
                start(world, vm)
        settle(world)
    assert {meta.labels(one)[REVISION] for one in world.list(VIRTUALMACHINEINSTANCE)} == {"web-2"}


@pytest.mark.parametrize(("strategy", "memory"), [({"opportunistic": {}}, "128Mi"), ({"unmanaged": {}}, "64Mi")])
def test_strategies_that_restart_nothing(strategy: Object, memory: str) -> None:
    world = running(updateStrategy=strategy)
    change(world, **with_memory("128Mi"))
    assert {vm["spec"]["template"]["spec"]["domain"]["memory"]["guest"] for vm in world.list(VIRTUALMACHINE)} == {memory}
    assert len(world.list(VIRTUALMACHINEINSTANCE)) == 3


def test_a_scaling_makes_no_revision_and_what_only_machines_have_restarts_nothing() -> None:
    world = running()
    change(world, replicas=4)
    assert [meta.name(one) for one in world.list(CONTROLLERREVISION)] == ["web-1"]
    before = {meta.uid(one) for one in world.list(VIRTUALMACHINEINSTANCE)}
    change(world, virtualMachineTemplate={"metadata": {"annotations": {"x": "y"}}})
    assert {meta.uid(one) for one in world.list(VIRTUALMACHINEINSTANCE)} == before
    assert {meta.labels(one)[REVISION] for one in world.list(VIRTUALMACHINEINSTANCE)} == {"web-3"}


def test_other_disks_need_another_machine() -> None:
    world = running()
    uids = {meta.uid(vm) for vm in world.list(VIRTUALMACHINE)}
    template = {"metadata": {"name": "disk"}, "spec": {"source": {"blank": {}}, "preallocation": True}}
    world.update(VIRTUALMACHINEPOOL, "default", "web", {"spec": {"virtualMachineTemplate": {"spec": {"dataVolumeTemplates": [template]}}}})
    for _ in range(3):
        for vm in world.list(VIRTUALMACHINE):  # the machines' controller lets go of them
            if meta.is_deleting(vm):
                world.update(VIRTUALMACHINE, "default", meta.name(vm), {"metadata": {"finalizers": []}})
        settle(world)
    assert not uids & {meta.uid(vm) for vm in world.list(VIRTUALMACHINE)}


def test_a_paused_pool_says_so_and_rests() -> None:
    world = World()
    world.put(VIRTUALMACHINEPOOL, pool(paused=True))
    settle(world)
    found = world.get(VIRTUALMACHINEPOOL, "default", "web")
    assert names(world) == [] and [one["type"] for one in meta.get(found, "status", "conditions")] == ["ReplicaPaused"]
    change(world, paused=False)
    assert len(names(world)) == 2 and "conditions" not in meta.get(world.get(VIRTUALMACHINEPOOL, "default", "web"), "status")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["64Mi", "128Mi"])), min_size=1, max_size=5))
def test_a_pool_always_gets_to_its_wish(wishes: list[tuple[int, str]]) -> None:
    world = World()
    world.put(VIRTUALMACHINEPOOL, pool())
    for replicas_, memory in wishes:
        settle(world)
        change(world, replicas=replicas_, **with_memory(memory))
        assert len(names(world)) == replicas_ and len(world.list(CONTROLLERREVISION)) <= 1 + bool(replicas_)
        for vm in world.list(VIRTUALMACHINE):
            assert vm["spec"]["template"]["spec"]["domain"]["memory"]["guest"] == memory


# --- replica sets ---


def replicaset(**spec: Any) -> Object:
    template = {"metadata": {"labels": LABELS}, "spec": {"domain": {"memory": {"guest": "64Mi"}}}}
    return {"metadata": {"name": "rs", "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template, **spec}}


def replicate(world: World, **spec: Any) -> list[Object]:
    if spec:
        world.update(VIRTUALMACHINEINSTANCEREPLICASET, "default", "rs", {"spec": spec})
    world.settle({replicas: {}}, lambda: end_leaving(world))
    return world.list(VIRTUALMACHINEINSTANCE)


def end_leaving(world: World) -> None:
    """The instances' controller lets go of those that are to end."""
    for one in world.list(VIRTUALMACHINEINSTANCE):
        if meta.is_deleting(one):
            world.update(VIRTUALMACHINEINSTANCE, "default", meta.name(one), {"metadata": {"finalizers": []}})


def test_as_many_instances_as_wished() -> None:
    world = World()
    world.put(VIRTUALMACHINEINSTANCEREPLICASET, replicaset())
    first, second = replicate(world)
    assert meta.labels(first) == LABELS and meta.name(first).startswith("rs-")
    ready = {"phase": "Running", "conditions": [condition("Ready")]}
    world.update(VIRTUALMACHINEINSTANCE, "default", meta.name(second), {"status": ready}, "status")
    assert [meta.name(one) for one in replicate(world, replicas=1)] == [meta.name(second)]
    found = world.get(VIRTUALMACHINEINSTANCEREPLICASET, "default", "rs")
    assert meta.get(found, "status") == {"replicas": 1, "readyReplicas": 1, "labelSelector": "app=web"}
    world.update(VIRTUALMACHINEINSTANCE, "default", meta.name(second), {"status": {"phase": "Failed"}}, "status")
    (third,) = replicate(world)
    assert meta.name(third) != meta.name(second)
    assert len(replicate(world, paused=True, replicas=5)) == 1


def test_an_instance_of_nobody_is_adopted() -> None:
    world = World()
    made = {"metadata": {"name": "lone", "namespace": "default", "labels": LABELS}, "spec": {"domain": {}}}
    world.put(VIRTUALMACHINEINSTANCE, made)
    world.put(VIRTUALMACHINEINSTANCEREPLICASET, replicaset())
    found = {meta.name(one): meta.controller_of(one) for one in replicate(world)}
    assert len(found) == 2 and found["lone"] is not None
