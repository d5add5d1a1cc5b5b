"""Which node a pod gets, and why none."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.controllers import scheduler as controller
from vmpod.controllers.config import ControllerConfig
from vmpod.controllers.nodefit import Room, refusals, requests
from vmpod.controllers.podfit import AFFINITY, ANTI_AFFINITY, EXISTING, SPREAD
from vmpod.kinds import NODE, POD
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.objects import node, node_status, pod
from vmpod.testing.world import World

KEY = ("default", "web-1")
RULES = "requiredDuringSchedulingIgnoredDuringExecution"


def config(*, strict: bool = False) -> ControllerConfig:
    return ControllerConfig(loadbalancer_cidr="10.9.0.0/24", node_names=("n1",), strict_scheduling=strict)


def scheduled(*nodes: Object, strict: bool = False, **spec: Any) -> World:
    world = World()
    for one in nodes or (node(),):
        world.put(NODE, one, node_status())
    world.put(POD, pod(**spec))
    world.settle({controller: {"config": config(strict=strict)}})
    return world


def placed(world: World) -> str:
    return str(meta.get(world.get(POD, *KEY), "spec", "nodeName", default=""))


def told(world: World, type: str = "PodScheduled") -> tuple[str, str, str]:
    found = conditions.find(meta.get(world.get(POD, *KEY), "status", "conditions"), type) or {}
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def asks(**resources: str) -> list[Object]:
    return [{"name": "web", "image": "web:1", "resources": {"requests": resources}}]


def affinity(*expressions: Object) -> Object:
    return {"nodeAffinity": {RULES: {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}}}


def test_a_pod_is_bound_and_says_so() -> None:
    world = scheduled()
    assert placed(world) == "n1"
    assert told(world)[0] == "True"
    assert [note.message for note in world.notes] == ["Successfully assigned default/web-1 to n1"]


def test_a_label_that_no_node_carries_is_relaxed_loudly() -> None:
    world = scheduled(nodeSelector={"nested": "true"})
    assert placed(world) == "n1"
    assert told(world, "vmpod.io/Relaxed")[:2] == ("True", "NodeSelectorRelaxed")
    (warning,) = [note for note in world.notes if note.type == "Warning"]
    assert warning.reason == "NodeSelectorRelaxed"
    assert "nested" in warning.message


def test_strict_scheduling_obeys_it() -> None:
    world = scheduled(strict=True, nodeSelector={"nested": "true"})
    assert placed(world) == ""
    assert told(world)[0] == "False"


def test_a_known_label_of_another_value_is_obeyed() -> None:
    world = scheduled(node(zone="a"), nodeSelector={"zone": "b"})
    text = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    assert told(world) == ("False", "Unschedulable", text)
    assert [(note.reason, note.message) for note in world.notes] == [("FailedScheduling", text)]


def test_what_cannot_be_placed_is_looked_at_again_and_told_once() -> None:
    world = scheduled(node(zone="a"), nodeSelector={"zone": "b"})
    plan = world.turn(controller, KEY, config=config())
    assert plan is not None
    assert (plan.actions, plan.again_in, plan.events) == ((), 5.0, ())
    world.update(NODE, "", "n1", {"metadata": {"labels": {"zone": "b"}}})
    world.settle({controller: {"config": config()}})
    assert placed(world) == "n1"


def test_without_nodes_it_waits() -> None:
    world = World()
    world.put(POD, pod(nodeSelector={"nested": "true"}))
    world.settle({controller: {"config": config()}})
    assert told(world)[2] == "no nodes available to schedule pods"


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "In", "values": ["b"]}, False),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, False),
        ({"key": "cores", "operator": "Gt", "values": ["4"]}, True),
        ({"key": "cores", "operator": "Lt", "values": ["4"]}, False),
        ({"key": "nobody.has/this", "operator": "In", "values": ["x"]}, True),
        ({"key": "nobody.has/this", "operator": "DoesNotExist"}, True),
    ],
)
def test_required_affinity(expression: Object, fits: bool) -> None:
    assert bool(placed(scheduled(node(zone="a", cores="8"), affinity=affinity(expression)))) is fits


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        (None, False),
        ({"key": "only", "operator": "Equal", "value": "vms", "effect": "NoSchedule"}, True),
        ({"key": "only", "value": "pods", "effect": "NoSchedule"}, False),
        ({"key": "only", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "only", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_taints_are_obeyed(toleration: Object | None, fits: bool) -> None:
    tainted = node()
    tainted["spec"]["taints"] = [{"key": "only", "value": "vms", "effect": "NoSchedule"}]
    world = scheduled(tainted, tolerations=[toleration] if toleration else [])
    assert bool(placed(world)) is fits
    if not fits:
        assert told(world)[2] == "0/1 nodes are available: 1 node(s) had untolerated taint {only: vms}."


def test_a_cordoned_node_takes_nothing() -> None:
    cordoned = node()
    cordoned["spec"]["unschedulable"] = True
    assert told(scheduled(cordoned))[2] == "0/1 nodes are available: 1 node(s) were unschedulable."


@pytest.mark.parametrize(
    ("resources", "lack"), [({"memory": "9Gi"}, "memory"), ({"cpu": "5"}, "cpu")]
)
def test_there_must_be_room(resources: dict[str, str], lack: str) -> None:
    world = scheduled(containers=asks(**resources))
    assert told(world)[2] == f"0/1 nodes are available: 1 Insufficient {lack}."


def test_what_runs_takes_room_what_ended_gives_it_back() -> None:
    world = scheduled(containers=asks(memory="5Gi"))
    world.put(POD, pod("second", containers=asks(memory="5Gi")))
    world.settle({controller: {"config": config()}})
    assert meta.get(world.get(POD, "default", "second"), "spec", "nodeName") is None
    world.update(POD, *KEY, {"status": {"phase": "Succeeded"}}, "status")
    world.settle({controller: {"config": config()}})
    assert meta.get(world.get(POD, "default", "second"), "spec", "nodeName") == "n1"


def test_the_emptiest_node_is_taken() -> None:
    world = scheduled(node("n1"), node("n2"), containers=asks(memory="1Gi"))
    world.put(POD, pod("second", containers=asks(memory="1Gi")))
    world.settle({controller: {"config": config()}})
    assert placed(world) == "n1"
    assert meta.get(world.get(POD, "default", "second"), "spec", "nodeName") == "n2"


@pytest.mark.parametrize("spec", [{"schedulerName": "mine"}, {"nodeName": "n2"}, {"schedulingGates": [{"name": "g"}]}])
def test_pods_of_others_are_left_alone(spec: Object) -> None:
    world = scheduled(**spec)
    assert placed(world) == spec.get("nodeName", "")
    assert world.notes == []


def test_rules_that_need_several_nodes_are_not_dropped_silently() -> None:
    rule = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    world = scheduled(affinity={"podAntiAffinity": {RULES: [rule]}})
    assert placed(world) == "n1"
    assert "spec.affinity.podAntiAffinity" in world.notes[0].message


def test_the_largest_init_container_counts_when_it_is_more() -> None:
    made = pod(containers=asks(memory="1Gi", cpu="100m"))
    made["spec"]["initContainers"] = asks(memory="2Gi", cpu="50m")
    assert requests(made) == Room(100, 2 * 2**30, 1)


def test_limits_count_where_nothing_is_requested() -> None:
    made = pod(containers=[{"name": "web", "resources": {"limits": {"memory": "1Gi"}}}])
    assert requests(made).memory_bytes == 2**30


def test_a_node_that_has_not_told_its_room_takes_pods() -> None:
    assert refusals(pod(containers=asks(memory="1Ti")), node(), Room(), ()) == []


# several nodes


def crowd(*taken: tuple[Object, str], nodes: int = 3, **spec: Any) -> World:
    """Nodes n1, n2 … with pods on them, and one more pod to place."""
    world = World()
    for number in range(1, nodes + 1):
        world.put(NODE, node(f"n{number}"), node_status())
    for one, where in taken:
        one["spec"]["nodeName"] = where
        world.put(POD, one, {"phase": "Running"})
    world.put(POD, pod(**spec))
    world.settle({controller: {"config": config()}})
    return world


def near(app: str = "web", **more: Any) -> Object:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname", **more}


def test_anti_affinity_keeps_apart_where_there_are_several_nodes() -> None:
    apart = {"podAntiAffinity": {RULES: [near()]}}
    world = crowd((pod("a"), "n1"), (pod("b"), "n2"), affinity=apart)
    assert placed(world) == "n3"
    assert [note.reason for note in world.notes] == ["Scheduled"]
    full = crowd((pod("a"), "n1"), (pod("b"), "n2"), nodes=2, affinity=apart)
    assert told(full)[2] == f"0/2 nodes are available: 2 {ANTI_AFFINITY}."


def test_a_pod_keeps_away_from_those_that_want_no_company() -> None:
    lonely = pod("a", affinity={"podAntiAffinity": {RULES: [near()]}})
    assert placed(crowd((lonely, "n1"), nodes=2)) == "n2"
    world = crowd((lonely, "n1"), (pod("b", affinity=lonely["spec"]["affinity"]), "n2"), nodes=2)
    assert told(world)[2] == f"0/2 nodes are available: 2 {EXISTING}."


def test_affinity_goes_where_the_others_are() -> None:
    together = {"podAffinity": {RULES: [near("db")]}}
    assert placed(crowd((pod("db", "db"), "n2"), affinity=together)) == "n2"
    assert told(crowd(affinity=together))[2] == f"0/3 nodes are available: 3 {AFFINITY}."


def test_the_first_of_a_group_need_not_find_another() -> None:
    assert placed(crowd(affinity={"podAffinity": {RULES: [near()]}})) == "n1"


@pytest.mark.parametrize(
    ("scope", "fits"), [({}, True), ({"namespaces": ["other"]}, False), ({"namespaceSelector": {}}, False)]
)
def test_a_rule_is_about_the_namespaces_that_it_names(scope: Object, fits: bool) -> None:
    foreign = pod("a")
    foreign["metadata"]["namespace"] = "other"
    busy = [(pod(one, "db"), "n2") for one in "bc"]
    world = crowd((foreign, "n1"), *busy, nodes=2, affinity={"podAntiAffinity": {RULES: [near(**scope)]}})
    assert (placed(world) == "n1") is fits


def test_strict_spreading_is_obeyed() -> None:
    rule = near(maxSkew=1, whenUnsatisfiable="DoNotSchedule")
    world = crowd((pod("a"), "n1"), (pod("b"), "n3"), topologySpreadConstraints=[rule])
    assert placed(world) == "n2"
    only = {"kubernetes.io/hostname": "n1"}
    assert placed(crowd((pod("a"), "n1"), nodeSelector=only, topologySpreadConstraints=[rule])) == "n1"
    unique = near(maxSkew=1, minDomains=3, whenUnsatisfiable="DoNotSchedule")
    world = crowd((pod("a"), "n1"), (pod("b"), "n2"), nodes=2, topologySpreadConstraints=[unique])
    assert told(world)[2] == f"0/2 nodes are available: 2 {SPREAD}."


def test_nodes_of_one_machine_share_its_room() -> None:
    world = World()
    for one in ("n1", "n2"):
        world.put(NODE, node(one), node_status() | {"nodeInfo": {"machineID": "m"}})
    big = pod("big", containers=asks(memory="5Gi"))
    big["spec"]["nodeName"] = "n1"
    world.put(POD, big, {"phase": "Running"})
    world.put(POD, pod(containers=asks(memory="5Gi")))
    world.settle({controller: {"config": config()}})
    assert told(world)[2] == "0/2 nodes are available: 2 Insufficient memory."
