"""The doors of an export: tokens, paths, ranges and manifests."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
import yaml

from vmpod.api import exports
from vmpod.api.exports import Asked
from vmpod.client.inprocess import Response
from vmpod.model.meta import Object

from .conftest import Caller, FakeDuplex, FakeStreams

EXPORTS = "/apis/export.kubevirt.io/v1/namespaces/default/virtualmachineexports"
KEY, TOKEN = ("default", "e"), "sesame"
SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VM: Object = {
    "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "db", "labels": {"app": "db"}},
    "spec": {
        "runStrategy": "Halted", "dataVolumeTemplates": [
            {"metadata": {"name": "root"}, "spec": {"source": {"registry": {"url": "docker://x"}}, "storage": {}}}],
        "template": {"spec": {
            "domain": {"memory": {"guest": "64Mi"}, "devices": {"disks": [{"name": "r", "disk": {}}, {"name": "d", "disk": {}}]}},
            "volumes": [{"name": "r", "dataVolume": {"name": "root"}},
                        {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}},
}


def links(door: str) -> Object:
    root = {"internal": "https://virt-export-e.default.svc", "external": "https://127.0.0.1:1/api/e"}[door]
    return {"cert": "PEM", "volumes": [
        {"name": one, "formats": [{"format": "raw", "url": f"{root}/volumes/{one}/disk.img"},
                                  {"format": "gzip", "url": f"{root}/volumes/{one}/disk.img.gz"}]} for one in ("root", "data")],
        "manifests": [{"type": "all", "url": f"{root}/{door}/manifests/all"},
                      {"type": "auth-header-secret", "url": f"{root}/{door}/manifests/secret"}]}  # fmt: skip


async def put(call: Caller, *, phase: str = "Ready", token: str = TOKEN) -> None:
    await call("POST", "/apis/kubevirt.io/v1/namespaces/default/virtualmachines", VM)
    for one in ("root", "data"):
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": one}, "spec": SPEC}
        await call("POST", "/api/v1/namespaces/default/persistentvolumeclaims", claim)
    held = {"token": base64.b64encode(token.encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "data": held}
    await call("POST", "/api/v1/namespaces/default/secrets", secret)
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "db"}
    await call("POST", EXPORTS, {"apiVersion": "export.kubevirt.io/v1", "kind": "VirtualMachineExport",
                                   "metadata": {"name": "e"}, "spec": {"source": source}})  # fmt: skip
    status = {"phase": phase, "tokenSecretRef": "t", "serviceName": "virt-export-e",
              "links": {door: links(door) for door in ("internal", "external")}}  # fmt: skip
    await call.patch(f"{EXPORTS}/e/status", {"status": status})


async def ask(call: Caller, path: str, *, method: str = "GET", token: str = TOKEN, key: Any = KEY,
              query: dict[str, str] | None = None, **headers: str) -> Response:  # fmt: skip
    said = {"x-kubevirt-export-token": token, **headers} if token else headers
    return await exports.answer(call.api.backend, key, Asked(method, path, query or {}, said))


def test_paths_of_the_api_that_are_exports() -> None:
    root = "/api/export.kubevirt.io/v1/namespaces/ns/virtualmachineexports/e"
    assert exports.outside(f"{root}/volumes/x/disk.img") == (("ns", "e"), "/volumes/x/disk.img")
    assert exports.outside(root) is None and exports.outside("/apis/export.kubevirt.io/v1") is None


@pytest.mark.parametrize(("asked", "code"), [
    ({"path": "/volumes/data/disk.img.gz"}, 200),
    ({"path": "/volumes/data/disk.img.gz", "method": "HEAD"}, 200),
    ({"path": "/volumes/data/disk.img.gz", "method": "POST"}, 400),
    ({"path": "/volumes/data/disk.img.gz", "token": ""}, 401),
    ({"path": "/volumes/data/disk.img.gz", "token": "sesam"}, 401),
    ({"path": "/volumes/data/disk.img.gz", "token": "", "query": {"x-kubevirt-export-token": TOKEN}}, 200),
    ({"path": "/volumes/data/disk.tar.gz"}, 404),
    ({"path": "/volumes/other/disk.img"}, 404),
    ({"path": "/volumes/../data/disk.img"}, 404),
    ({"path": "/external/manifests/all", "token": "\udcff"}, 401),
    ({"path": "/exportready", "token": ""}, 200),
    ({"path": "/volumes/data/disk.img", "key": ("default", "none")}, 404),
])
async def test_who_may_have_what(call: Caller, streams: FakeStreams, asked: dict[str, Any], code: int) -> None:
    await put(call)
    streams.duplexes.append(FakeDuplex((1, b"di"), (1, b"sk")))
    answer = await ask(call, **asked)
    assert answer.status == code
    if answer.stream is not None:
        assert b"".join([piece async for piece in answer.stream]) == b"disk"
        assert streams.asked[-1][2]["packing"] == "gzip"


async def test_an_empty_token_opens_nothing(call: Caller) -> None:
    await put(call, token="")
    assert (await ask(call, "/volumes/data/disk.img", token="")).status == 401


async def test_one_that_is_not_ready(call: Caller) -> None:
    await put(call, phase="Pending")
    assert (await ask(call, "/volumes/data/disk.img")).status == 503


@pytest.mark.parametrize(("range", "code", "told", "part"), [
    ("", 200, "", (0, 1000)), ("bytes=0-99", 206, "bytes 0-99/1000", (0, 100)),
    ("bytes=900-", 206, "bytes 900-999/1000", (900, 1000)), ("bytes=-100", 206, "bytes 900-999/1000", (900, 1000)),
    ("bytes=990-2000", 206, "bytes 990-999/1000", (990, 1000)), ("bytes=1000-", 416, "bytes */1000", None),
    ("bytes=0-1,5-6", 200, "", (0, 1000)),
])  # fmt: skip
async def test_parts_of_a_raw_disk(
    call: Caller, streams: FakeStreams, range: str, code: int, told: str, part: tuple[int, int] | None
) -> None:
    await put(call)
    streams.answers["size"] = {"bytes": 1000}
    streams.duplexes.append(FakeDuplex((1, b"x")))
    answer = await ask(call, "/volumes/data/disk.img", range=range)
    assert (answer.status, answer.headers.get("content-range", "")) == (code, told)
    if part is not None:
        params = streams.asked[-1][2]
        assert (params["start"], params["end"]) == part
        assert answer.headers["content-length"] == str(part[1] - part[0])


async def test_the_manifests_make_the_machine_elsewhere(call: Caller) -> None:
    await put(call)
    answer = await ask(call, "/external/manifests/all", accept="application/yaml")
    authorities, vm, volume = [one for one in yaml.safe_load_all(answer.body) if one]
    assert authorities["data"] == {"ca.pem": "PEM"}
    (template,) = vm["spec"]["dataVolumeTemplates"]
    wanted = {"url": "https://127.0.0.1:1/api/e/volumes/root/disk.img.gz", "certConfigMap": authorities["metadata"]["name"],
              "secretExtraHeaders": ["header-secret-e"]}  # fmt: skip
    assert template["spec"]["source"] == {"http": wanted}
    assert template["spec"]["storage"]["resources"] == SPEC["resources"]
    assert vm["metadata"] == {"name": "db", "labels": {"app": "db"}} and "status" not in vm
    assert (volume["kind"], volume["metadata"]["name"]) == ("DataVolume", "data")
    assert volume["spec"]["source"]["http"]["url"].endswith("/volumes/data/disk.img.gz")
    answer = await ask(call, "/internal/manifests/secret")
    (secret,) = orjson.loads(answer.body)["items"]
    assert secret["stringData"] == {"token": f"x-kubevirt-export-token:{TOKEN}"}
