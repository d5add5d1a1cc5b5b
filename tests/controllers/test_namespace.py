"""What a namespace has, and its end."""

from __future__ import annotations

from vmpod.controllers import garbage
from vmpod.controllers import namespace as controller
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import CONFIGMAP, NAMESPACE, REPLICASET, SERVICEACCOUNT
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.world import World

CONFIG = ControllerConfig(loadbalancer_cidr="10.9.0.0/24", node_names=("n1",), ca_pem="CERTIFICATE")
CONTROLLERS = {controller: {"config": CONFIG}, garbage: {}}


def world_of() -> World:
    world = World()
    world.put(NAMESPACE, {"metadata": {"name": "shop"}})
    world.settle(CONTROLLERS)
    return world


def present(world: World) -> Object:
    found = world.get(NAMESPACE, "", "shop")
    assert found is not None
    return found


def test_it_has_an_account_and_the_certificate() -> None:
    world = world_of()
    assert world.keys(SERVICEACCOUNT) == (("shop", "default"),)
    found = world.get(CONFIGMAP, "shop", "kube-root-ca.crt")
    assert found is not None
    assert found["data"] == {"ca.crt": "CERTIFICATE"}
    assert present(world)["status"]["phase"] == "Active"


def test_what_is_deleted_or_changed_comes_back() -> None:
    world = world_of()
    world.delete(SERVICEACCOUNT, "shop", "default")
    world.update(CONFIGMAP, "shop", "kube-root-ca.crt", {"data": {"ca.crt": "forged"}})
    world.settle(CONTROLLERS)
    assert world.keys(SERVICEACCOUNT) == (("shop", "default"),)
    assert meta.get(world.get(CONFIGMAP, "shop", "kube-root-ca.crt"), "data", "ca.crt") == "CERTIFICATE"


def test_its_end_takes_everything_in_it_and_nothing_else() -> None:
    world = world_of()
    world.put(CONFIGMAP, {"metadata": {"name": "mine", "namespace": "shop"}})
    world.put(CONFIGMAP, {"metadata": {"name": "mine", "namespace": "other"}})
    world.delete(NAMESPACE, "", "shop")
    world.settle(CONTROLLERS)
    assert world.list(NAMESPACE) == []
    assert world.keys(CONFIGMAP) == (("other", "mine"),)
    assert world.list(SERVICEACCOUNT) == []


def test_owners_go_before_what_they_control() -> None:
    world = world_of()
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}}}
    owner = world.put(REPLICASET, {"metadata": {"name": "owner", "namespace": "shop"}, "spec": spec})
    meta_of_child = {"name": "child", "namespace": "shop", "ownerReferences": [meta.owner_reference(owner)]}
    world.put(CONFIGMAP, {"metadata": meta_of_child})
    world.delete(NAMESPACE, "", "shop")
    world.turn(controller, ("", "shop"), config=CONFIG)
    assert world.list(REPLICASET) == []
    assert ("shop", "child") in world.keys(CONFIGMAP)
    world.settle(CONTROLLERS)
    assert world.list(NAMESPACE) == []


def test_what_holds_it_up_is_told() -> None:
    world = world_of()
    world.put(CONFIGMAP, {"metadata": {"name": "stuck", "namespace": "shop", "finalizers": ["example.com/wait"]}})
    world.delete(NAMESPACE, "", "shop")
    world.settle(CONTROLLERS)
    status = present(world)["status"]
    assert status["phase"] == "Terminating"
    remaining = conditions.find(status["conditions"], "NamespaceContentRemaining") or {}
    assert remaining["message"] == "Some resources are remaining: configmaps has 1 resource instances"
    held = conditions.find(status["conditions"], "NamespaceFinalizersRemaining") or {}
    assert "example.com/wait in 1 resource instances" in held["message"]
