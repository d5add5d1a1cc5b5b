"""What is seen of a machine, as its VMI's status."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.model import conditions
from vmpod.model.meta import Object
from vmpod.node.status.machine import Guest, Observed, emulation_reason, guest_os, is_ready, phase, status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UP = Observed(run_state="running", machine_type="pc-q35-9.2", ips=("10.1.0.20",), mac="02:00:00:00:00:01")
POD: Object = {"metadata": {"uid": "p1"}, "spec": {"nodeName": "here", "containers": [{"image": "launcher:1"}]},
               "status": {"qosClass": "Burstable"}}


def vmi(phase: str = "Scheduled", **status: Any) -> Object:
    return {
        "metadata": {"name": "vm1", "namespace": "default", "uid": "u1"},
        "spec": {"domain": {"memory": {"guest": "1Gi"}, "cpu": {"cores": 2},
                            "devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}],
                                        "interfaces": [{"name": "default", "masquerade": {}}]}},
                 "networks": [{"name": "default", "pod": {}}], "volumes": [{"name": "root", "emptyDisk": {}}]},
        "status": {"phase": phase, **status},
    }


def tell(obj: Object, seen: Observed, *, emulated: str = "", now: datetime = NOW) -> Object:
    made = status(obj, POD, seen, emulated=emulated, now=now)
    assert made is not None
    return made


def test_running() -> None:
    found = tell(vmi(), UP)
    assert found["interfaces"] == [{
        "name": "default", "mac": "02:00:00:00:00:01", "infoSource": "domain", "queueCount": 1, "podInterfaceName": "eth0",
        "linkState": "up", "ipAddress": "10.1.0.20", "ipAddresses": ["10.1.0.20"]}]
    assert found["phaseTransitionTimestamps"] == [{"phase": "Running", "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}]
    assert (found["phase"], found["machine"], found["runtimeUser"]) == ("Running", {"type": "pc-q35-9.2"}, 107)
    assert found["currentCPUTopology"] == {"sockets": 1, "cores": 2, "threads": 1}
    assert found["memory"] == {"guestAtBoot": "1Gi", "guestCurrent": "1Gi", "guestRequested": "1Gi"}
    assert found["volumeStatus"] == [{"name": "root", "target": "vda"}]
    assert (found["activePods"], found["nodeName"]) == ({"p1": "here"}, "here")
    assert {one["type"]: one["status"] for one in found["conditions"]} == {"Ready": "True", "LiveMigratable": "True"}


def test_a_disk_is_as_large_as_qemu_says_and_stays_so_while_it_is_not_asked() -> None:
    obj, large = vmi(), [{"name": "root", "size": 1 << 20, "target": "vda"}]
    found = tell(obj, replace(UP, disks={"root": 1 << 20, "gone": 1}))
    assert found["volumeStatus"] == large
    assert tell({**obj, "status": found}, UP)["volumeStatus"] == large


def test_a_link_that_is_down_is_told() -> None:
    assert [one["linkState"] for one in tell(vmi(), replace(UP, down=frozenset({"default"})))["interfaces"]] == ["down"]


CLAIM: Object = {
    "metadata": {"name": "data"}, "status": {"capacity": {"storage": "2Gi"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}  # fmt: skip
TOLD: Object = {"claimName": "data", "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "filesystemOverhead": "0",
                "capacity": {"storage": "2Gi"}, "requests": {"storage": "1Gi"}}  # fmt: skip


def test_a_plugged_volume_and_its_claim() -> None:
    obj = vmi("Running")
    obj["spec"]["volumes"].append({"name": "more", "persistentVolumeClaim": {"claimName": "data", "hotpluggable": True}})
    seen = replace(UP, plugged={"more": ("Ready", "VolumeReady", "it is there")})
    found = status(obj, POD, seen, emulated="", now=NOW, claim=lambda name: CLAIM if name == "data" else None)
    row = {"name": "more", "target": "sda", "persistentVolumeClaimInfo": TOLD, "phase": "Ready", "reason": "VolumeReady",
           "message": "it is there", "hotplugVolume": {"attachPodName": "", "attachPodUID": "p1"}}  # fmt: skip
    assert found is not None and found["volumeStatus"] == [row, {"name": "root", "target": "vda"}]
    obj["spec"]["volumes"].pop()
    leaving = replace(UP, plugged={"more": ("Detaching", "VolumeDetaching", "it goes")})
    (kept, _) = tell({**obj, "status": found}, leaving)["volumeStatus"]
    assert (kept["phase"], kept["persistentVolumeClaimInfo"]) == ("Detaching", TOLD)
    assert [one["name"] for one in tell({**obj, "status": found}, UP)["volumeStatus"]] == ["root"]


def test_nothing_changes_later() -> None:
    first = tell(vmi(), UP, emulated="no KVM")
    again = tell({**vmi(), "status": first}, UP, emulated="no KVM", now=NOW + timedelta(hours=1))
    assert again == first


@pytest.mark.parametrize("now", ["", "Pending", "Scheduling", "Succeeded", "Failed"])
def test_not_the_nodes_word(now: str) -> None:
    assert status(vmi(now), POD, UP, emulated="", now=NOW) is None


@pytest.mark.parametrize(("seen", "expected"), [
    (UP, "Running"), (Observed(), "Scheduled"), (replace(UP, run_state="prelaunch"), "Running"),
    (replace(UP, run_state="paused"), "Running"), (replace(UP, run_state="shutdown"), "Scheduled"),
    (Observed(exit_code=0), "Succeeded"), (Observed(exit_code=1), "Failed"), (Observed(exit_code=137), "Failed"),
    (Observed(exit_code=137, stop_wished=True), "Succeeded"), (Observed(exit_code=1, guest_stopped=True), "Succeeded"),
])
def test_phase(seen: Observed, expected: str) -> None:
    assert phase(vmi(), seen) == expected


def condition(found: Object, type: str) -> tuple[str, str, str] | None:
    one = conditions.find(found["conditions"], type)
    return None if one is None else (one["status"], one.get("reason", ""), one.get("message", ""))


@pytest.mark.parametrize(("state", "reason"), [
    ("paused", "PausedByUser"), ("prelaunch", "PausedByUser"), ("io-error", "PausedIOError")])
def test_paused_is_not_ready(state: str, reason: str) -> None:
    found = tell(vmi("Running"), replace(UP, run_state=state))
    paused = condition(found, "Paused")
    assert paused is not None
    assert paused[:2] == ("True", reason)
    assert condition(found, "Ready") == ("False", "GuestNotRunning", "Guest VM is paused")
    assert condition(tell({**vmi("Running"), "status": found}, UP), "Paused") is None


def test_readiness_follows_the_probe() -> None:
    unready = replace(UP, ready=False, ready_why="Readiness probe failed: refused")
    assert condition(tell(vmi("Running"), unready), "Ready") == ("False", "ContainersNotReady", "Readiness probe failed: refused")
    assert is_ready(unready) == "Readiness probe failed: refused"
    assert is_ready(replace(UP, ready=True)) is True
    assert is_ready(Observed()) == "Guest VM is not reported as running"


def test_emulation_is_said_and_taken_back() -> None:
    found = tell(vmi(), UP, emulated=emulation_reason("tcg", "/dev/kvm hangs"))
    said = condition(found, "SoftwareEmulation")
    assert said is not None
    assert said[:2] == ("True", "NoKVM")
    assert "/dev/kvm hangs" in said[2]
    assert condition(tell({**vmi("Running"), "status": found}, UP, emulated=emulation_reason("kvm", "")), "SoftwareEmulation") is None


def test_emulation_may_be_asked_for() -> None:
    assert emulation_reason("kvm", "", "tcg") == "the machine asks for it (vmpod.io/accelerator: tcg)"
    assert emulation_reason("tcg", "/dev/kvm hangs", "tcg") == "/dev/kvm hangs"
    assert emulation_reason("kvm", "", "kvm") == ""


def test_agent() -> None:
    guest = Guest(True, True, "7.2", guest_os({"name": "Debian", "kernel-release": "6.1", "pretty-name": "D 12"}),
                  {"02:00:00:00:00:01": "enp1s0"})
    found = tell(vmi(), replace(UP, guest=guest))
    assert found["guestOSInfo"] == {"name": "Debian", "kernelRelease": "6.1", "prettyName": "D 12"}
    assert found["interfaces"][0]["interfaceName"] == "enp1s0"
    assert found["interfaces"][0]["infoSource"] == "domain, guest-agent"
    assert condition(found, "AgentConnected") == ("True", "", "")
    unasked = tell({**vmi("Running"), "status": found}, replace(UP, guest=Guest(connected=True)))
    assert unasked == found, "a new engine keeps what is still true"
    gone = tell({**vmi("Running"), "status": found}, UP)
    assert gone["guestOSInfo"] == {}
    assert condition(gone, "AgentConnected") is None


@pytest.mark.parametrize(("why", "value"), [("", "True"), ("Guest agent is offline", "False")])
def test_credentials_are_told(why: str, value: str) -> None:
    assert condition(tell(vmi(), replace(UP, credentials=why)), "AccessCredentialsSynchronized") == (value, "", why)
    assert condition(tell(vmi(), UP), "AccessCredentialsSynchronized") is None


def test_trouble_is_told_until_it_runs() -> None:
    found = tell(vmi(), Observed(trouble=("InsufficientMemory", "cannot start the machine vm1: it wants more")))
    assert condition(found, "Synchronized") == ("False", "InsufficientMemory", "cannot start the machine vm1: it wants more")
    assert condition(tell({**vmi(), "status": found}, UP), "Synchronized") is None


def test_end_leaves_no_stale_conditions() -> None:
    running = tell(vmi(), replace(UP, guest=Guest(connected=True)), emulated="x")
    ended = tell({**vmi(), "status": running}, Observed(exit_code=1))
    assert ended["phase"] == "Failed"
    assert {one["type"]: one["status"] for one in ended["conditions"]} == {"Ready": "False", "LiveMigratable": "True"}


def test_what_others_wrote_stays() -> None:
    known: list[Object] = [{"name": "root", "persistentVolumeClaimInfo": {"claimName": "c"}}, {"name": "old", "phase": "Ready"}]
    others = [{"type": "DataVolumesReady", "status": "True"}]
    found = tell(vmi(volumeStatus=known, conditions=others, virtualMachineRevisionName="x"), UP)
    assert found["volumeStatus"] == [known[1], {**known[0], "target": "vda"}]
    assert found["virtualMachineRevisionName"] == "x"
    assert condition(found, "DataVolumesReady") == ("True", "", "")


observed = st.builds(
    Observed, run_state=st.sampled_from(["", "running", "paused", "io-error", "prelaunch", "shutdown", "internal-error"]),
    guest=st.builds(Guest, connected=st.booleans(), asked=st.booleans()), ready=st.sampled_from([None, True, False]),
    exit_code=st.sampled_from([None, 0, 1, 137]), stop_wished=st.booleans(), guest_stopped=st.booleans(),
    mac=st.sampled_from(["", "02:00:00:00:00:01"]), ips=st.sampled_from([(), ("10.0.0.1",), ("10.0.0.1", "fd00::1")]),
    trouble=st.sampled_from([None, ("R", "m")]),
)


@given(st.lists(observed, min_size=1, max_size=6))
def test_any_story(story: list[Observed]) -> None:
    """Telling the same twice changes nothing; what has ended stays ended; Ready only while running."""
    obj = vmi()
    for seen in story:
        before = obj["status"]["phase"]
        found = status(obj, POD, seen, emulated="x", now=NOW)
        if found is None:
            assert before in ("Succeeded", "Failed")
            break
        obj = {**obj, "status": found}
        again = status(obj, POD, seen, emulated="x", now=NOW + timedelta(seconds=9))
        assert again in (None, found)
        if conditions.is_true(found["conditions"], "Ready"):
            assert found["phase"] == "Running"
            assert seen.is_up
            assert not seen.is_paused
