"""The node agent: registers this machine's nodes and brings every pod bound to them to what its object says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from vmpod.base import log
from vmpod.base.clock import Clock, SystemClock
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.tasks import Tasks
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.net.attachments import Attachment
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.container import Container
from vmpod.drivers.podman.logs import Wanted
from vmpod.kinds import CONFIGMAP, POD, SECRET, VIRTUALMACHINEINSTANCE
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node import adopt, pods, shown
from vmpod.node.actions import NodePlan
from vmpod.node.endings import Endings
from vmpod.node.heartbeat import Heartbeat, roles
from vmpod.node.memory import Memories
from vmpod.node.notices import Notices
from vmpod.node.observed import Observed
from vmpod.node.probes import Probes
from vmpod.node.pulls import Pulls
from vmpod.node.seen import Seen, find_container, is_launcher, is_terminal
from vmpod.node.status.pod import status
from vmpod.node.work import MachineStore, Net, Tools, VolumeStore, Work
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Key, Loop, Watch, key_of

SERVED_BY = "vmpod.io/served-by"  # pods that stand for parts of the engine: nothing is run for them
_MESSAGE_BYTES = 4096
_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048
_SWEEP_S = 60.0
_RENEW_S = 20.0
_log = log.get("node")


class Agent:
    """All nodes of this machine, which share podman, network and volumes.

    The cache must hold Pod, Node, ConfigMap, Secret, Service, ServiceAccount and VMI, and be started.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        podman: Podman,
        network: Net,
        machines: MachineStore,
        volumes: VolumeStore,
        paths: Paths,
        facts: HostFacts,
        node_names: Sequence[str],
        *,
        host_ip: str = "",
        node_labels: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        settled: Callable[[], Awaitable[HostFacts]] | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.cache = cache
        self.podman = podman
        self.node_names = tuple(node_names)
        self.host_ip = host_ip or network.config.gateway
        self._network = network
        self._paths = paths
        self._volumes = volumes
        recorder = Recorder(client, "kubelet", self.node_names[0], self.clock)
        self.memories = Memories()
        self.notices = Notices(recorder)
        self.observed = Observed(podman, self._container_changed)
        self._pulls = Pulls(podman, cache, self.notices, self.clock, self.look_at)
        self._probes = Probes(podman, self.notices, self.look_at)
        self._endings = Endings(podman, self.observed, self.memories, self.notices, machines, self.clock, self.look_at)
        tools = Tools(
            client=client, cache=cache, podman=podman, network=network, machines=machines, volumes=volumes,
            observed=self.observed, memories=self.memories, notices=self.notices, pulls=self._pulls,
            probes=self._probes, endings=self._endings, paths=paths, facts=facts, clock=self.clock,
            host_ip=self.host_ip,
        )  # fmt: skip
        self._work = Work(tools, self.look_at)
        self._loop: Loop[Seen, NodePlan] = Loop(
            "pods", POD, (Watch(POD, self._own), Watch(VIRTUALMACHINEINSTANCE, found=self._launchers)),
            self.gather, pods.plan, status, self._work.apply, cache, client, recorder, self.clock, workers=8,
        )  # fmt: skip
        six = (network.config.gateway6,) if network.config.block6 else ()
        self._heartbeats = [
            Heartbeat(client, paths, facts, self.clock, node_name=name, addresses=(self.host_ip, *six),
                      labels=roles(number) | dict(node_labels or {}), settled=settled)
            for number, name in enumerate(self.node_names)
        ]  # fmt: skip
        self._tasks = Tasks()

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Register, find what runs already, clean up what belongs to nobody, then follow the objects.

        Raises ApiError when the node cannot be registered, Problem when podman does not answer.
        """
        self.notices.start()
        await asyncio.gather(*(one.start() for one in self._heartbeats), self.observed.start())
        adopt.recognize(self.observed, self.memories)
        await adopt.repair_network(self.cache, self._network, self.is_ours)
        self.cache.subscribe(CONFIGMAP, self._config_changed)
        self.cache.subscribe(SECRET, self._config_changed)
        self._loop.start()
        for key in self.observed.pods().values():
            self._loop.enqueue(key)
        self._tasks.start(self._sweep(), "sweep")
        self._tasks.start(self._renew(), "tokens")

    async def stop(self) -> None:
        """Stop looking after pods; they run on."""
        await self._loop.stop()
        await self._tasks.stop()
        await self._work.stop()
        await self._endings.stop()
        await self._pulls.stop()
        await self._probes.stop_all()
        await self.observed.stop()
        await asyncio.gather(*(one.stop() for one in self._heartbeats))
        await self.notices.stop()

    def enqueue(self, key: Key) -> None:
        """Look at a pod soon."""
        self._loop.enqueue(key)

    def attachments(self) -> list[Attachment]:
        """The pods on the network."""
        return self._network.attachments()

    def look_at(self, pod: Object) -> None:
        """Look at this pod soon."""
        self._loop.enqueue(key_of(pod))

    def look_up(self, pod_uid: str) -> None:
        """Look at the pod with this uid soon, if it is known here."""
        if (key := self.memories.key(pod_uid)) is not None:
            self._loop.enqueue(key)

    async def _sweep(self) -> None:
        """Nothing of a pod may outlive its object; the loop sees to that, and this to what it missed."""
        suspects: set[str] = set()
        while True:
            found = adopt.orphans(self.cache, self.observed, self._network.attachments(), self._paths)
            await adopt.sweep(found & suspects if suspects else self._abandoned(found), self._work.clean_up)
            suspects = found
            await asyncio.sleep(_SWEEP_S)

    def _abandoned(self, found: set[str]) -> set[str]:
        """Those that no look at a name will find."""
        return {uid for uid in found if self.memories.key(uid) is None}

    # --- what concerns this node ------------------------------------------------------------------------

    def is_ours(self, pod: Object) -> bool:
        """Whether the pod is bound to a node of ours and is one to run."""
        if meta.get(pod, "spec", "nodeName") not in self.node_names:
            return False
        return SERVED_BY not in meta.annotations(pod)

    def _own(self, pod: Object) -> Iterable[Key]:
        return (key_of(pod),) if self.is_ours(pod) else ()

    def _launchers(self, vmi: Object, cache: Cache) -> Iterable[Key]:
        return [key_of(pod) for pod in cache.owned(POD, meta.uid(vmi))]

    def _container_changed(self, one: Container) -> None:
        key = self.memories.key(one.pod_uid) or self.observed.pods().get(one.pod_uid)
        if key is not None:
            self.memories.know(one.pod_uid, key)
            self._loop.enqueue(key)

    def _config_changed(self, type: str, held: Object) -> None:
        """Volumes made of an object follow it while the pod runs (kubelet: within its sync period)."""
        if type != "MODIFIED":
            return
        name = meta.name(held)
        for pod in self.cache.list(POD, meta.namespace(held)):
            if self.is_ours(pod) and not is_terminal(pod) and _mounts(pod, name):
                self._tasks.start(self._refresh(pod), f"volumes of {meta.name(pod)}")

    async def _renew(self) -> None:
        """Tokens in volumes are replaced before they end."""
        while True:
            await asyncio.sleep(_RENEW_S)
            for uid in tuple(self._volumes.outdated()):
                key = self.memories.key(uid)
                pod = self.cache.get(POD, *key) if key else None
                if pod is not None and meta.uid(pod) == uid and not is_terminal(pod):
                    await self._refresh(pod)

    async def _refresh(self, pod: Object) -> None:
        try:
            await self._volumes.refresh(pod)
        except Problem as problem:
            _log.warning("volumes of %s: %s", meta.name(pod), problem)

    # --- what is seen -----------------------------------------------------------------------------------

    async def gather(self, key: Key, cache: Cache, now: datetime) -> Seen | None:
        """Everything about the pods of one name; None when there is nothing of them."""
        pod = cache.get(POD, *key)
        if pod is not None and not self.is_ours(pod):
            pod = None
        uid = meta.uid(pod) if pod else ""
        if uid:
            self.memories.know(uid, key)
        leftovers = tuple(one for one in self.memories.uids(key) if one != uid)
        if pod is None:
            return Seen(now, None, leftovers=leftovers) if leftovers else None
        containers = self.observed.of(uid)
        await self._read_messages(pod, containers)
        return Seen(
            now, pod, containers, attachment=self._work.attachment(uid), memory=self.memories.of(uid).snapshot(),
            probes=self._probes.states([one.id for one in containers]), leftovers=leftovers,
            machine=self._machine(pod), host_ip=self.host_ip, has_disks=shown.has(self._paths, uid),
            lost_disk=shown.is_lost(self._paths, uid),
        )  # fmt: skip

    def _machine(self, pod: Object) -> Object | None:
        owner = meta.controller_of(pod) if is_launcher(pod) else None
        if owner is None:
            return None
        return self.cache.get(VIRTUALMACHINEINSTANCE, meta.namespace(pod), str(owner.get("name", "")))

    async def _read_messages(self, pod: Object, containers: Iterable[Container]) -> None:
        """The last words of containers that have ended, read once."""
        notes = self.memories.of(meta.uid(pod))
        for one in containers:
            if one.has_exited and one.id not in notes.messages and not is_launcher(pod):
                notes.messages[one.id] = await self._message(pod, one)

    async def _message(self, pod: Object, one: Container) -> str:
        container = find_container(pod, one.container)
        path = one.mounts.get(str(container.get("terminationMessagePath") or "/dev/termination-log"), "")
        text = await asyncio.to_thread(_read, Path(path)) if path else ""
        fallback = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if text or not fallback or one.exit_code == 0:
            return text
        pieces = [piece async for piece in self.podman.logs(one, Wanted(tail=_FALLBACK_LINES))]
        return b"".join(pieces)[-_FALLBACK_BYTES:].decode(errors="replace")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MESSAGE_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _mounts(pod: Object, name: str) -> bool:
    """Whether a volume of the pod may be made of an object of this name."""
    for volume in meta.get(pod, "spec", "volumes", default=()):
        sources = [volume, *(meta.get(volume, "projected", "sources", default=()))]
        for source in sources:
            if meta.get(source, "configMap", "name") == name or name in (
                meta.get(source, "secret", "secretName"), meta.get(source, "secret", "name")
            ):
                return True
    return False
