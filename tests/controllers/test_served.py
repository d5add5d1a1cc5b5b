"""What stands for the engine itself."""

from __future__ import annotations

from dataclasses import replace

from vmpod.controllers import served as controller
from vmpod.controllers.bootstrap import NAMESPACES, STORAGE_CLASS
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import CDI, CDICONFIG, KUBEVIRT, NAMESPACE, NODE, POD, SERVICE, STORAGECLASS
from vmpod.kinds.kind import Kind
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.objects import node, node_status
from vmpod.testing.world import World

CONFIG = ControllerConfig(
    loadbalancer_cidr="10.9.0.0/24", node_names=("n1",), dns_address="10.96.0.10", api_service_address="10.96.0.1",
    api_port=7443,
)  # fmt: skip
CONTROLLERS = {controller: {"config": CONFIG}}


def world_of() -> World:
    world = World()
    world.put(NODE, node(), node_status())
    world.settle(CONTROLLERS)
    return world


def one(world: World, kind: Kind, namespace: str, name: str) -> Object:
    found = world.get(kind, namespace, name)
    assert found is not None, name
    return found


def test_pods_are_listed_running_on_the_node_and_marked() -> None:
    world = world_of()
    found = world.list(POD)
    assert {meta.namespace(pod) for pod in found} == {"kubevirt", "cdi", "kube-system"}
    assert {"virt-api", "virt-controller", "virt-handler-n1", "cdi-uploadproxy", "cdi-deployment", "dns"} <= {
        meta.name(pod) for pod in found}  # fmt: skip
    for pod in found:
        assert controller.is_served(pod)
        assert pod["spec"]["nodeName"] == "n1"
        assert pod["status"]["phase"] == "Running"
        assert conditions.is_true(pod["status"]["conditions"], "Ready")


def test_services_lead_to_them() -> None:
    world = world_of()
    assert one(world, SERVICE, "kube-system", "kube-dns")["spec"]["clusterIP"] == "10.96.0.10"
    assert one(world, SERVICE, "default", "kubernetes")["spec"]["clusterIP"] == "10.96.0.1"
    proxy = one(world, SERVICE, "cdi", "cdi-uploadproxy")["spec"]
    assert proxy["ports"][0]["targetPort"] == 7443
    pod = one(world, POD, "cdi", "cdi-uploadproxy")
    assert proxy["selector"].items() <= meta.labels(pod).items()


def test_the_operators_say_that_they_are_deployed() -> None:
    world = world_of()
    for found in (one(world, KUBEVIRT, "kubevirt", "kubevirt"), one(world, CDI, "", "cdi")):
        assert found["status"]["phase"] == "Deployed"
        assert conditions.is_true(found["status"]["conditions"], "Available")
    assert one(world, CDICONFIG, "", "config")["status"]["uploadProxyURL"]


def test_what_is_deleted_comes_back() -> None:
    world = world_of()
    world.delete(POD, "kubevirt", "virt-api")
    world.delete(KUBEVIRT, "kubevirt", "kubevirt")
    assert meta.is_deleting(one(world, POD, "kubevirt", "virt-api"))
    world.settle(CONTROLLERS)
    assert not meta.is_deleting(one(world, POD, "kubevirt", "virt-api"))
    assert one(world, KUBEVIRT, "kubevirt", "kubevirt")["status"]["phase"] == "Deployed"


def test_nothing_is_said_for_another_node() -> None:
    world = World()
    world.put(NODE, node("n2"), node_status())
    world.settle(CONTROLLERS)
    assert world.list(POD) == []


def test_everything_is_valid_by_the_apis_own_rules() -> None:
    world = world_of()
    for kind in (POD, SERVICE, KUBEVIRT, CDI, CDICONFIG):
        for found in world.list(kind):
            assert kind.validate(found, None) == [], meta.name(found)
    world.put(STORAGECLASS, STORAGE_CLASS)
    assert STORAGECLASS.validate(world.list(STORAGECLASS)[0], None) == []
    for name in NAMESPACES:
        made = world.put(NAMESPACE, {"metadata": {"name": name}})
        assert NAMESPACE.validate(made, None) == []


def test_a_further_node_has_a_handler_of_its_own_and_nothing_else() -> None:
    world = World()
    config = replace(CONFIG, node_names=("n1", "n1-2"))
    for each in config.node_names:
        world.put(NODE, node(each), node_status())
    world.settle({controller: {"config": config}})
    there = [meta.name(pod) for pod in world.list(POD) if meta.get(pod, "spec", "nodeName") == "n1-2"]
    assert there == ["virt-handler-n1-2"]


def config_of(world: World) -> Object:
    world.settle(CONTROLLERS)
    return one(world, CDICONFIG, "", "config")


def test_the_configuration_tells_what_is_so() -> None:
    world = world_of()
    own = config_of(world)["status"]
    assert own["uploadProxyURL"] == "https://127.0.0.1:7443" and own["filesystemOverhead"] == {"global": "0"}
    proxies = {"HTTPProxy": "http://p:1", "noProxy": "x"}
    world.update(CDICONFIG, "", "config", {"spec": {"uploadProxyURLOverride": "https://up", "importProxy": proxies}})
    told = config_of(world)["status"]
    assert (told["uploadProxyURL"], told["importProxy"]) == ("https://up", proxies)
    world.update(CDICONFIG, "", "config", {"spec": {"uploadProxyURLOverride": None, "importProxy": {"noProxy": None}}})
    told = config_of(world)["status"]
    assert (told["uploadProxyURL"], told["importProxy"]) == ("https://127.0.0.1:7443", {"HTTPProxy": "http://p:1"})


def test_what_the_cdi_says_of_the_configuration_is_so() -> None:
    world = world_of()
    world.update(CDICONFIG, "", "config", {"spec": {"insecureRegistries": ["mine"]}})
    assert config_of(world)["spec"] == {"insecureRegistries": ["mine"]}
    world.update(CDI, "", "cdi", {"spec": {"config": {"insecureRegistries": ["a"], "uploadProxyURLOverride": "https://up"}}})
    found = config_of(world)
    assert found["spec"] == {"insecureRegistries": ["a"], "uploadProxyURLOverride": "https://up"}
    assert found["status"]["uploadProxyURL"] == "https://up"
    world.update(CDI, "", "cdi", {"spec": {"config": {"uploadProxyURLOverride": None}}})
    assert config_of(world)["spec"] == {"insecureRegistries": ["a"]}
