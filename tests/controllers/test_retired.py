"""Which nodes go when the engine starts with fewer."""

from __future__ import annotations

import pytest

from vmpod.base.errors import Problem
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.controllers import retired
from vmpod.kinds import LEASE, NODE, POD
from vmpod.model.meta import name
from vmpod.testing.api import FakeApi
from vmpod.testing.objects import node, pod


@pytest.mark.parametrize(
    ("found", "gone"),
    [("host", False), ("host-2", False), ("host-3", True), ("host-10", False), ("other-3", False), ("host-3-x", False)],
)
def test_only_numbered_nodes_of_ours_go(found: str, gone: bool) -> None:
    assert retired.is_retired(found, ("host", "host-2")) is gone


def client_of() -> Client:
    return Client(InProcess(FakeApi((LEASE, NODE, POD)), User("system:vmpod", ("system:masters",))))


async def test_an_empty_node_goes_with_what_stood_for_the_engine() -> None:
    client = client_of()
    for one in ("host", "host-2", "friend"):
        await client.create(NODE, node(one))
    served = pod("virt-handler-host-2", nodeName="host-2")
    served["metadata"]["annotations"] = {"vmpod.io/served-by": "engine"}
    await client.create(POD, served)
    await retired.remove(client, ("host",))
    assert [name(one) for one in (await client.list(NODE)).items] == ["friend", "host"]
    assert (await client.list(POD)).items == []


async def test_a_node_in_use_is_not_forgotten() -> None:
    client = client_of()
    for one in ("host", "host-2"):
        await client.create(NODE, node(one))
    await client.create(POD, pod(nodeName="host-2"))
    with pytest.raises(Problem) as refused:
        await retired.remove(client, ("host",))
    assert str(refused.value).startswith("cannot start the engine with 1 node: node host-2 runs the pod default/web-1")
    assert "--nodes 2" in refused.value.fix and "kubectl drain host-2" in refused.value.fix
    assert len((await client.list(NODE)).items) == 2
