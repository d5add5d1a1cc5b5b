"""memorydump and removememorydump: what is refused, in KubeVirt's words, and what is written."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.model.meta import Object, get

from .conftest import Caller

BASE = "/apis/kubevirt.io/v1/namespaces/default"
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/db"
INSIDE = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}


async def put(call: Caller, phase: str = "Running", held: Object | None = None) -> None:
    vm = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "db"},
          "spec": {"runStrategy": "Always", "template": {"spec": INSIDE}}}  # fmt: skip
    await call("POST", f"{BASE}/virtualmachines", vm)
    if held is not None:
        await call.patch(f"{BASE}/virtualmachines/db/status", {"status": {"memoryDumpRequest": held}})
    if phase:
        vmi = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "db"}, "spec": INSIDE}
        await call("POST", f"{BASE}/virtualmachineinstances", vmi)
        await call.patch(f"{BASE}/virtualmachineinstances/db/status", {"status": {"phase": phase}})
    for name, size, mode in (("fits", "164Mi", "Filesystem"), ("small", "163Mi", "Filesystem"), ("block", "1Gi", "Block")):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "volumeMode": mode}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
        await call("POST", "/api/v1/namespaces/default/persistentvolumeclaims", claim)


async def asked(call: Caller, verb: str, body: Any = None) -> tuple[int, str, Object]:
    answer = await call.send("PUT", f"{SUB}/{verb}", body)
    vm = await call("GET", f"{BASE}/virtualmachines/db")
    return answer.status, answer.body.decode(), get(vm, "status", "memoryDumpRequest", default={})


async def test_a_dump_is_asked_for_and_let_go(call: Caller) -> None:
    await put(call)
    assert await asked(call, "memorydump", {"claimName": "fits", "phase": ""}) == (
        202, "", {"claimName": "fits", "phase": "Associating"})  # fmt: skip
    code, _, held = await asked(call, "removememorydump")
    assert (code, held) == (202, {"claimName": "fits", "phase": "Dissociating", "remove": True})
    assert "already exists" in (await asked(call, "removememorydump"))[1]


async def test_the_next_dump_goes_into_the_same_claim(call: Caller) -> None:
    await put(call, held={"claimName": "fits", "phase": "Completed", "fileName": "x"})
    assert (await asked(call, "memorydump", {"claimName": "", "phase": ""}))[2] == {"claimName": "fits", "phase": "Associating"}


@pytest.mark.parametrize(("body", "phase", "held", "code", "words"), [
    ("", "Running", None, 400, "Request with no body"),
    ({"claimName": ""}, "Running", None, 400, "Memory dump requires claim name to be set"),
    ({"claimName": "none"}, "Running", None, 404, '"none\\" not found'),
    ({"claimName": "small"}, "Running", None, 409, "pvc size [163Mi] should be bigger then [164Mi]"),
    ({"claimName": "block"}, "Running", None, 409, "pvc should be filesystem pvc"),
    ({"claimName": "fits"}, "", None, 404, "not found"),
    ({"claimName": "fits"}, "Scheduled", None, 409, "VMI is not running"),
    ({"claimName": "small"}, "Running", {"claimName": "fits", "phase": "Completed"}, 409,
     "can't request memory dump for pvc [small] while pvc [fits] is still associated as the memory dump pvc"),
    ({"claimName": "fits"}, "Running", {"claimName": "fits", "phase": "InProgress"}, 409,
     "memory dump request for pvc [fits] already in progress"),
    ({"claimName": "fits"}, "Running", {"claimName": "fits", "phase": "Dissociating"}, 409,
     "a remove memory dump request is in progress"),
])  # fmt: skip
async def test_refusals(call: Caller, body: Any, phase: str, held: Object | None, code: int, words: str) -> None:
    await put(call, phase, held)
    found, said, left = await asked(call, "memorydump", body.encode() if isinstance(body, str) else body)
    assert (found, left) == (code, held or {}) and words in said


async def test_nothing_to_remove(call: Caller) -> None:
    await put(call)
    code, said, _ = await asked(call, "removememorydump")
    assert code == 409 and "can't remove memory dump association for vm db, no association found" in said
