"""Several nodes on one machine: pods spread over them, cordon, drain, and fewer nodes again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..conftest import Kubectl
from ..e2e.conftest import product
from ..e2e.product import Product, wait
from .pods import apply, container

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def home(host: None, kubectl: Kubectl) -> Iterator[Product]:
    """A home whose machine stands for three nodes."""
    with product(kubectl) as made:
        made.vmpod("engine", "stop")
        made.vmpod("engine", "start", "--nodes", "3")
        yield made


def spread(replicas: int) -> dict[str, Any]:
    """A Deployment whose pods want a node each."""
    rule = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}
    inside = {"containers": [container()], "affinity": apart, "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": inside}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def nodes(home: Product) -> list[str]:
    return [one["metadata"]["name"] for one in home.read("nodes")["items"]]


def homes_of_pods(home: Product) -> list[str]:
    """The nodes of the pods that run, sorted."""
    return sorted(one["spec"]["nodeName"] for one in home.pods("web") if one["status"].get("phase") == "Running"
                  and "deletionTimestamp" not in one["metadata"])  # fmt: skip


def test_pods_that_keep_apart_get_a_node_each(home: Product) -> None:
    wait(lambda: len(nodes(home)) == 3, "three nodes", 20)
    apply(home, spread(3))
    wait(lambda: homes_of_pods(home) == nodes(home), "a pod on every node", 60)


def test_a_drained_node_is_empty_and_takes_nothing(home: Product) -> None:
    first, second, third = nodes(home)
    apply(home, spread(2))
    wait(lambda: len(homes_of_pods(home)) == 2, "two pods", 30)
    said = home.kubectl("drain", third, "--timeout=60s").stdout
    assert f"node/{third} drained" in said
    assert f"{third}   Ready,SchedulingDisabled" in home.kubectl("get", "nodes").stdout
    wait(lambda: homes_of_pods(home) == [first, second], "the pods run on the other nodes", 60)


def test_a_node_in_use_stays_and_an_empty_one_goes(home: Product) -> None:
    first, second, third = nodes(home)
    home.vmpod("engine", "stop")
    refused = home.vmpod("engine", "start", "--nodes", "1", check=False)
    assert refused.returncode == 1
    assert f"cannot start the engine with 1 node: node {second} runs the pod default/web-" in refused.stderr
    assert f"kubectl drain {second}" in refused.stderr
    home.vmpod("engine", "start")
    assert nodes(home) == [first, second, third]
    home.vmpod("engine", "stop")
    home.vmpod("engine", "start", "--nodes", "2")
    assert nodes(home) == [first, second]
    wait(lambda: homes_of_pods(home) == [first, second], "the pods go on", 30)
