"""Scale, binding, eviction, and the verbs of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller, FakeStreams

NS = "/api/v1/namespaces/default"
PODS = f"{NS}/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default"
DOMAIN = {"devices": {}, "memory": {"guest": "1Gi"}}


async def test_scale(call: Caller) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await call("POST", DEPLOYMENTS, {
        "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    })
    scale = await call("GET", f"{DEPLOYMENTS}/d/scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 1}, {"replicas": 0, "selector": "a=b"})
    scale["spec"]["replicas"] = 3
    assert (await call("PUT", f"{DEPLOYMENTS}/d/scale", scale))["spec"]["replicas"] == 3
    await call("PUT", f"{DEPLOYMENTS}/d/scale", scale, code=409)
    assert (await call.patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 0}}))["spec"]["replicas"] == 0
    await call.patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": -1}}, code=422)
    assert (await call("GET", f"{DEPLOYMENTS}/d"))["metadata"]["generation"] == 3


async def test_binding_and_eviction(call: Caller) -> None:
    await call("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    await call("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    assert (await call("POST", f"{PODS}/p/binding", binding, code=201))["status"] == "Success"
    pod = await call("GET", f"{PODS}/p")
    assert pod["spec"]["nodeName"] == "n"
    assert {"type": "PodScheduled", "status": "True"}.items() <= pod["status"]["conditions"][0].items()
    assert "already assigned to node" in (await call("POST", f"{PODS}/p/binding", binding, code=409))["message"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 3}}
    await call("POST", f"{PODS}/p/eviction", eviction, code=201)
    assert (await call("GET", f"{PODS}/p"))["metadata"]["deletionGracePeriodSeconds"] == 3


@pytest.mark.parametrize(("path", "told"), [
    ("authorization.k8s.io/v1/selfsubjectaccessreviews", {"allowed": True}),
    ("authorization.k8s.io/v1/selfsubjectrulesreviews", {"incomplete": False}),
    ("authentication.k8s.io/v1/selfsubjectreviews", {"userInfo": {"username": "vmpod-admin", "groups": ["system:masters", "system:authenticated"]}}),
])
async def test_reviews_of_oneself(call: Caller, path: str, told: dict[str, Any]) -> None:
    answer = await call("POST", f"/apis/{path}", {"spec": {"x": "y"}}, code=201)
    assert told == {key: answer["status"][key] for key in told}
    assert answer["apiVersion"] == path.rpartition("/")[0]


async def test_log_questions(call: Caller, streams: FakeStreams, duplex: Any) -> None:
    await call("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}})
    assert (await call("GET", f"{PODS}/p/log", code=400))["message"] == (
        "a container name must be specified for pod p, choose one of: [c d]"
    )
    assert "does not have a host assigned" in (await call("GET", f"{PODS}/p/log", code=400, container="c"))["message"]
    await call("GET", f"{PODS}/p/log", code=422, container="c", sinceSeconds="0")
    await call("GET", f"{PODS}/p/exec", code=422, container="c", stdout="1")
    await call("POST", PODS, {"metadata": {"name": "q"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}})
    spdy = {"upgrade": "SPDY/3.1"}
    told = await call("POST", f"{PODS}/q/exec", code=400, headers=spdy, command="ls", stdout="1")
    assert "use kubectl 1.31 or newer" in told["message"]
    await call("GET", f"{PODS}/p/exec", code=400, container="c", command="ls")


async def _machine(call: Caller, strategy: str, phase: str = "", **spec: Any) -> None:
    template = {"spec": {"domain": DOMAIN}}
    await call("POST", VMS, {"metadata": {"name": "m"}, "spec": {"runStrategy": strategy, "template": template, **spec}})
    if phase:
        await call("POST", VMIS, {
            "metadata": {"name": "m"}, "spec": {"domain": DOMAIN, "terminationGracePeriodSeconds": 60},
            "status": {"phase": phase},
        })
        record = await call("GET", f"{VMIS}/m")
        await call("PUT", f"{VMIS}/m/status", {**record, "status": {"phase": phase}})


async def _asked(call: Caller, verb: str, body: Any = None) -> tuple[int, str]:
    answer = await call.send("PUT", f"{SUB}/virtualmachines/m/{verb}", body)
    return answer.status, orjson.loads(answer.body)["message"].partition('"m": ')[2] if answer.body else ""


async def _requests(call: Caller) -> list[str]:
    found = (await call("GET", f"{VMS}/m")).get("status", {}).get("stateChangeRequests", [])
    return [one["action"] for one in found]


_RUNS, _IDLE = "VM is already running", "VM is not running"
_NO_START = "{} does not support manual start requests"
_NO_RESTART = "RunStategy {} does not support manual restart requests"
_SHORTER = "Halted only supports manual stop requests with a shorter graceperiod"
_FAILED = "RerunOnFailure does not support starting VM from failed state"


def _told(verb: str, strategy: str, phase: str) -> tuple[str, list[str], str]:
    """What KubeVirt answers (empty: 202), which requests it leaves behind, and the strategy afterwards."""
    is_live, is_final = phase not in ("", "Succeeded", "Failed"), phase in ("Succeeded", "Failed")
    if verb == "start":
        if is_live:
            return _RUNS, [], strategy
        if strategy == "Halted":
            return "", [], "Always"
        if strategy in ("Always", "Once"):
            return _NO_START.format(strategy), [], strategy
        if strategy == "RerunOnFailure" and phase == "Failed":
            return _FAILED, [], strategy
        return "", ["Stop", "Start"] if is_final else ["Start"], strategy
    if verb == "stop":
        if strategy in ("Always", "Once"):
            return "", [], "Halted"
        if not is_live:
            return _IDLE, [], strategy
        return (_SHORTER, [], strategy) if strategy == "Halted" else ("", ["Stop"], strategy)
    if strategy in ("Halted", "Once"):
        return _NO_RESTART.format(strategy), [], strategy
    return (f"{_IDLE}: Halted", [], strategy) if not phase else ("", ["Stop", "Start"], strategy)


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
@pytest.mark.parametrize("strategy", ["Halted", "Always", "Manual", "RerunOnFailure", "Once"])
async def test_run_strategies(call: Caller, verb: str, strategy: str) -> None:
    for phase in ("", "Pending", "Scheduling", "Scheduled", "Running", "Succeeded", "Failed"):
        refusal, requests, then = _told(verb, strategy, phase)
        await _machine(call, strategy, phase)
        assert await _asked(call, verb, {"dryRun": ["All"]}) == (409 if refusal else 202, refusal), phase
        assert (await call("GET", f"{VMS}/m"))["spec"]["runStrategy"] == strategy and not await _requests(call)
        assert await _asked(call, verb) == (409 if refusal else 202, refusal), phase
        assert await _requests(call) == requests, phase
        assert (await call("GET", f"{VMS}/m"))["spec"]["runStrategy"] == then
        for path in (f"{VMS}/m", *([f"{VMIS}/m"] if phase else [])):
            await call("DELETE", path)


async def test_a_halted_machine_that_still_shuts_down_is_hurried(call: Caller) -> None:
    await _machine(call, "Halted", "Running")
    assert await _asked(call, "stop", {"gracePeriod": 60}) == (409, _SHORTER)
    assert await _asked(call, "stop", {"gracePeriod": 2, "dryRun": ["All"]}) == (202, "")
    assert (await call("GET", f"{VMIS}/m"))["spec"]["terminationGracePeriodSeconds"] == 60
    assert await _asked(call, "stop", {"gracePeriod": 2}) == (202, "")
    assert (await call("GET", f"{VMIS}/m"))["spec"]["terminationGracePeriodSeconds"] == 2
    assert await _requests(call) == ["Stop"]


async def test_who_asks_does_not_wait_for_earlier_failures(call: Caller) -> None:
    await _machine(call, "Manual")
    record = await call("GET", f"{VMS}/m")
    await call("PUT", f"{VMS}/m/status", {**record, "status": {"startFailure": {"consecutiveFailCount": 3}}})
    assert await _asked(call, "start") == (202, "")
    assert (await call("GET", f"{VMS}/m"))["status"] == {"stateChangeRequests": [{"action": "Start"}]}


@pytest.mark.parametrize(("verb", "body", "said"), [
    ("restart", {"gracePeriodSeconds": 5}, "For force restart, only gracePeriod=0 is supported for now"),
    ("restart", {"gracePeriodSeconds": -1}, "gracePeriod has to be greater or equal to 0"),
    ("stop", {"gracePeriod": "soon"}, "gracePeriod is not a number"),
    ("start", ["paused"], "Can not unmarshal Request body to struct"),
])  # fmt: skip
async def test_options_that_make_no_sense(call: Caller, verb: str, body: Any, said: str) -> None:
    await _machine(call, "Always", "Running")
    answer = await call("PUT", f"{SUB}/virtualmachines/m/{verb}", body, code=400)
    assert said in answer["message"]


async def test_the_deprecated_running_is_kept(call: Caller) -> None:
    await call("POST", VMS, {"metadata": {"name": "m"}, "spec": {"running": False, "template": {"spec": {"domain": DOMAIN}}}})
    assert (await _asked(call, "start"))[0] == 202
    assert (await call("GET", f"{VMS}/m"))["spec"]["running"] is True


async def test_requests_wait_for_each_other(call: Caller) -> None:
    await _machine(call, "Manual", "Running")
    await _asked(call, "restart")
    assert await _asked(call, "restart") == (409, "unable to complete request: stop/start already underway")
    assert await _asked(call, "stop") == (202, "")
    assert await _requests(call) == ["Stop"]


async def test_forced_stop_and_restart(call: Caller) -> None:
    await _machine(call, "Always", "Running")
    uid = (await call("GET", f"{VMIS}/m"))["metadata"]["uid"]
    await call("POST", PODS, {
        "metadata": {"name": "launcher", "labels": {"kubevirt.io/created-by": uid}},
        "spec": {"nodeName": "n", "containers": [{"name": "compute", "image": "i"}]},
    })
    assert await _asked(call, "restart", {"gracePeriodSeconds": 0}) == (202, "")
    await call("GET", f"{PODS}/launcher", code=404)
    assert await _asked(call, "stop", {"gracePeriod": 0}) == (202, "")
    assert (await call("GET", f"{VMIS}/m"))["spec"]["terminationGracePeriodSeconds"] == 0


async def test_a_dry_start_starts_nothing(call: Caller) -> None:
    await _machine(call, "Halted")
    assert await _asked(call, "start", {"dryRun": ["All"]}) == (202, "")
    assert (await call("GET", f"{VMS}/m"))["spec"]["runStrategy"] == "Halted"
    assert await _asked(call, "start", {"paused": True}) == (202, "")
    assert await _requests(call) == ["Start"]


async def test_machines_are_asked(call: Caller, streams: FakeStreams) -> None:
    machine = f"{SUB}/virtualmachineinstances/m"
    assert (await call("PUT", f"{machine}/pause", code=404))["reason"] == "NotFound"
    await _machine(call, "Always", "Scheduled")
    for verb in ("pause", "softreboot", "freeze"):
        assert "VM is not running" in (await call("PUT", f"{machine}/{verb}", code=409))["message"]
    for verb in ("unpause", "unfreeze"):
        assert "VMI is not running" in (await call("PUT", f"{machine}/{verb}", code=409))["message"]
    assert (await call("PUT", f"{machine}/reset", code=400))["message"] == (
        "Failed to reset non-running VMI with phase Scheduled: Unable to connect to VirtualMachineInstance because "
        "phase is Scheduled instead of Running")
    record = await call("GET", f"{VMIS}/m")
    await call("PUT", f"{VMIS}/m/status", {**record, "status": {"phase": "Running"}})
    assert "VMI is not paused" in (await call("PUT", f"{machine}/unpause", {}, code=409))["message"]
    for verb in ("pause", "softreboot", "reset"):
        assert (await call.send("PUT", f"{machine}/{verb}")).status == 200
    assert [verb for _, verb, _ in streams.asked] == ["pause", "softreboot", "reset"]
    assert "guest agent" in (await call("GET", f"{machine}/guestosinfo", code=409))["message"]
    record = await call("GET", f"{VMIS}/m")
    conditions = [{"type": "AgentConnected", "status": "True"}, {"type": "Paused", "status": "True"}]
    await call("PUT", f"{VMIS}/m/status", {**record, "status": {"phase": "Running", "conditions": conditions}})
    streams.answers = {"userlist": {"items": [{"userName": "u"}]}, "screenshot": {"data": b"PNG"}}
    assert (await call.send("PUT", f"{machine}/freeze")).status == 200 and streams.asked[-1][1] == "freeze"
    users = await call("GET", f"{machine}/userlist")
    assert (users["kind"], users["items"]) == ("VirtualMachineInstanceGuestOSUserList", [{"userName": "u"}])
    assert "already paused" in (await call("PUT", f"{machine}/pause", {}, code=409))["message"]
    shot = await call.send("GET", f"{machine}/vnc/screenshot")
    assert (shot.body, shot.headers["content-type"]) == (b"PNG", "image/png")


async def _running(call: Caller, spec: dict[str, Any], **state: Any) -> None:
    await call("POST", VMIS, {"metadata": {"name": "m"}, "spec": {"domain": DOMAIN, **spec}})
    record = await call("GET", f"{VMIS}/m")
    await call("PUT", f"{VMIS}/m/status", {**record, "status": {"phase": "Running", **state}})


@pytest.mark.parametrize(("verb", "spec", "state", "said"), [
    ("pause", {"livenessProbe": {"tcpSocket": {"port": 1}}}, {}, "Pausing VMIs with LivenessProbe is currently not supported"),
    ("pause", {}, {"migrationState": {"startTimestamp": "x"}}, "Cannot pause VM 'm' because it is currently being migrated"),
    ("softreboot", {"domain": {**DOMAIN, "features": {"acpi": {"enabled": False}}}}, {},
     "VMI neither have the agent connected nor the ACPI feature enabled"),
    ("softreboot", {}, {"conditions": [{"type": "Paused", "status": "True"}]}, "VMI is paused"),
    ("freeze", {}, {}, "VMI does not have guest agent connected"),
    ("unfreeze", {}, {}, "VMI does not have guest agent connected"),
])  # fmt: skip
async def test_what_a_running_machine_refuses(
    call: Caller, streams: FakeStreams, verb: str, spec: dict[str, Any], state: dict[str, Any], said: str
) -> None:
    await _running(call, spec, **state)
    answer = await call.send("PUT", f"{SUB}/virtualmachineinstances/m/{verb}")
    told = orjson.loads(answer.body)
    assert answer.status == (403 if "LivenessProbe" in said else 409) and told["message"].endswith(said)
    assert not streams.asked


async def test_a_machine_is_not_unpaused_during_its_snapshot(call: Caller, streams: FakeStreams) -> None:
    await _machine(call, "Always", "Running")
    record = await call("GET", f"{VMS}/m")
    await call("PUT", f"{VMS}/m/status", {**record, "status": {"snapshotInProgress": "s"}})
    told = await call("PUT", f"{SUB}/virtualmachineinstances/m/unpause", code=409)
    assert told["message"].endswith("VM snapshot is in progress") and not streams.asked


async def test_consoles_wait_for_a_running_machine(call: Caller) -> None:
    await _machine(call, "Always", "Scheduled")
    for verb in ("console", "vnc", "portforward/22/tcp"):
        told = await call("GET", f"{SUB}/virtualmachineinstances/m/{verb}", code=400)
        assert told["message"] == "VMI is not running"
    await call("GET", f"{SUB}/virtualmachineinstances/m/portforward/99999", code=400)
    record = await call("GET", f"{VMIS}/m")
    await call("PUT", f"{VMIS}/m/status", {**record, "status": {"phase": "Failed"}})
    await call("GET", f"{SUB}/virtualmachineinstances/m/console", code=409)


async def test_kubevirt_tells_its_version(call: Caller) -> None:
    group = await call("GET", "/apis/subresources.kubevirt.io")
    assert group["preferredVersion"]["groupVersion"] == "subresources.kubevirt.io/v1"
    version = await call("GET", "/apis/subresources.kubevirt.io/v1/version")
    assert version["gitVersion"].startswith("v1.9") and (version["major"], version["minor"]) == ("1", "9")
    names = [one["name"] for one in (await call("GET", "/apis/subresources.kubevirt.io/v1"))["resources"]]
    assert "virtualmachines/start" in names and "virtualmachineinstances/console" in names
