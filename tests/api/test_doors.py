"""The doors of machines over real WebSockets, and the subresources that are only answered or refused."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from vmpod.api.discovery import KUBEVIRT_SUBRESOURCES

if TYPE_CHECKING:
    from tests.api.conftest import Caller, Live

VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default"
ROOT = "/apis/subresources.kubevirt.io/v1"


def domain(**devices: Any) -> dict[str, Any]:
    return {"devices": devices, "memory": {"guest": "1Gi"}}


async def running(call: Caller, name: str, **devices: Any) -> None:
    spec = {"domain": domain(**devices)}
    await call("POST", VMIS, {"metadata": {"name": name}, "spec": spec})
    made = await call("GET", f"{VMIS}/{name}")
    await call("PUT", f"{VMIS}/{name}/status", made | {"status": {"phase": "Running"}})


class Flood:
    """A guest that writes `total` bytes; `ended` is set when its stream is closed."""

    def __init__(self, total: int) -> None:
        self.left = total
        self.digest = hashlib.sha256()
        self.ended = asyncio.Event()

    async def receive(self) -> tuple[int, bytes] | None:
        if not self.left:
            return None
        piece = (b"%015d\n" % self.left * 4096)[: min(self.left, 65536)]
        self.left -= len(piece)
        self.digest.update(piece)
        return 1, piece

    async def send(self, channel: int, data: bytes) -> None:
        return None

    async def close(self) -> None:
        self.ended.set()


class Displaced(Flood):
    """A console that another client takes over."""

    async def receive(self) -> tuple[int, bytes] | None:
        raise ConnectionAbortedError


@pytest.fixture
async def session(live: Live) -> AsyncIterator[aiohttp.ClientSession]:
    tls = ssl.create_default_context(cafile=str(live.pki.ca))
    tls.load_cert_chain(live.pki.client_cert, live.pki.client_key)
    async with aiohttp.ClientSession(live.url, connector=aiohttp.TCPConnector(ssl=tls)) as made:
        yield made


def connect(session: aiohttp.ClientSession) -> Any:
    path = f"{SUB}/virtualmachineinstances/m/console"
    return session.ws_connect(path, protocols=("plain.kubevirt.io",), max_msg_size=0)


async def test_console_of_20_mb_arrives_whole_at_a_slow_client(live: Live, session: aiohttp.ClientSession) -> None:
    await running(live.call, "m")
    guest = Flood(20 << 20)
    live.streams.duplexes.append(guest)  # type: ignore[arg-type]
    got, pieces = hashlib.sha256(), 0
    async with connect(session) as socket:
        assert socket.protocol == "plain.kubevirt.io"
        async for message in socket:
            assert message.type is aiohttp.WSMsgType.BINARY
            got.update(message.data)
            pieces += 1
            if pieces % 64 == 0:
                await asyncio.sleep(0.02)
        assert socket.close_code == 1000
    assert got.digest() == guest.digest.digest()
    assert guest.ended.is_set()


async def test_a_client_that_hangs_is_let_go(live: Live, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers no ping: its stream is closed, so that the guest waits for it no longer."""
    monkeypatch.setattr("vmpod.api.server._PING_S", 0.4)
    await running(live.call, "m")
    guest = Flood(1 << 30)
    live.streams.duplexes.append(guest)  # type: ignore[arg-type]
    async with connect(session) as socket:
        await asyncio.wait_for(guest.ended.wait(), 30)
        assert guest.left > 0
        with pytest.raises((aiohttp.ClientError, ConnectionError, StopAsyncIteration)):
            while (await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                pass
            assert socket.close_code == 1006
            raise ConnectionResetError


async def test_a_console_that_is_taken_over_ends_without_farewell(live: Live, session: aiohttp.ClientSession) -> None:
    await running(live.call, "m")
    live.streams.duplexes.append(Displaced(0))  # type: ignore[arg-type]
    async with connect(session) as socket:
        await socket.receive()
        assert socket.close_code == 1006


@pytest.mark.parametrize(("devices", "method", "path", "code", "message"), [
    ({"autoattachSerialConsole": False}, "GET", "console", 400, "No serial consoles are present."),
    ({"autoattachGraphicsDevice": False}, "GET", "vnc", 400, "No graphics devices are present."),
    ({"autoattachGraphicsDevice": False}, "GET", "vnc/screenshot", 400, "No graphics devices are present."),
    ({}, "GET", "usbredir", 409, "Not configured with USB Redirection"),
    ({}, "GET", "vsock", 400, "VSOCK is not attached."),
    ({}, "GET", "sev/fetchcertchain", 400, "'WorkloadEncryptionSEV' feature gate is not enabled"),
    ({}, "GET", "sev/querylaunchmeasurement", 400, "'WorkloadEncryptionSEV' feature gate is not enabled"),
    ({}, "PUT", "sev/setupsession", 400, "'WorkloadEncryptionSEV' feature gate is not enabled"),
    ({}, "PUT", "sev/injectlaunchsecret", 400, "'WorkloadEncryptionSEV' feature gate is not enabled"),
    ({}, "PUT", "backup", 409, "backup is not supported here: changed blocks are not tracked"),
    ({}, "PUT", "redefine-checkpoint", 409, "ChangedBlockTracking is not enabled"),
])
async def test_refusals(call: Caller, devices: dict[str, Any], method: str, path: str, code: int, message: str) -> None:
    await running(call, "m", **devices)
    told = await call(method, f"{SUB}/virtualmachineinstances/m/{path}", code=code)
    assert told["kind"] == "Status" and told["message"].endswith(message)


@pytest.mark.parametrize("door", ["console", "vnc", "vnc/screenshot", "portforward/22/tcp"])
async def test_a_machine_that_does_not_run_yet_answers_400(call: Caller, door: str) -> None:
    await call("POST", VMIS, {"metadata": {"name": "m"}, "spec": {"domain": domain()}})
    assert (await call("GET", f"{SUB}/virtualmachineinstances/m/{door}", code=400))["message"] == "VMI is not running"


@pytest.mark.parametrize(("action", "text"), [("start", "start profiler"), ("stop", "stop profiler"), ("dump", "dump profiler results")])
async def test_profilers_are_off(call: Caller, action: str, text: str) -> None:
    told = await call("GET", f"{ROOT}/{action}-cluster-profiler", code=403)
    assert told["message"] == f'Unable to {text}. "ClusterProfiler" feature gate must be enabled'


async def test_guestfs_names_the_image_of_the_release(call: Caller) -> None:
    told = await call("GET", f"{ROOT}/guestfs")
    assert (told["registry"], told["tag"]) == ("quay.io/kubevirt", "v1.9.0")


async def test_discovery_lists_what_is_served(call: Caller) -> None:
    listed = {one["name"] for one in (await call("GET", f"/apis/{KUBEVIRT_SUBRESOURCES}/v1"))["resources"]}
    assert {"version", "guestfs", "virtualmachines/objectgraph", "virtualmachineinstances/usbredir"} <= listed


async def test_objectgraph(call: Caller) -> None:
    """The options come in the body of a GET."""
    volumes = [{"name": "a", "dataVolume": {"name": "disk"}}, {"name": "b", "configMap": {"name": "settings"}},
               {"name": "c", "cloudInitNoCloud": {"secretRef": {"name": "seed"}}}]
    spec = {"domain": domain(disks=[{"name": one["name"]} for one in volumes]), "volumes": volumes}
    await call("POST", VMS, {"metadata": {"name": "m"}, "spec": {"runStrategy": "Halted", "template": {"spec": spec}}})
    path = f"{SUB}/virtualmachines/m/objectgraph"
    graph = await call("GET", path, {"includeOptionalNodes": True})
    assert graph["objectReference"] == {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "m", "namespace": "default"}
    below = {one["objectReference"]["kind"]: one for one in graph["children"]}
    assert set(below) == {"DataVolume", "ConfigMap", "Secret"}
    assert below["DataVolume"]["children"][0]["objectReference"]["kind"] == "PersistentVolumeClaim"
    chosen = {"labelSelector": {"matchLabels": {"kubevirt.io/dependency-type": "storage"}}}
    only = await call("GET", path, chosen)
    assert [one["objectReference"]["kind"] for one in only["children"]] == ["DataVolume"]
    assert (await call("GET", path))["children"] == graph["children"]
    await call("GET", f"{SUB}/virtualmachines/none/objectgraph", code=404)
