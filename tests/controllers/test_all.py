"""All controllers at once, on the real API and store, and as kubectl sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from vmpod import controllers
from vmpod.api import auth
from vmpod.api.app import Api
from vmpod.api.server import serve
from vmpod.base.clock import SystemClock, now, rfc3339
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client import kubeconfig
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.controllers.all import CONTROLLERS, start_all
from vmpod.controllers.bootstrap import bootstrap
from vmpod.controllers.config import ControllerConfig
from vmpod.controllers.served import is_served
from vmpod.kinds import (
    DEPLOYMENT,
    ENDPOINTSLICE,
    EVENT,
    KINDS,
    NAMESPACE,
    NODE,
    POD,
    REPLICASET,
    SERVICE,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
)
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.reconcile.events import Recorder
from vmpod.store import Store
from vmpod.testing.leaks import assert_no_tasks
from vmpod.testing.objects import condition, deployment, machine, node, node_status, service

if TYPE_CHECKING:
    from tests.conftest import Kubectl

CONFIG = ControllerConfig(loadbalancer_cidr="10.9.0.0/24", node_names=("n1",), dns_address="10.96.0.10")
_PATIENCE_S = 10.0


class Engine:
    """The API, its controllers, and a node that only pretends."""

    def __init__(self, api: Api, client: Client, cache: Cache) -> None:
        self.api = api
        self.client = client
        self.cache = cache
        self._addresses: dict[str, str] = {}

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something is seen in the cache."""
        async with asyncio.timeout(_PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.01)

    async def pretend(self) -> None:
        """Be the node, for ever."""
        while True:
            await self._run_pods()
            await asyncio.sleep(0.01)

    async def _run_pods(self) -> None:
        for pod in self.cache.list(POD):
            if is_served(pod) or not meta.get(pod, "spec", "nodeName"):
                continue
            if meta.is_deleting(pod):
                await self.client.delete(POD, meta.namespace(pod), meta.name(pod), uid=meta.uid(pod), grace_s=0)
            elif meta.get(pod, "status", "phase") != "Running":
                await self._start(pod)
        for vmi in self.cache.list(VIRTUALMACHINEINSTANCE):
            if meta.get(vmi, "status", "phase") == "Scheduled":
                status = {"phase": "Running", "conditions": [condition("Ready")]}
                await self._write(VIRTUALMACHINEINSTANCE, vmi, status)

    async def _start(self, pod: Object) -> None:
        ip = self._addresses.setdefault(meta.uid(pod), f"10.2.0.{len(self._addresses) + 1}")
        ready = condition("Ready") | {"lastTransitionTime": rfc3339(now())}
        found = [*meta.get(pod, "status", "conditions", default=[]), ready]
        await self._write(POD, pod, {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": found})

    async def _write(self, kind: object, obj: Object, status: Object) -> None:
        await self.client.patch(kind, meta.namespace(obj), meta.name(obj), {"status": status}, subresource="status")  # type: ignore[arg-type]

    def status(self, kind: object, name: str, *path: str | int) -> object:
        return meta.get(self.cache.get(kind, "default", name), "status", *path)  # type: ignore[arg-type]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    store = Store.open(tmp_path / "store.db")
    api = Api(store)
    client = Client(InProcess(api, User("system:vmpod", ("system:masters", "system:authenticated"))))
    cache = Cache(client, KINDS)
    await bootstrap(client)
    await bootstrap(client)
    await cache.start()
    loops = start_all(client, cache, lambda component: Recorder(client, component, "n1"), SystemClock(), CONFIG)
    await client.create(NODE, node())
    await client.patch(NODE, "", "n1", {"status": node_status()}, subresource="status")
    made, tasks = Engine(api, client, cache), Tasks()
    tasks.start(made.pretend(), "node")
    yield made
    await tasks.stop()
    for loop in loops:
        await loop.stop()
    await cache.stop()
    await store.close()
    await assert_no_tasks()


async def test_containers_and_a_machine_come_up_side_by_side_and_go(engine: Engine) -> None:
    await engine.client.create(DEPLOYMENT, deployment(replicas=2))
    await engine.client.create(SERVICE, service(type="LoadBalancer"))
    await engine.client.create(VIRTUALMACHINE, machine())
    await engine.until(lambda: engine.status(DEPLOYMENT, "web", "availableReplicas") == 2)
    await engine.until(lambda: engine.status(VIRTUALMACHINE, "orders", "printableStatus") == "Running")
    await engine.until(lambda: engine.status(SERVICE, "web", "loadBalancer", "ingress"))
    await engine.until(lambda: [len(one["endpoints"]) for one in engine.cache.list(ENDPOINTSLICE, "default")] == [2])
    reasons = {event["reason"] for event in engine.cache.list(EVENT, "default")}
    assert {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "EnsuredLoadBalancer"} <= reasons
    assert "ReconcileError" not in reasons

    await engine.client.delete(DEPLOYMENT, "default", "web")
    await engine.client.delete(VIRTUALMACHINE, "default", "orders")
    kinds = (DEPLOYMENT, REPLICASET, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE)
    await engine.until(lambda: not any(engine.cache.list(kind) for kind in kinds))
    await engine.until(lambda: not engine.cache.keys(POD, "default"))


async def test_a_namespace_ends_with_all_that_runs_in_it(engine: Engine) -> None:
    await engine.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    for kind, obj in ((DEPLOYMENT, deployment()), (VIRTUALMACHINE, machine())):
        obj["metadata"]["namespace"] = "shop"
        await engine.client.create(kind, obj)
    await engine.until(lambda: len(engine.cache.keys(POD, "shop")) == 3)
    await engine.client.delete(NAMESPACE, "", "shop")
    await engine.until(lambda: engine.cache.get(NAMESPACE, "", "shop") is None)
    assert engine.cache.keys(POD, "shop") == []


@pytest.fixture
async def outside(engine: Engine, tmp_path: Path) -> AsyncIterator[Path]:
    """A kubeconfig that reaches the engine over TLS."""
    paths = Paths(tmp_path / "home")
    paths.create()
    pki = await auth.ensure_pki(paths)
    serving = await serve(engine.api, "127.0.0.1", 0, auth.server_context(pki))
    files = (pki.ca.read_bytes(), pki.client_cert.read_bytes(), pki.client_key.read_bytes())
    kubeconfig.write(paths.kubeconfig, kubeconfig.document(f"https://127.0.0.1:{serving.port}", *files))
    yield paths.kubeconfig
    await serving.stop()


@pytest.mark.host
async def test_kubectl_rolls_out_and_back(engine: Engine, outside: Path, kubectl: Kubectl) -> None:
    async def kube(*arguments: str) -> str:
        done = await asyncio.to_thread(kubectl.run, "--kubeconfig", str(outside), *arguments)
        return done.stdout

    await engine.client.create(DEPLOYMENT, deployment())
    assert "successfully rolled out" in await kube("rollout", "status", "deployment/web", "--timeout=10s")
    await kube("set", "image", "deployment/web", "web=web:2")
    assert "successfully rolled out" in await kube("rollout", "status", "deployment/web", "--timeout=10s")
    history = await kube("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    await kube("rollout", "undo", "deployment/web")
    await kube("rollout", "status", "deployment/web", "--timeout=10s")
    images = [pod["spec"]["containers"][0]["image"] for pod in engine.cache.list(POD, "default") if not meta.is_deleting(pod)]
    assert images == ["web:1", "web:1"]
    await kube("rollout", "restart", "deployment/web")
    await kube("rollout", "status", "deployment/web", "--timeout=10s")
    await kube("scale", "deployment/web", "--replicas=3")
    await kube("wait", "--for=condition=Available", "deployment/web", "--timeout=10s")
    described = await kube("describe", "deployment", "web")
    assert "Scaled up replica set" in described
    assert "NewReplicaSetAvailable" in described
    await kube("delete", "deployment", "web", "--cascade=foreground", "--timeout=10s")
    assert engine.cache.keys(POD, "default") == []


def test_every_controller_has_the_same_five_names() -> None:
    for one in CONTROLLERS:
        names = ("KIND", "Seen", "gather", "plan", "status")
        assert all(hasattr(one, name) for name in names), one.__name__
        assert hasattr(one, "WATCHES") or hasattr(one, "watches"), one.__name__


def test_the_tuple_lists_every_controller_of_the_package() -> None:
    folder = Path(controllers.__file__).parent
    written = {path.stem for path in folder.glob("*.py") if "\nKIND = " in path.read_text()}
    assert written == {one.__name__.rpartition(".")[2] for one in CONTROLLERS}


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda one: one.__name__.rpartition(".")[2])
def test_a_controller_is_no_longer_than_can_be_read(controller: ModuleType) -> None:
    assert len(Path(str(controller.__file__)).read_text().splitlines()) <= 250
