"""The agent against the real podman: pods from their objects to running containers, and back to nothing."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.net.attachments import Attachment, MachineNic
from vmpod.drivers.net.links import LinkWish
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.container import POD as POD_LABEL
from vmpod.drivers.podman.spec import ContainerSpec
from vmpod.kinds import CONFIGMAP, EVENT, KINDS, LEASE, NODE, POD, SECRET
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.node.agent import Agent
from vmpod.node.heartbeat import LEASE_NAMESPACE
from vmpod.node.prepared import PreparedVolume
from vmpod.node.streams import NodeStreams
from vmpod.testing import containers
from vmpod.testing.api import FakeApi

pytestmark = pytest.mark.host
NODE_NAME = "n1"


class Wires:
    """A network whose pods see their loopback and each other's files only."""

    @dataclass(frozen=True)
    class Config:
        gateway: str = "127.0.0.1"
        dns_address: str = "192.0.2.53"
        block6: str = ""

    def __init__(self) -> None:
        self.config: Any = self.Config()
        self._made: dict[str, Attachment] = {}
        self._tag = secrets.token_hex(3)

    def attachments(self) -> list[Attachment]:
        return list(self._made.values())

    async def attach(
        self, pod_uid: str, *, machine: MachineNic | None = None, wishes: Sequence[LinkWish] = (), twin_of: str = ""
    ) -> Attachment:
        if pod_uid not in self._made:
            name = f"vmpodt-{self._tag}-{pod_uid}"
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
            self._made[pod_uid] = Attachment(pod_uid, name, f"/run/netns/{name}", "192.0.2.7", "", "")
        return self._made[pod_uid]

    async def rewire(self, pod_uid: str, wishes: Sequence[LinkWish]) -> Attachment:
        return self._made[pod_uid]

    async def detach(self, pod_uid: str) -> None:
        made = self._made.pop(pod_uid, None)
        if made is not None:
            subprocess.run(["ip", "netns", "delete", made.netns], check=True)


class Folders:
    """Volumes that are folders, or not ready."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.pending: dict[str, str] = {}
        self.released: list[str] = []

    async def prepare(self, pod: Object) -> dict[str, PreparedVolume]:
        found = {}
        for volume in meta.get(pod, "spec", "volumes", default=()):
            path = self._root / volume["name"]
            path.mkdir(parents=True, exist_ok=True)
            found[volume["name"]] = PreparedVolume(path, pending=self.pending.get(volume["name"], ""))
        return found

    async def refresh(self, pod: Object) -> None:
        await self.prepare(pod)

    def outdated(self) -> list[str]:
        return []

    async def release(self, pod_uid: str) -> None:
        self.released.append(pod_uid)


class NoClaims:
    """There are none."""

    async def open_upload(self, key: tuple[str, str], size: int) -> Any:
        raise Problem("take an image", "there are no claims here")


class NoExports:
    """There are none."""

    async def open(self, key: tuple[str, str], params: Mapping[str, Any]) -> Any:
        raise Problem("send a disk", "there are no claims here")

    async def size_bytes(self, key: tuple[str, str]) -> int:
        raise Problem("send a disk", "there are no claims here")


class NoMachines:
    """There are none."""

    def nic(self, pod: Object, search: tuple[str, ...] = (), servers: tuple[str, ...] = ()) -> MachineNic | None:
        return None

    def vmi(self, pod: Object) -> Object | None:
        return None

    def source_of(self, pod: Object) -> str:
        return ""

    async def desired(
        self, pod: Object, prepared: Mapping[str, PreparedVolume], attachment: Attachment | None
    ) -> ContainerSpec:
        raise Problem("start the machine", "there are none here")

    def rewired(self, pod_uid: str, attachment: Attachment) -> None:
        raise AssertionError(pod_uid)

    async def power_down(self, pod_uid: str) -> None:
        return None

    async def ended(self, pod: Object, exit_code: int) -> None:
        return None

    async def open(self, ref: Any, verb: str, params: Mapping[str, Any]) -> Any:
        raise AssertionError(verb)

    async def ask(self, ref: Any, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"asked": verb}


@dataclass(frozen=True)
class Ref:
    name: str
    resource: str = "pods"
    namespace: str = "default"


@dataclass
class Place:
    """A node and the API it follows."""

    api: FakeApi
    paths: Paths
    podman: Podman
    image: str
    wires: Wires
    folders: Folders
    agents: list[Agent] = field(default_factory=list)
    caches: list[Cache] = field(default_factory=list)

    @property
    def agent(self) -> Agent:
        return self.agents[-1]

    @property
    def streams(self) -> NodeStreams:
        return NodeStreams(self.agent, NoMachines(), NoClaims(), NoExports(), self.paths)

    async def start(self) -> None:
        client = Client(InProcess(self.api, User("system:vmpod")))
        cache = Cache(client, KINDS)
        await cache.start()
        facts = HostFacts(cpus=2, memory_bytes=4 << 30, podman_version="4.3.1")
        agent = Agent(client, cache, self.podman, self.wires, NoMachines(), self.folders, self.paths, facts, [NODE_NAME],
                      node_labels={"zone": "a"})
        self.agents.append(agent)
        self.caches.append(cache)
        await agent.start()

    async def stop(self) -> None:
        """As a kill would: nothing is cleaned up."""
        await self.agents[-1].stop()
        await self.caches[-1].stop()

    def pod(self, name: str, script: str, **rest: Any) -> Object:
        main = {"name": "main", "image": self.image, "command": ["/bin/sh", "-c", script]} | rest.pop("container", {})
        return self.api.put(POD, {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", **rest.pop("metadata", {})},
            "spec": {"nodeName": NODE_NAME, "containers": [main], "terminationGracePeriodSeconds": 5, **rest},
        })

    def status(self, name: str) -> Object:
        found = self.api.get(POD, "default", name)
        return (found or {}).get("status") or {}

    def main(self, name: str) -> Object:
        rows: list[Object] = self.status(name).get("containerStatuses") or [{}]
        return rows[0]

    def delete(self, name: str) -> None:
        pod = self.api.get(POD, "default", name)
        assert pod is not None
        from datetime import timedelta

        from vmpod.base import clock

        pod["metadata"] |= {
            "deletionTimestamp": clock.rfc3339(clock.now() + timedelta(seconds=5)), "deletionGracePeriodSeconds": 5,
        }
        self.api.put(POD, pod)

    def reasons(self, name: str) -> list[str]:
        return [str(e["reason"]) for e in self.api.list(EVENT) if e["involvedObject"].get("name") == name]

    def messages(self, name: str) -> list[str]:
        return [str(e["message"]) for e in self.api.list(EVENT) if e["involvedObject"].get("name") == name]

    async def until(self, what: Callable[[], Any], timeout_s: float = 20) -> None:
        for _ in range(int(timeout_s / 0.05)):
            if what():
                return
            await asyncio.sleep(0.05)
        shown = [(meta.name(p), p.get("status")) for p in self.api.list(POD)]
        raise AssertionError(f"it did not come: {shown}; {[e['message'] for e in self.api.list(EVENT)]}")

    async def printed(self, name: str, **params: Any) -> str:
        stream = await self.streams.open(Ref(name), "log", params)
        said = b""
        while (piece := await stream.receive()) is not None:
            said += piece[1]
        await stream.close()
        return said.decode()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with containers.busybox_image(tmp_path_factory.mktemp("image")) as name:
        yield name


@pytest.fixture
async def place(image: str, tmp_path: Path) -> AsyncIterator[Place]:
    with containers.home() as paths:
        async with containers.podman(paths) as podman:
            place = Place(FakeApi(KINDS), paths, podman, image, Wires(), Folders(tmp_path / "volumes"))
            await place.start()
            try:
                yield place
                await place.stop()
            finally:
                for one in await podman.containers():
                    await podman.remove(one.id)
                for attachment in place.wires.attachments():
                    await place.wires.detach(attachment.pod_uid)


async def test_a_pod_runs_and_goes(place: Place) -> None:
    place.api.put(CONFIGMAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"},
                              "data": {"greeting": "hello"}})
    pod = place.pod(
        "web", "echo $GREETING $(hostname) $IP; cat /etc/resolv.conf; ls /data; trap 'exit 0' TERM; sleep 600 & wait",
        container={
            "env": [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "greeting"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        },
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    await place.until(lambda: place.status("web").get("phase") == "Running")
    status, main = place.status("web"), place.main("web")
    assert status["podIP"] == "192.0.2.7" and status["qosClass"] == "BestEffort" and main["ready"]
    assert main["restartCount"] == 0 and main["containerID"].startswith("podman://") and main["imageID"]
    assert all(conditions.is_true(status["conditions"], kind) for kind in ("Ready", "Initialized", "PodScheduled"))
    await asyncio.sleep(0.3)
    assert (await place.printed("web")).startswith(
        "hello web 192.0.2.7\nsearch default.svc.cluster.local svc.cluster.local cluster.local")
    await place.until(lambda: {"Pulled", "Created", "Started"} <= set(place.reasons("web")))
    place.delete("web")
    await place.until(lambda: place.api.get(POD, "default", "web") is None)
    assert await place.podman.containers({POD_LABEL: meta.uid(pod)}) == []
    assert place.wires.attachments() == [] and set(place.folders.released) == {meta.uid(pod)}
    assert not place.paths.pod(meta.uid(pod)).exists()
    assert "Stopping container main" in place.messages("web")


async def test_the_node_is_registered(place: Place) -> None:
    node = place.api.get(NODE, "", NODE_NAME)
    assert node is not None and meta.labels(node)["zone"] == "a"
    assert meta.labels(node)["kubernetes.io/hostname"] == NODE_NAME
    assert conditions.is_true(node["status"]["conditions"], "Ready")
    assert node["status"]["allocatable"]["cpu"] == "2"
    await place.until(lambda: place.api.get(LEASE, LEASE_NAMESPACE, NODE_NAME))


async def test_exec_attach_and_forwarding(place: Place) -> None:
    place.pod("web", "httpd -f -p 127.0.0.1:8080", container={
        "readinessProbe": {"exec": {"command": ["/bin/sh", "-c", "grep -q :1F90 /proc/net/tcp"]}, "periodSeconds": 1}})
    await place.until(lambda: place.main("web").get("ready"))
    stream = await place.streams.open(Ref("web"), "exec", {"command": ["/bin/sh", "-c", "cat; exit 3"], "stdin": True})
    await stream.send(0, b"to and fro")
    await stream.send(0, b"")
    said = []
    while (piece := await stream.receive()) is not None:
        said.append(piece)
    await stream.close()
    assert said[0] == (1, b"to and fro") and said[-1][0] == 3 and b'"ExitCode"' in said[-1][1] and b'"3"' in said[-1][1]
    door = await place.streams.open(Ref("web"), "portforward", {"port": 8080})
    await door.send(0, b"GET /none HTTP/1.0\r\n\r\n")
    assert ((await asyncio.wait_for(door.receive(), 60)) or (0, b""))[1].startswith(b"HTTP/1.1 404")
    await door.close()


async def test_a_crashing_container_waits_longer_each_time(place: Place) -> None:
    place.pod("bad", "echo last words > /dev/termination-log; echo try; exit 3")
    await place.until(lambda: place.main("bad").get("restartCount") == 1)
    await place.until(lambda: meta.get(place.main("bad"), "state", "waiting", "reason") == "CrashLoopBackOff")
    main = place.main("bad")
    assert main["lastState"]["terminated"]["exitCode"] == 3
    assert main["lastState"]["terminated"]["message"] == "last words\n"
    assert "back-off 10s restarting failed container=main pod=bad_default(" in main["state"]["waiting"]["message"]
    assert place.status("bad")["phase"] == "Running"
    await place.until(lambda: "BackOff" in place.reasons("bad"))
    assert await place.printed("bad", previous=True) == "try\n"


async def test_pods_that_end(place: Place) -> None:
    place.pod("well", "exit 0", restartPolicy="Never")
    place.pod("ill", "exit 4", restartPolicy="Never")
    await place.until(lambda: place.status("well").get("phase") == "Succeeded")
    await place.until(lambda: place.status("ill").get("phase") == "Failed")
    assert place.main("ill")["state"]["terminated"]["reason"] == "Error"
    await place.until(lambda: place.wires.attachments() == [])
    assert len(await place.podman.containers()) == 2


async def test_init_containers_come_first(place: Place) -> None:
    first = {"name": "first", "image": place.image, "command": ["/bin/sh", "-c", "echo one > /data/x"],
             "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    second = first | {"name": "second", "command": ["/bin/sh", "-c", "echo two >> /data/x"]}
    place.pod("seq", "cat /data/x; sleep 600", container={"volumeMounts": first["volumeMounts"]},
              initContainers=[first, second], volumes=[{"name": "data", "emptyDir": {}}])
    await place.until(lambda: place.status("seq").get("phase") == "Running")
    assert [row["ready"] for row in place.status("seq")["initContainerStatuses"]] == [True, True]
    await asyncio.sleep(0.2)
    assert await place.printed("seq") == "one\ntwo\n"


async def test_a_missing_configmap_is_told_and_mends_itself(place: Place) -> None:
    place.pod("needs", "echo $A; sleep 600", container={
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}}]})
    await place.until(lambda: meta.get(place.main("needs"), "state", "waiting", "reason") == "CreateContainerConfigError")
    assert place.main("needs")["state"]["waiting"]["message"] == 'secret "s" not found'
    place.api.put(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"},
                           "data": {"a": "Yg=="}})
    await place.until(lambda: place.status("needs").get("phase") == "Running")


async def test_an_image_that_cannot_be_had(place: Place) -> None:
    place.pod("far", "true", container={"image": "127.0.0.1:1/nobody/nothing:1"})
    place.pod("never", "true", container={"image": "localhost/nothing:1", "imagePullPolicy": "Never"})
    place.pod("odd", "true", container={"image": "Not An Image"})
    await place.until(lambda: meta.get(place.main("never"), "state", "waiting", "reason") == "ErrImageNeverPull")
    await place.until(lambda: meta.get(place.main("odd"), "state", "waiting", "reason") == "InvalidImageName")
    await place.until(lambda: meta.get(place.main("far"), "state", "waiting", "reason") == "ErrImagePull")
    await place.until(lambda: meta.get(place.main("far"), "state", "waiting", "reason") == "ImagePullBackOff")
    assert "connection refused" in place.main("far")["state"]["waiting"]["message"]
    await place.until(lambda: "Error: ImagePullBackOff" in place.messages("far"))


async def test_probes_decide_readiness_and_life(place: Place) -> None:
    place.pod("probed", "sleep 1; touch /ready; sleep 600", container={
        "readinessProbe": {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1},
        "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/dead"]}, "periodSeconds": 1, "failureThreshold": 1}})
    await place.until(lambda: place.status("probed").get("phase") == "Running")
    assert not place.main("probed")["ready"]
    await place.until(lambda: place.main("probed")["ready"])
    stream = await place.streams.open(Ref("probed"), "exec", {"command": ["touch", "/dead"]})
    while await stream.receive() is not None:
        pass
    await stream.close()
    await place.until(lambda: place.main("probed")["restartCount"] == 1)
    assert "Container main failed liveness probe, will be restarted" in place.messages("probed")


async def test_a_new_engine_finds_everything_and_touches_nothing(place: Place) -> None:
    place.pod("stays", "sleep 600")
    place.pod("ends", "sleep 1; exit 7", restartPolicy="Never")
    place.pod("leaves", "sleep 600")
    await place.until(lambda: all(place.status(n).get("phase") == "Running" for n in ("stays", "ends", "leaves")))
    before = place.main("stays")
    await place.stop()
    place.api.remove(POD, "default", "leaves")
    await asyncio.sleep(1.3)
    await place.start()
    await place.until(lambda: place.status("ends").get("phase") == "Failed")
    assert place.main("ends")["state"]["terminated"]["exitCode"] == 7
    await place.until(lambda: len(place.wires.attachments()) == 1)
    assert place.main("stays") == before
    assert len(await place.podman.containers()) == 2


async def test_a_volume_that_is_not_ready_is_waited_for(place: Place) -> None:
    place.folders.pending["data"] = "the import has not ended"
    place.pod("waits", "sleep 600", volumes=[{"name": "data", "emptyDir": {}}])
    said = 'MountVolume.SetUp failed for volume "data" : the import has not ended'
    await place.until(lambda: said in place.messages("waits"))
    assert place.status("waits")["phase"] == "Pending"
    place.folders.pending.clear()
    await place.until(lambda: place.status("waits").get("phase") == "Running")


async def test_hooks_run_at_both_ends(place: Place) -> None:
    place.pod("hooked", "sleep 600", container={
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "lifecycle": {"postStart": {"exec": {"command": ["touch", "/data/begun"]}},
                      "preStop": {"exec": {"command": ["touch", "/data/ended"]}}}},
        volumes=[{"name": "data", "emptyDir": {}}], terminationGracePeriodSeconds=1)
    await place.until(lambda: place.main("hooked").get("ready"))
    folder = place.folders._root / "data"
    assert (folder / "begun").exists()
    place.delete("hooked")
    await place.until(lambda: place.api.get(POD, "default", "hooked") is None)
    assert (folder / "ended").exists()


async def test_a_program_that_does_not_exist(place: Place) -> None:
    place.pod("wrong", "", container={"command": ["/no-such-program"]}, restartPolicy="Never")
    await place.until(lambda: place.status("wrong").get("phase") == "Failed")
    ended = place.main("wrong")["state"]["terminated"]
    assert ended["reason"] == "StartError" and ended["exitCode"] == 128 and "no-such-program" in ended["message"]
