"""Machines in their containers: real podman, real QEMU, real network; the API is a small one in memory."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.drivers.host import facts, oci
from vmpod.drivers.net.network import Network
from vmpod.drivers.podman.client import Podman
from vmpod.kinds import (
    CONFIGMAP,
    EVENT,
    KUBEVIRT,
    PERSISTENTVOLUMECLAIM,
    POD,
    SECRET,
    SERVICE,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
)
from vmpod.model import conditions
from vmpod.model.meta import Object, get
from vmpod.model.status import ApiError
from vmpod.node.containerdisks import ContainerDisks
from vmpod.node.machines import Machines
from vmpod.node.prepared import PreparedVolume
from vmpod.node.tokens import Tokens
from vmpod.node.volumes import Volumes
from vmpod.testing.api import FakeApi
from vmpod.testing.guest import GREETING, write_disk

pytestmark = pytest.mark.host
KINDS = (POD, PERSISTENTVOLUMECLAIM, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, KUBEVIRT, SECRET, CONFIGMAP, SERVICE, EVENT)


@dataclass(frozen=True)
class Ref:
    namespace: str
    name: str


VM = Ref("default", "vm1")


class World:
    """One home with one launcher pod."""

    def __init__(self, paths: Paths, found: facts.HostFacts, network: Network, podman: Podman) -> None:
        self.api = FakeApi(KINDS)
        self.client = Client(InProcess(self.api, User("system:node", ("system:masters",))))
        self.paths, self.facts, self.network, self.podman = paths, found, network, podman
        self.queue: list[tuple[str, str]] = []
        self.id = ""

    async def begin(self) -> None:
        self.cache = Cache(self.client, KINDS)
        await self.cache.start()
        volumes = Volumes(self.cache, self.paths, ContainerDisks(self.paths, self.podman, self.cache), Tokens(self.client))
        self.machines = Machines(self.client, self.cache, self.paths, self.facts, self.network, self.podman, volumes,
                                 self.queue.append)
        await self.machines.start()

    async def end(self) -> None:
        await self.machines.stop()
        await self.cache.stop()

    def put(self, spec: Object, phase: str = "Scheduled") -> Object:
        vmi = self.api.put(VIRTUALMACHINEINSTANCE, {
            "metadata": {"namespace": "default", "name": "vm1", "uid": "11111111-1111-1111-1111-111111111111"},
            "spec": spec, "status": {"phase": phase},
        })
        owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "vm1",
                 "uid": vmi["metadata"]["uid"], "controller": True}
        pod: Object = {
            "metadata": {"namespace": "default", "name": "virt-launcher-vm1-aaaaa",
                         "uid": "22222222-2222-2222-2222-222222222222",
                         "labels": {"kubevirt.io": "virt-launcher"}, "ownerReferences": [owner]},
            "spec": {"nodeName": "here", "hostname": "vm1", "containers": [{"name": "compute", "image": "x"}]},
            "status": {"phase": "Pending"},
        }
        return self.api.put(POD, pod)

    async def run(self, pod: Object, volumes: dict[str, PreparedVolume]) -> None:
        nic = self.machines.nic(pod)
        attachment = await self.network.attach(pod["metadata"]["uid"], machine=nic)
        spec = await self.machines.desired(pod, volumes, attachment)
        self.id = await self.podman.create(spec)
        await self.podman.start(self.id)

    @property
    def status(self) -> Object:
        return (self.api.get(VIRTUALMACHINEINSTANCE, "default", "vm1") or {})["status"]  # type: ignore[no-any-return]

    async def until(self, what: Any, timeout_s: float = 60) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not what():
            assert asyncio.get_running_loop().time() < deadline, (self.status, await self.words())
            await asyncio.sleep(0.02)

    async def words(self) -> bytes:
        found = await self.podman.inspect(self.id)
        return Path(found.log_path).read_bytes() if found and Path(found.log_path).exists() else b"no log"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    if os.geteuid() != 0 or not shutil.which("podman") or not shutil.which("qemu-system-x86_64"):
        pytest.skip("needs root, podman and QEMU")
    paths = Paths(tmp_path / "home")
    paths.create()
    runtime = await oci.probe()
    found = replace(facts.quick(), accelerator="tcg", accelerator_reason="a test", oci_runtime=runtime.runtime)
    network = await Network.open(paths, paths.id, egress=False, shared=tmp_path / "shared")
    await network.ensure()
    podman = await Podman.connect(paths, found)
    world = World(paths, found, network, podman)
    await world.begin()
    yield world
    await world.end()
    for one in await podman.containers():
        await podman.remove(one.id)
    await network.remove()
    await podman.close(stop_service=True)
    if not paths.run.is_relative_to(paths.home):
        shutil.rmtree(paths.run, ignore_errors=True)


def disk(world: World, *, deaf: bool = False) -> dict[str, PreparedVolume]:
    folder = world.paths.volume("v1")
    folder.mkdir()
    os.chown(folder, 107, 107)
    file = write_disk(folder / "disk.img", deaf=deaf)
    os.chown(file, 107, 107)
    inside = "/disks/disks/volumes/v1"
    return {"root": PreparedVolume(file, False, "", f"{inside}/disk.img", "raw", ((str(folder), inside, False),))}


def spec(**more: Any) -> Object:
    return {
        "domain": {
            "memory": {"guest": "64Mi"},
            "devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}},
                                  {"name": "seed", "cdrom": {"bus": "sata"}}],
                        "interfaces": [{"name": "default", "masquerade": {}}]},
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [{"name": "root", "persistentVolumeClaim": {"claimName": "x"}},
                    {"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": "seed"}}}],
        **more,
    }


def put_seed(world: World) -> None:
    data = {"userdata": base64.b64encode(b"#cloud-config\n").decode()}
    world.api.put(SECRET, {"metadata": {"namespace": "default", "name": "seed"}, "data": data})


def stage(world: World) -> str:
    """How far the guest has come, in words."""
    return str((conditions.find(world.status["conditions"], "vmpod.io/GuestStage") or {}).get("message", ""))


async def test_machine_runs_is_adopted_and_shuts_down(world: World) -> None:
    put_seed(world)
    pod = world.put(spec())
    await asyncio.sleep(0.1)
    await world.run(pod, disk(world))
    await world.until(lambda: world.status["phase"] == "Running")
    serial = world.paths.pod(pod["metadata"]["uid"]) / "run" / "serial.log"
    await world.until(lambda: GREETING in serial.read_bytes())
    await check_status(world)
    await check_streams(world)
    await world.until(lambda: "boot disk" in stage(world) and "console" in stage(world))
    before = world.status
    await world.end()
    await world.begin()  # another engine
    await asyncio.sleep(0.5)
    assert world.status == before
    assert world.machines.pod_ready(pod["metadata"]["uid"]) is True
    await check_asks(world)
    await world.machines.power_down(pod["metadata"]["uid"])
    assert await world.podman.ended(world.id, 10)
    found = await world.podman.inspect(world.id)
    assert found is not None
    await world.machines.ended(pod, found.exit_code)
    assert (found.exit_code, world.status["phase"]) == (0, "Succeeded")


async def check_status(world: World) -> None:
    found = world.status
    ip = world.network.attachments()[0].ip
    assert get(found, "interfaces", 0, "ipAddress") == ip
    assert get(found, "machine", "type", default="").startswith("pc-q35-")
    sizes = [one.pop("size") for one in found["volumeStatus"]]
    assert found["volumeStatus"] == [{"name": "root", "target": "vda"}, {"name": "seed", "target": "sda"}]
    assert sizes[0] == 1 << 20 and sizes[1] > 0
    assert conditions.is_true(found["conditions"], "Ready")
    assert conditions.is_true(found["conditions"], "SoftwareEmulation") is (world.facts.accelerator == "tcg")
    assert [one["phase"] for one in found["phaseTransitionTimestamps"]] == ["Running"]
    container = await world.podman.inspect(world.id)
    assert container is not None
    text = Path(f"/proc/{container.pid}/status").read_text()
    assert "CapBnd:\t0000000000000000" in text
    assert "NoNewPrivs:\t1" in text
    assert "Uid:\t107\t107" in text


async def check_streams(world: World) -> None:
    one = await world.machines.open(VM, "console", {})
    await one.send(0, b"x")
    assert await asyncio.wait_for(one.receive(), 60) == (1, b"x")
    two = await world.machines.open(VM, "console", {})
    with pytest.raises(ConnectionAbortedError, match="another client took over"):
        await asyncio.wait_for(one.receive(), 60)
    await one.close()
    await two.send(0, b"y")
    assert await asyncio.wait_for(two.receive(), 60) == (1, b"y")
    await two.close()
    screen = await world.machines.open(VM, "vnc", {})
    found = await asyncio.wait_for(screen.receive(), 60)
    assert found is not None
    assert found[1].startswith(b"RFB 003.")
    await screen.close()


async def check_asks(world: World) -> None:
    await world.machines.ask(VM, "pause", {})
    await world.until(lambda: conditions.is_true(world.status["conditions"], "Paused"))
    assert not conditions.is_true(world.status["conditions"], "Ready")
    await world.machines.ask(VM, "unpause", {})
    await world.until(lambda: not conditions.is_true(world.status["conditions"], "Paused"))
    picture = await world.machines.ask(VM, "screenshot", {})
    assert picture["data"].startswith(b"\x89PNG")
    await world.machines.ask(VM, "reset", {})


def bare(**more: Any) -> Object:
    """Without a seed."""
    made = spec(**more)
    made["domain"]["devices"]["disks"].pop()
    made["volumes"].pop()
    return made


def events(world: World) -> dict[str, str]:
    return {one["reason"]: one["message"] for one in world.api.list(EVENT)}


async def finish(world: World, pod: Object) -> int:
    """What the pod's loop does when a container has ended."""
    assert await world.podman.ended(world.id, 10)
    found = await world.podman.inspect(world.id)
    assert found is not None
    await world.machines.ended(pod, found.exit_code)
    return found.exit_code


async def test_crash_is_told_with_the_last_words(world: World) -> None:
    pod = world.put(bare())
    await asyncio.sleep(0.1)
    volumes = disk(world)
    volumes["root"].path.unlink()
    await world.run(pod, volumes)
    assert await finish(world, pod) == 1
    assert world.status["phase"] == "Failed"
    await world.until(lambda: "Stopped" in events(world))
    assert "QEMU exited with 1" in events(world)["Stopped"]
    assert "No such file or directory" in events(world)["Stopped"]
    await world.machines.ended(pod, 1)  # said once


async def test_deaf_guest_is_pressed_until_killed(world: World) -> None:
    pod = world.put(bare())
    await asyncio.sleep(0.1)
    await world.run(pod, disk(world, deaf=True))
    await world.until(lambda: world.status["phase"] == "Running")
    await world.machines.power_down(pod["metadata"]["uid"])
    await world.machines.power_down(pod["metadata"]["uid"])
    await world.until(lambda: "ShuttingDown" in events(world))
    assert not await world.podman.ended(world.id, 0.5)
    await world.podman.kill(world.id)
    assert await finish(world, pod) == 137
    assert world.status["phase"] == "Succeeded", "it was to be stopped"


async def test_soft_reboot_without_an_agent_keeps_the_machine(world: World) -> None:
    pod = world.put(bare())
    await asyncio.sleep(0.1)
    await world.run(pod, disk(world))
    serial = world.paths.pod(pod["metadata"]["uid"]) / "run" / "serial.log"
    await world.until(lambda: serial.exists() and serial.read_bytes().count(GREETING) == 1)
    await world.until(lambda: world.status["phase"] == "Running")
    await world.machines.ask(VM, "softreboot", {})
    await world.until(lambda: serial.read_bytes().count(GREETING) == 2)
    with pytest.raises(ApiError, match="does not have guest agent connected") as refused:
        await world.machines.ask(VM, "guestosinfo", {})
    assert refused.value.code == 409
    await world.machines.power_down(pod["metadata"]["uid"])
    assert await finish(world, pod) == 0


async def test_liveness_and_readiness_of_what_does_not_listen(world: World) -> None:
    probe = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 1}
    pod = world.put(bare(readinessProbe=probe, livenessProbe={**probe, "initialDelaySeconds": 2}))
    await asyncio.sleep(0.1)
    await world.run(pod, disk(world))
    await world.until(lambda: world.status["phase"] == "Running")
    assert world.machines.pod_ready(pod["metadata"]["uid"]) is not True
    ready = conditions.find(world.status["conditions"], "Ready")
    assert ready is not None
    assert ready["reason"] == "ContainersNotReady"
    assert await finish(world, pod) == 0, "the liveness probe ends it"
    await world.until(lambda: "Unhealthy" in events(world))


async def test_what_cannot_start_says_why(world: World) -> None:
    pod = world.put(spec())
    await asyncio.sleep(0.1)
    volumes = disk(world)
    with pytest.raises(Problem, match="Secret default/seed not found"):
        await world.machines.desired(pod, volumes, None)
    await world.until(lambda: (conditions.find(world.status.get("conditions"), "Synchronized") or {}).get("reason") == "FailedMount")
    huge = bare()
    huge["domain"]["memory"]["guest"] = "64Ti"
    pod = world.put(huge)
    await asyncio.sleep(0.1)
    with pytest.raises(Problem, match=r"this host has .* MiB to give"):
        await world.machines.desired(pod, volumes, None)
    pending = {"root": PreparedVolume(Path("/x"), pending="PVC x is being filled")}
    with pytest.raises(Problem, match="being filled"):
        await world.machines.desired(pod, pending, None)
    for verb in ("console", "vnc", "portforward"):
        with pytest.raises(ApiError, match="VMI is not running") as refused:
            await world.machines.open(VM, verb, {"port": 80})
        assert refused.value.code == 400
    with pytest.raises(ApiError, match="not found"):
        await world.machines.ask(Ref("default", "other"), "pause", {})
