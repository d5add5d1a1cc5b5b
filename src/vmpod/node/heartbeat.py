"""A node of this machine as a Node object, and the Lease that says it is alive."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from vmpod.base import log
from vmpod.base.clock import Clock, rfc3339, rfc3339_micro
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.client import Client
from vmpod.drivers.host.facts import HostFacts
from vmpod.kinds import LEASE, NAMESPACE, NODE
from vmpod.model import conditions, meta, quantity
from vmpod.model.meta import Object
from vmpod.model.status import ApiError

LEASE_NAMESPACE = "kube-node-lease"
RENEW_S, LEASE_S = 10.0, 40
STATUS_S = 300.0
KUBELET_VERSION = "v1.35.0"
_PODS = 500
_MACHINE_SLOTS = 1000  # how many machines may use a device at once, as KubeVirt's device plugin says
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_log = log.get("node")


class Heartbeat:
    """Registers the node and keeps its Lease fresh."""

    def __init__(
        self, client: Client, paths: Paths, facts: HostFacts, clock: Clock, *, node_name: str, addresses: Sequence[str],
        labels: Mapping[str, str], settled: Callable[[], Awaitable[HostFacts]] | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self._paths = paths
        self._facts = facts
        self._settled = settled
        self._clock = clock
        self._name = node_name
        self._addresses = tuple(addresses)
        self._labels = dict(labels)
        self._tasks = Tasks()

    async def start(self) -> None:
        """Register the node. Raises ApiError when the API refuses."""
        await self._register()
        self._tasks.start(self._beat(), "node lease")
        if self._settled is not None:
            self._tasks.start(self._complete(self._settled), "facts of the node")

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _complete(self, settled: Callable[[], Awaitable[HostFacts]]) -> None:
        """Tell what was still being tried when the node registered."""
        facts = await settled()
        if facts != self._facts:
            self._facts = facts
            await self._register()

    async def _beat(self) -> None:
        since_status = 0.0
        while True:
            try:
                await self._renew()
                if since_status >= STATUS_S:
                    since_status = 0.0
                    await self._register()
            except ApiError as error:
                _log.warning("node %s: %s", self._name, error)
            await asyncio.sleep(RENEW_S)
            since_status += RENEW_S

    async def _register(self) -> None:
        """Labels of other people stay; those that this engine was told once and is no more are theirs now."""
        try:
            node = await self._client.get(NODE, "", self._name)
        except ApiError as error:
            if error.code != 404:
                raise
            wanted = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name}, "spec": {}}
            node = await self._client.create(NODE, wanted)
        labels = node_labels(self._name, self._facts) | self._labels
        if not labels.items() <= meta.labels(node).items():
            node = await self._client.patch(NODE, "", self._name, {"metadata": {"labels": labels}})
        disk = shutil.disk_usage(self._paths.home).total if self._paths.home.exists() else 0
        status = node_status(node, self._facts, self._name, self._addresses, disk, self._clock.now())
        await self._client.patch(NODE, "", self._name, {"status": status}, subresource="status")

    async def _renew(self) -> None:
        now = rfc3339_micro(self._clock.now())
        patch = {"spec": {"renewTime": now, "holderIdentity": self._name, "leaseDurationSeconds": LEASE_S}}
        try:
            await self._client.patch(LEASE, LEASE_NAMESPACE, self._name, patch)
        except ApiError as error:
            if error.code != 404:
                raise
            await self._make_lease(now)

    async def _make_lease(self, now: str) -> None:
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": LEASE_S, "acquireTime": now, "renewTime": now}
        lease = {
            "apiVersion": LEASE.api_version, "kind": "Lease",
            "metadata": {"namespace": LEASE_NAMESPACE, "name": self._name}, "spec": spec,
        }  # fmt: skip
        try:
            await self._client.create(LEASE, lease)
        except ApiError as error:
            if error.code != 404:
                raise
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}}
            await self._client.create(NAMESPACE, space)
            await self._client.create(LEASE, lease)


def architecture(facts: HostFacts) -> str:
    """The architecture as Kubernetes (Go) names it."""
    return _ARCHITECTURES.get(facts.architecture, facts.architecture)


def node_labels(name: str, facts: HostFacts) -> dict[str, str]:
    """The labels every node has, and those by which KubeVirt finds nodes for machines."""
    arch = architecture(facts)
    return {
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": arch,
        "kubevirt.io/schedulable": "true",
    }  # fmt: skip


def roles(number: int) -> dict[str, str]:
    """The role label of the first node, which the API is told to run on; further ones only work."""
    return {"node-role.kubernetes.io/control-plane": ""} if number == 0 else {}


def node_status(node: Object, facts: HostFacts, name: str, addresses: Sequence[str], disk_bytes: int,
                now: datetime) -> Object:  # fmt: skip
    """The status of a kubelet that is well (kubelet's nodestatus setters)."""
    memory = quantity.format_bytes(facts.memory_bytes // 1024 * 1024)
    capacity = {
        "cpu": str(facts.cpus), "memory": memory, "pods": str(_PODS), "ephemeral-storage": str(disk_bytes),
        "hugepages-2Mi": "0", "devices.kubevirt.io/tun": str(_MACHINE_SLOTS),
        "devices.kubevirt.io/vhost-net": "0",
        "devices.kubevirt.io/kvm": str(_MACHINE_SLOTS if facts.has_kvm else 0),
    }  # fmt: skip
    return {
        "capacity": capacity, "allocatable": dict(capacity), "conditions": _conditions(node, now),
        "addresses": [*({"type": "InternalIP", "address": one} for one in addresses),
                      {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": _node_info(facts),
    }  # fmt: skip


def _conditions(node: Object, now: datetime) -> list[Object]:
    found = meta.get(node, "status", "conditions", default=[])
    wanted = (
        ("MemoryPressure", False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", False, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", False, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", True, "KubeletReady", "kubelet is posting ready status"),
    )
    for type, is_true, reason, message in wanted:
        found = conditions.set_condition(found, type, is_true, reason, message, now, lastHeartbeatTime=rfc3339(now))
    return list(found)


def _node_info(facts: HostFacts) -> Object:
    uuid = Path("/sys/class/dmi/id/product_uuid")
    try:
        system = uuid.read_text().strip()
    except OSError:
        system = facts.machine_id
    return {
        "machineID": facts.machine_id, "systemUUID": system, "bootID": facts.boot_id,
        "kernelVersion": facts.kernel, "osImage": facts.os_name,
        "containerRuntimeVersion": f"podman://{facts.podman_version}", "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": architecture(facts),
    }  # fmt: skip
