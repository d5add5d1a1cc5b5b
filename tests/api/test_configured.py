"""The configuration of the KubeVirt object, as machines meet it when they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller

BASE = "/apis/kubevirt.io/v1/namespaces"
VMIS, VMS = f"{BASE}/default/virtualmachineinstances", f"{BASE}/default/virtualmachines"
SPEC = {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}}
CONFIG = {
    "developerConfiguration": {"memoryOvercommit": 200}, "evictionStrategy": "LiveMigrateIfPossible",
    "machineType": "pc-q35-7.2", "emulatedMachines": ["pc-q35*"],
}


@pytest.fixture(autouse=True)
async def configured(call: Caller) -> None:
    """The object with CONFIG."""
    await call("POST", "/api/v1/namespaces", {"metadata": {"name": "kubevirt"}})
    await call("POST", f"{BASE}/kubevirt/kubevirts", {"metadata": {"name": "kubevirt"}, "spec": {"configuration": CONFIG}})


async def test_an_instance_gets_its_defaults(call: Caller) -> None:
    spec = (await call("POST", VMIS, {"metadata": {"name": "m"}, "spec": SPEC}))["spec"]
    assert spec["evictionStrategy"] == "LiveMigrateIfPossible"
    assert spec["domain"]["machine"]["type"] == "pc-q35-7.2"
    assert spec["domain"]["resources"]["requests"]["memory"] == "512Mi"
    assert spec["domain"]["memory"] == {"guest": "1Gi", "maxGuest": "4Gi"}


async def test_a_machine_gets_its_board_and_nothing_that_may_change(call: Caller) -> None:
    made = await call("POST", VMS, {"metadata": {"name": "m"}, "spec": {"runStrategy": "Halted", "template": {"spec": SPEC}}})
    spec = made["spec"]["template"]["spec"]
    assert spec["domain"]["machine"]["type"] == "pc-q35-7.2"
    assert "evictionStrategy" not in spec and "resources" not in spec["domain"]


@pytest.mark.parametrize(("path", "wrap", "field"), [
    (VMIS, lambda spec: spec, "spec"),
    (VMS, lambda spec: {"runStrategy": "Halted", "template": {"spec": spec}}, "spec.template.spec"),
])
async def test_a_board_that_is_not_allowed(call: Caller, path: str, wrap: Any, field: str) -> None:
    spec = {"domain": {**SPEC["domain"], "machine": {"type": "pc"}}}
    told = (await call("POST", path, {"metadata": {"name": "m"}, "spec": wrap(spec)}, code=422))["message"]
    assert f"{field}.domain.machine.type is not supported: pc (allowed values: [pc-q35*])" in told


async def test_nonsense_in_a_machine_is_still_told(call: Caller) -> None:
    for spec in ({"domain": "x"}, {"domain": {"devices": [], "resources": "y"}}, {"template": "z"}, {}):
        for path in (VMIS, VMS):
            answer = await call.send("POST", path, {"metadata": {"name": "m"}, "spec": spec})
            assert answer.status in (400, 422), (spec, answer.body)
