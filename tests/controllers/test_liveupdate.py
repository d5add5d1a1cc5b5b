"""Which changes of a template reach a running instance, and which wait."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from vmpod.controllers import liveupdate
from vmpod.controllers.liveupdate import CHANGED
from vmpod.kinds import VIRTUALMACHINEINSTANCE
from vmpod.model.meta import Object, get
from vmpod.model.patch import merge_patch

TEMPLATE: Object = {"spec": {"domain": {
    "cpu": {"sockets": 2, "cores": 1}, "memory": {"guest": "128Mi", "maxGuest": "256Mi"},
    "resources": {"requests": {"memory": "128Mi"}}}}}  # fmt: skip


def vm(**change: Any) -> Object:
    template = merge_patch(deepcopy(TEMPLATE), {"spec": change})
    return {"metadata": {"name": "m", "uid": "u", "generation": 2}, "spec": {"runStrategy": "Always", "template": template}}


def vmi(template: Object = TEMPLATE, **status: Any) -> Object:
    spec = VIRTUALMACHINEINSTANCE.default({"metadata": {"name": "m"}, "spec": deepcopy(template["spec"])})["spec"]
    state = {"phase": "Running", "memory": {"guestAtBoot": "128Mi", "guestCurrent": "128Mi"}, **status}
    return {"metadata": {"name": "m", "annotations": {"kubevirt.io/vm-generation": "1"}}, "spec": spec, "status": state}


def memory(guest: str) -> Object:
    return {"domain": {"memory": {"guest": guest}}}


def sockets(number: int) -> Object:
    return {"domain": {"cpu": {"sockets": number}}}


def hot(type: str, status: str) -> Object:
    return {"conditions": [{"type": type, "status": status, "message": "no"}]}


@pytest.mark.parametrize(("change", "state", "reason"), [
    ({}, {}, ""),
    ({"hostname": "x"}, {}, CHANGED),
    ({"domain": {"cpu": {"cores": 2}}}, {}, CHANGED),
    ({"domain": {"cpu": {"maxSockets": 9}}}, {}, CHANGED),
    ({"domain": {"memory": {"maxGuest": "1Gi"}}}, {}, CHANGED),
    ({"terminationGracePeriodSeconds": 1}, {}, CHANGED),
    ({"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}], "affinity": {"nodeAffinity": {}}}, {}, ""),
    (sockets(8), {}, ""),
    (sockets(9), {}, "CPU sockets updated in template spec to a value higher than what's available"),
    (sockets(1), {}, "Reduction of CPU socket count requires a restart"),
    (sockets(3), hot("HotVCPUChange", "False"), "CPU hotplug failed: no"),
    (memory("256Mi"), {}, ""),
    (memory("258Mi"), {}, "memory updated in template spec to a value higher than what's available"),
    (memory("129Mi"), {}, "memory hotplug not supported, Guest memory must be 2Mi aligned"),
    (memory("64Mi"), {}, "memory updated in template spec to a value lower than what the VM started with"),
    (memory("200Mi"), hot("HotMemoryChange", "False"),
     "memory updated in template spec. Memory-hotplug failed and is not available for this VM configuration"),
])  # fmt: skip
def test_what_waits_for_a_restart(change: Object, state: Object, reason: str) -> None:
    assert liveupdate.restart_reason(vm(**change), vmi(**state), TEMPLATE) == reason


@pytest.mark.parametrize(("limits", "change", "reason"), [
    ({"memory": "256Mi"}, memory("192Mi"), "resources.limits.memory of a running machine does not change"),
    ({"cpu": "2"}, sockets(3), "resources.limits.cpu of a running machine does not change"),
])  # fmt: skip
def test_limits_are_those_of_a_container(limits: Object, change: Object, reason: str) -> None:
    started = merge_patch(deepcopy(TEMPLATE), {"spec": {"domain": {"resources": {"limits": limits}}}})
    wanted = vm(**merge_patch({"domain": {"resources": {"limits": limits}}}, change))
    assert liveupdate.restart_reason(wanted, vmi(started), started) == reason


def test_memory_that_cannot_grow_waits() -> None:
    odd = {"spec": {"domain": {"memory": {"guest": "129Mi"}}}}
    found = vmi(odd)
    assert get(found, "spec", "domain", "memory", "maxGuest") is None
    wanted = {"metadata": {"generation": 2}, "spec": {"template": {"spec": memory("140Mi")}}}
    assert liveupdate.restart_reason(wanted, found, odd).endswith("is not available for this VM configuration")


def test_an_unknown_start_is_not_held_against_a_machine() -> None:
    assert liveupdate.restart_reason(vm(hostname="x"), vmi(), None) == ""


def test_live_fields_reach_the_instance() -> None:
    change = merge_patch(sockets(4), memory("256Mi"))
    fresh = liveupdate.updated(vm(nodeSelector={"a": "b"}, **change), vmi(), TEMPLATE)
    assert fresh is not None
    spec = fresh["spec"]
    assert (spec["domain"]["cpu"]["sockets"], spec["domain"]["memory"]["guest"]) == (4, "256Mi")
    assert spec["nodeSelector"] == {"a": "b"} and spec["domain"]["resources"]["requests"]["memory"] == "256Mi"
    assert fresh["metadata"]["annotations"]["kubevirt.io/vm-generation"] == "1"
    assert liveupdate.updated(vm(nodeSelector={"a": "b"}, **change), fresh, TEMPLATE) is None
    back = liveupdate.updated(vm(**change), fresh, TEMPLATE)
    assert back is not None and "nodeSelector" not in back["spec"]


@pytest.mark.parametrize(("before", "after", "live"), [
    (None, "down", True), ("down", "up", True), ("down", None, True),
    ("absent", "up", False), ("up", "absent", False),
])
def test_links_are_live_and_cards_are_not(before: str | None, after: str | None, live: bool) -> None:
    def template(state: str | None) -> Object:
        card: Object = {"name": "default", "masquerade": {}} | ({"state": state} if state else {})
        made = deepcopy(TEMPLATE)
        made["spec"] |= {"networks": [{"name": "default", "pod": {}}]}
        made["spec"]["domain"]["devices"] = {"interfaces": [card]}
        return made

    machine = {"metadata": {"name": "m", "uid": "u", "generation": 2}, "spec": {"template": template(after)}}
    assert liveupdate.restart_reason(machine, vmi(template(before)), template(before)) == ("" if live else CHANGED)
    fresh = liveupdate.updated(machine, vmi(template(before)), template(before))
    shown = get(fresh or {}, "spec", "domain", "devices", "interfaces", default=[{}])[0].get("state")
    assert shown == (after if live else None)


@pytest.mark.parametrize("state", [
    hot("HotVCPUChange", "True"), {"migrationState": {"startTimestamp": "x"}}, {"phase": "Succeeded"},
])  # fmt: skip
def test_one_change_at_a_time(state: Object) -> None:
    assert liveupdate.updated(vm(**sockets(3)), vmi(**state), TEMPLATE) is None


def test_an_unchanged_template_moves_the_generation() -> None:
    fresh = liveupdate.updated(vm(), vmi(), TEMPLATE)
    assert fresh is not None and fresh["spec"] == vmi()["spec"]
    assert fresh["metadata"]["annotations"]["kubevirt.io/vm-generation"] == "2"


@pytest.mark.parametrize(("spec", "cpu", "guest"), [
    ({"domain": {"memory": {"guest": "64Mi"}}}, 4, "256Mi"),
    ({"domain": {"cpu": {"sockets": 3, "maxSockets": 5}, "memory": {"guest": "64Mi", "maxGuest": "128Mi"}}}, 5, "128Mi"),
    ({"domain": {"cpu": {"sockets": 100, "cores": 4}, "memory": {"guest": "63Mi"}}}, 128, None),
    ({"domain": {"cpu": {"sockets": 300, "cores": 4}, "memory": {"guest": "64Mi"}, "launchSecurity": {}}}, 300, None),
])  # fmt: skip
def test_how_far_a_machine_may_grow(spec: Object, cpu: int, guest: str | None) -> None:
    found = VIRTUALMACHINEINSTANCE.default({"metadata": {"name": "m"}, "spec": {**spec, "architecture": "amd64"}})["spec"]
    assert (found["domain"]["cpu"]["maxSockets"], found["domain"]["memory"].get("maxGuest")) == (cpu, guest)


def test_staged_changes_wait_for_a_restart() -> None:
    staged = {"vmRolloutStrategy": "Stage"}
    assert liveupdate.restart_reason(vm(nodeSelector={"a": "b"}), vmi(), TEMPLATE, staged) == CHANGED
    assert liveupdate.restart_reason(vm(nodeSelector={"a": "b"}), vmi(), TEMPLATE) == ""
    assert liveupdate.updated(vm(nodeSelector={"a": "b"}), vmi(), TEMPLATE, staged) is None
    assert liveupdate.restart_reason(vm(), vmi(), TEMPLATE, staged) == ""
