"""Eviction of launcher pods by strategy, and what migrations are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller

NS = "/api/v1/namespaces/default"
PODS = f"{NS}/pods"
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default"
STUCK = 'VMI m is configured with an eviction strategy but is not live-migratable'
MOVES = 'Eviction triggered evacuation of VMI "default/m"'
HOOK = 'admission webhook "virt-launcher-eviction-interceptor.kubevirt.io" denied the request: '


async def launcher(call: Caller, strategy: str, *, can_move: bool = False, phase: str = "Running") -> None:
    """A machine m that runs in the pod l on node n."""
    spec = {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}, "evictionStrategy": strategy}
    vmi = await call("POST", VMIS, {"metadata": {"name": "m"}, "spec": spec})
    found = {"type": "LiveMigratable", "status": str(can_move), "reason": "NotMigratable", "message": "why not"}
    await call.patch(f"{VMIS}/m/status", {"status": {"phase": "Running", "nodeName": "n", "conditions": [found]}})
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "m", "controller": True,
             "uid": vmi["metadata"]["uid"]}  # fmt: skip
    meta = {"name": "l", "labels": {"kubevirt.io": "virt-launcher"}, "ownerReferences": [owner]}
    await call("POST", PODS, {"metadata": meta, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}})
    await call.patch(f"{PODS}/l/status", {"status": {"phase": phase}})


async def evicted(call: Caller, code: int, **options: Any) -> str:
    """What an eviction of the launcher is told."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "l"}, "deleteOptions": options}
    told = await call("POST", f"{PODS}/l/eviction", eviction, code=code)
    assert not told.get("details", {}).get("retryAfterSeconds")  # kubectl would wait for that without a word
    return str(told.get("message", ""))


@pytest.mark.parametrize(("strategy", "can_move", "told", "marked"), [
    ("None", True, "", ""), ("None", False, "", ""),
    ("LiveMigrateIfPossible", False, "", ""), ("LiveMigrateIfPossible", True, MOVES, "n"),
    ("LiveMigrate", False, STUCK, ""), ("LiveMigrate", True, MOVES, "n"), ("External", False, MOVES, "n"),
])
async def test_the_strategy_decides(call: Caller, strategy: str, can_move: bool, told: str, marked: str) -> None:
    await launcher(call, strategy, can_move=can_move)
    assert await evicted(call, 429 if told else 201) == (HOOK + told if told else "")
    assert (await call("GET", f"{VMIS}/m"))["status"].get("evacuationNodeName", "") == marked


async def test_a_launcher_that_has_ended_may_go(call: Caller) -> None:
    await launcher(call, "LiveMigrate", phase="Succeeded")
    await evicted(call, 201)


async def test_a_dry_run_marks_nothing(call: Caller) -> None:
    await launcher(call, "External")
    assert MOVES in await evicted(call, 429, dryRun=["All"])
    assert "evacuationNodeName" not in (await call("GET", f"{VMIS}/m"))["status"]


@pytest.mark.parametrize("resource", ["virtualmachines", "virtualmachineinstances"])
async def test_an_evacuation_is_called_off(call: Caller, resource: str) -> None:
    await launcher(call, "External")
    await evicted(call, 429)
    assert "not" in (await call("PUT", f"{SUB}/{resource}/m/evacuate/cancel", {"evacuationNodeName": "x"}, code=409))["message"]
    await call("PUT", f"{SUB}/{resource}/m/evacuate/cancel", {"evacuationNodeName": "n"})
    assert "evacuationNodeName" not in (await call("GET", f"{VMIS}/m"))["status"]


async def test_a_migration_is_refused_with_the_reason(call: Caller) -> None:
    assert (await call("PUT", f"{SUB}/virtualmachines/m/migrate", {}, code=409))["message"].endswith("VM is not running")
    await launcher(call, "None")
    told = (await call("PUT", f"{SUB}/virtualmachines/m/migrate", {}, code=409))["message"]
    assert told.endswith("Cannot migrate VMI, Reason: NotMigratable, Message: why not")
