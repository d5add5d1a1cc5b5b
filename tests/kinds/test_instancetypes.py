"""Instance types and preferences written into machines: tables of KubeVirt's rules, and properties of all of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.kinds import (
    VIRTUALMACHINE,
    VIRTUALMACHINECLUSTERINSTANCETYPE,
    VIRTUALMACHINECLUSTERPREFERENCE,
    VIRTUALMACHINEINSTANCETYPE,
    VIRTUALMACHINEPREFERENCE,
    schema,
)
from vmpod.kinds.parts.instancetypes import expand, expanded, layout
from vmpod.kinds.parts.preference_rules import requirement_errors, spread_errors
from vmpod.model.meta import Object

from .objects import faults, header, vm

S = "spec.template.spec"
SMALL: Object = {"cpu": {"guest": 2}, "memory": {"guest": "2Gi"}}


def template(domain: Object | None = None, **spec: Any) -> Object:
    return {"spec": {"domain": domain or {}, **spec}}


def written(instancetype: Object | None = None, preference: Object | None = None, base: Object | None = None) -> Object:
    """The template as both leave it; they must agree."""
    made = deepcopy(base or template())
    assert expand(made, instancetype, preference, S) == []
    return made


def preferred(section: str, base: Object | None = None, **fields: Any) -> Object:
    spec: Object = written(None, {section: fields}, base)["spec"]
    return spec


def test_kinds_are_named_as_upstream() -> None:
    assert VIRTUALMACHINEINSTANCETYPE.short_names[-2:] == ("vmf", "vmfs")
    assert VIRTUALMACHINECLUSTERINSTANCETYPE.short_names[-2:] == ("vmcf", "vmcfs")
    assert VIRTUALMACHINEPREFERENCE.short_names[-2:] == ("vmp", "vmps")
    assert VIRTUALMACHINECLUSTERPREFERENCE.short_names == ("vmcp", "vmcps")
    assert header(VIRTUALMACHINECLUSTERINSTANCETYPE) == "NAME AGE"


@pytest.mark.parametrize(("memory", "told"), [
    ({"overcommitPercent": 101}, "spec.memory.overcommitPercent: Invalid value: 101: spec.memory.overcommitPercent '101': "
     "must be in range between 0 and 100."),
    ({"overcommitPercent": 5, "hugepages": {"pageSize": "2Mi"}}, "spec.memory.overcommitPercent: Invalid value: 5: "
     "spec.memory.overcommitPercent and spec.memory.hugepages should not be requested together."),
])
def test_wrong_instance_types(memory: Object, told: str) -> None:
    made = {"metadata": {"name": "a"}, "spec": {"cpu": {"guest": 1}, "memory": {"guest": "1Gi", **memory}}}
    assert faults(VIRTUALMACHINECLUSTERINSTANCETYPE, made) == [told]


@pytest.mark.parametrize(("cpu", "told"), [
    ({"preferredCPUTopology": "square"}, 'spec.cpu.preferredCPUTopology: Invalid value: "square": unknown '
     "preferredCPUTopology square"),
    ({"preferredCPUTopology": "spread", "spreadOptions": {"across": "Rooms"}}, 'spec.cpu.spreadOptions.across: Invalid '
     'value: "Rooms": across Rooms is not supported'),
    ({"preferredCPUTopology": "preferSpread", "spreadOptions": {"across": "CoresThreads", "ratio": 4}},
     "spec.cpu.spreadOptions.ratio: Invalid value: 4: only a ratio of 2 (1 core 2 threads) is allowed when spreading "
     "vCPUs over cores and threads"),
])
def test_wrong_preferences(cpu: Object, told: str) -> None:
    assert faults(VIRTUALMACHINECLUSTERPREFERENCE, {"metadata": {"name": "a"}, "spec": {"cpu": cpu}}) == [told]


def test_old_words_are_warned_about() -> None:
    old = {"metadata": {"name": "a"}, "spec": {"cpu": {"preferredCPUTopology": "preferCores"}}}
    assert VIRTUALMACHINEPREFERENCE.warnings(old) == [
        "PreferredCPUTopology preferCores is deprecated for removal in a future release, please use cores instead"]
    secured = {"metadata": {"name": "a"}, "spec": {**SMALL, "launchSecurity": {}}}
    assert "launchSecurity is deprecated" in VIRTUALMACHINEINSTANCETYPE.warnings(secured)[0]


@pytest.mark.parametrize(("cpus", "cpu", "topology"), [
    (1, {"preferredCPUTopology": "cores"}, (1, 1, 1)), (4, {}, (4, 1, 1)), (4, {"preferredCPUTopology": "any"}, (4, 1, 1)),
    (4, {"preferredCPUTopology": "preferCores"}, (1, 4, 1)), (4, {"preferredCPUTopology": "threads"}, (1, 1, 4)),
    (8, {"preferredCPUTopology": "spread"}, (4, 2, 1)),
    (8, {"preferredCPUTopology": "spread", "spreadOptions": {"ratio": 4}}, (2, 4, 1)),
    (8, {"preferredCPUTopology": "spread", "spreadOptions": {"across": "CoresThreads"}}, (1, 4, 2)),
    (8, {"preferredCPUTopology": "spread", "spreadOptions": {"across": "SocketsCoresThreads"}}, (2, 2, 2)),
])
def test_topologies(cpus: int, cpu: Object, topology: tuple[int, int, int]) -> None:
    assert layout(cpus, {"cpu": cpu}) == dict(zip(("sockets", "cores", "threads"), topology, strict=True))


@given(st.integers(1, 256), st.sampled_from(["sockets", "cores", "threads", "any", "spread", "preferSpread"]),
       st.sampled_from([None, "CoresThreads", "SocketsCores", "SocketsCoresThreads"]), st.sampled_from([2, 3, 4, 8]))
def test_no_vcpu_is_lost(cpus: int, name: str, across: str | None, ratio: int) -> None:
    """Whatever is not refused gives the guest exactly the vCPUs of its type."""
    options = {"ratio": 2 if across == "CoresThreads" else ratio} | ({"across": across} if across else {})
    preference = {"cpu": {"preferredCPUTopology": name, "spreadOptions": options}}
    if cpus > 1 and not list(spread_errors(cpus, preference)):
        found = layout(cpus, preference)
        assert found["sockets"] * found["cores"] * found["threads"] == cpus


def test_an_uneven_spread_is_refused() -> None:
    told = expand(template(), {"cpu": {"guest": 3}, "memory": {"guest": "1Gi"}}, {"cpu": {"preferredCPUTopology": "spread"}}, S)
    assert [str(one) for one in told] == [
        "instancetype.spec.cpu.guest: Invalid value: 3: 3 vCPUs provided by the instance type are not divisible by the "
        "Spec.PreferSpreadSocketToCoreRatio or Spec.CPU.PreferSpreadOptions.Ratio of 2 provided by the preference"]


def test_an_instance_type_gives_size_and_place() -> None:
    given_: Object = {
        "cpu": {"guest": 2, "model": "host-passthrough", "maxSockets": 8},
        "memory": {"guest": "1Gi", "overcommitPercent": 25, "maxGuest": "4Gi"},
        "nodeSelector": {"a": "b"}, "schedulerName": "s", "ioThreadsPolicy": "auto", "annotations": {"x": "y"},
        "gpus": [{"name": "g"}], "hostDevices": [{"name": "h"}],
    }
    made = written(given_, None, template({"cpu": {"features": [{"name": "vmx"}]}}, annotations={}))
    spec, domain = made["spec"], made["spec"]["domain"]
    assert domain["cpu"] == {"features": [{"name": "vmx"}], "model": "host-passthrough", "maxSockets": 8,
                             "sockets": 2, "cores": 1, "threads": 1}
    assert domain["memory"] == {"guest": "1Gi", "maxGuest": "4Gi"}
    assert domain["resources"] == {"requests": {"memory": "768Mi"}}
    assert (spec["nodeSelector"], spec["schedulerName"], domain["ioThreadsPolicy"]) == ({"a": "b"}, "s", "auto")
    assert domain["devices"]["gpus"] == [{"name": "g"}] and domain["devices"]["hostDevices"] == [{"name": "h"}]
    assert made["metadata"]["annotations"] == {"x": "y"}


@pytest.mark.parametrize(("domain", "fields"), [
    ({"cpu": {"sockets": 1}}, ["cpu.sockets"]), ({"cpu": {"cores": 2, "threads": 2}}, ["cpu.cores", "cpu.threads"]),
    ({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}}, ["resources.requests.cpu", "resources.limits.cpu"]),
    ({"memory": {"guest": "1Gi"}}, ["memory.guest"]), ({"resources": {"requests": {"memory": "1Gi"}}}, ["resources.requests.memory"]),
    ({"cpu": {"model": "max"}}, ["cpu.model"]), ({"memory": {"hugepages": {"pageSize": "2Mi"}}}, ["memory.hugepages"]),
    ({"cpu": {"dedicatedCPUPlacement": True}}, ["cpu.dedicatedCPUPlacement"]), ({"ioThreadsPolicy": "shared"}, ["ioThreadsPolicy"]),
    ({"devices": {"gpus": [{"name": "x"}]}}, ["devices.gpus"]), ({"cpu": {"dedicatedCPUPlacement": False}}, []),
])
def test_conflicts_are_named_by_path(domain: Object, fields: list[str]) -> None:
    whole: Object = {
        "cpu": {"guest": 1, "model": "host-model", "dedicatedCPUPlacement": True},
        "memory": {"guest": "1Gi", "hugepages": {"pageSize": "1Gi"}}, "ioThreadsPolicy": "auto", "gpus": [{"name": "g"}],
    }
    told = expand(template(domain), whole, None, S)
    paths = [f"{S}.domain.{field}" for field in fields]
    assert [one.path for one in told] == paths
    assert [one.message for one in told] == [f"VM field(s) {path} conflicts with selected instance type" for path in paths]


def test_conflicts_beside_the_domain() -> None:
    made = template(nodeSelector={"a": "b"}, schedulerName="s") | {"metadata": {"annotations": {"x": "1", "y": "1"}}}
    whole = {**SMALL, "nodeSelector": {"c": "d"}, "schedulerName": "t", "annotations": {"x": "2", "y": "1"}}
    assert [one.path for one in expand(made, whole, None, S)] == [f"{S}.nodeSelector", f"{S}.schedulerName", "annotations.x"]


def test_preferred_devices() -> None:
    base = template({"devices": {
        "disks": [{"name": "a"}, {"name": "b", "disk": {"bus": "sata"}}, {"name": "c", "cdrom": {}}, {"name": "d", "lun": {}}],
        "interfaces": [{"name": "n"}, {"name": "m", "bridge": {}, "model": "e1000"}], "inputs": [{"name": "t"}], "sound": {"name": "s"},
    }}, networks=[{"name": "n", "pod": {}}, {"name": "m", "multus": {"networkName": "x"}}], volumes=[{"name": "e"}])
    devices = preferred(
        "devices", base, preferredDiskBus="virtio", preferredCdromBus="scsi", preferredLunBus="sata", preferredDiskCache="none",
        preferredDiskDedicatedIoThread=True, preferredInterfaceModel="virtio", preferredInterfaceMasquerade={},
        preferredInputBus="virtio", preferredInputType="tablet", preferredSoundModel="ich9", preferredRng={}, preferredTPM={},
        preferredPanicDeviceModel="isa", preferredAutoattachGraphicsDevice=False, preferredBlockMultiQueue=True,
        preferredNetworkInterfaceMultiQueue=True, preferredDisableHotplug=True, preferredUseVirtioTransitional=True,
    )["domain"]["devices"]
    assert devices["disks"] == [
        {"name": "a", "disk": {"bus": "virtio"}, "cache": "none", "dedicatedIOThread": True},
        {"name": "b", "disk": {"bus": "sata"}, "cache": "none"}, {"name": "c", "cdrom": {"bus": "scsi"}},
        {"name": "d", "lun": {"bus": "sata"}},
        {"name": "e", "disk": {"bus": "virtio"}, "cache": "none", "dedicatedIOThread": True},
    ]
    assert devices["interfaces"] == [
        {"name": "n", "model": "virtio", "masquerade": {}}, {"name": "m", "bridge": {}, "model": "e1000"}]
    assert devices["inputs"] == [{"name": "t", "bus": "virtio", "type": "tablet"}]
    assert devices["sound"] == {"name": "s", "model": "ich9"} and devices["panicDevices"] == [{"model": "isa"}]
    assert devices["rng"] == devices["tpm"] == {} and devices["autoattachGraphicsDevice"] is False
    for key in ("blockMultiQueue", "networkInterfaceMultiqueue", "disableHotplug", "useVirtioTransitional"):
        assert devices[key] is True


def test_no_interface_where_none_is_preferred() -> None:
    spec = preferred("devices", preferredAutoattachPodInterface=False)
    assert "networks" not in spec and "interfaces" not in spec["domain"]["devices"]


@pytest.mark.parametrize(("held", "firmware", "bootloader"), [
    ({}, {"preferredUseEfi": True, "preferredUseSecureBoot": True}, {"efi": {"secureBoot": True}}),
    ({}, {"preferredEfi": {"persistent": True}, "preferredUseSecureBoot": True}, {"efi": {"persistent": True}}),
    ({}, {"preferredUseBios": True, "preferredUseBiosSerial": True}, {"bios": {"useSerial": True}}),
    ({"bios": {}}, {"preferredEfi": {}}, {"bios": {}}), ({"efi": {"secureBoot": False}}, {"preferredUseSecureBoot": True}, {"efi": {"secureBoot": False}}),
])
def test_preferred_firmware(held: Object, firmware: Object, bootloader: Object) -> None:
    base = template({"firmware": {"bootloader": held}})
    assert preferred("firmware", base, **firmware)["domain"]["firmware"]["bootloader"] == bootloader


def test_preferred_features_clock_and_the_rest() -> None:
    features = preferred("features", template({"features": {"apic": {"enabled": False}, "hyperv": {"vapic": {"enabled": False}}}}),
                         preferredAcpi={"enabled": False}, preferredApic={}, preferredSmm={}, preferredKvm={"hidden": True},
                         preferredHyperv={"vapic": {}, "relaxed": {}})["domain"]["features"]  # fmt: skip
    assert features == {"acpi": {"enabled": False}, "apic": {"enabled": False}, "smm": {}, "kvm": {"hidden": True},
                        "hyperv": {"vapic": {"enabled": False}, "relaxed": {}}}
    clock: Object = {"preferredClockOffset": {"utc": {}}, "preferredTimer": {"hpet": {"present": False}}}
    assert preferred("clock", **clock)["domain"]["clock"] == {"utc": {}, "timer": {"hpet": {"present": False}}}
    assert preferred("clock", template({"clock": {"timezone": "UTC", "timer": {}}}), **clock)["domain"]["clock"] == {
        "timezone": "UTC", "timer": {}}
    cpu = preferred("cpu", template({"cpu": {"features": [{"name": "a", "policy": "disable"}]}}),
                    preferredCPUFeatures=[{"name": "a"}, {"name": "b"}])["domain"]["cpu"]
    assert cpu["features"] == [{"name": "a", "policy": "disable"}, {"name": "b"}]
    rest = written(None, {"machine": {"preferredMachineType": "q35"}, "preferredSubdomain": "s", "annotations": {"a": "1", "b": "1"},
                          "preferredTerminationGracePeriodSeconds": 0, "preferredArchitecture": "amd64"},
                   {"metadata": {"annotations": {"a": "0"}}, "spec": {}})  # fmt: skip
    spec = rest["spec"]
    assert spec["domain"]["machine"]["type"] == "q35" and spec["subdomain"] == "s" and spec["architecture"] == "amd64"
    assert spec["terminationGracePeriodSeconds"] == 0 and rest["metadata"]["annotations"] == {"a": "0", "b": "1"}


CPU, MEMORY = {"requirements": {"cpu": {"guest": 4}}}, {"requirements": {"memory": {"guest": "4Gi"}}}
FAILED = "failure checking preference requirements: insufficient"


@pytest.mark.parametrize(("kind", "preference", "spec", "told"), [
    (SMALL, CPU, {}, f"spec.instancetype: Invalid value: null: {FAILED} CPU resources of 2 vCPU provided by instance type, "
     "preference requires 4 vCPU"),
    (SMALL, MEMORY, {}, f"spec.instancetype: Invalid value: null: {FAILED} Memory resources of 2Gi provided by instance type, "
     "preference requires 4Gi"),
    (None, CPU, {"domain": {"cpu": {"sockets": 2}}}, f"{S}.domain.cpu.sockets: Invalid value: null: {FAILED} CPU resources of 2 "
     "vCPU provided by VirtualMachine, preference requires 4 vCPU provided as sockets"),
    (None, CPU, {"domain": {}}, f"{S}.domain.cpu: Invalid value: null: failure checking preference requirements: no CPU "
     "resources provided by VirtualMachine, preference requires 4 vCPU"),
    (None, MEMORY, {"domain": {"memory": {"guest": "1Gi"}}}, f"{S}.domain.memory: Invalid value: null: {FAILED} Memory "
     "resources of 1Gi provided by VirtualMachine, preference requires 4Gi"),
    (SMALL, {"requirements": {"architecture": "arm64"}}, {"architecture": "amd64"}, f"{S}.architecture: Invalid value: null: "
     "failure checking preference requirements: preference requires architecture arm64 but amd64 is being requested"),
    ({"cpu": {"guest": 4}, "memory": {"guest": "4Gi"}}, {"requirements": {**CPU["requirements"], **MEMORY["requirements"]}}, {}, ""),
    (None, {**CPU, "cpu": {"preferredCPUTopology": "any"}}, {"domain": {"cpu": {"sockets": 2, "cores": 2, "threads": 1}}}, ""),
    (None, {**CPU, "cpu": {"preferredCPUTopology": "spread"}}, {"domain": {"cpu": {"sockets": 2, "cores": 2}}}, ""),
])
def test_requirements(kind: Object | None, preference: Object, spec: Object, told: str) -> None:
    assert [str(one) for one in requirement_errors(kind, preference, spec)] == ([told] if told else [])


def test_the_whole_machine_is_valid_and_has_no_matchers() -> None:
    bare = vm(instancetype={"name": "u"}, preference={"name": "p"})
    bare["spec"]["template"]["spec"]["domain"].pop("memory")
    before = deepcopy(bare)
    whole, told = expanded(bare, SMALL, {"devices": {"preferredDiskBus": "virtio"}})
    assert told == [] and bare == before and not {"instancetype", "preference"} & set(whole["spec"])
    assert faults(VIRTUALMACHINE, whole) == [] and schema.type_errors(VIRTUALMACHINE, VIRTUALMACHINE.default(whole)) == []


_VALUES = st.sampled_from(["virtio", "sata", "", None])


@given(st.fixed_dictionaries({}, optional={
    "preferredDiskBus": _VALUES, "preferredCdromBus": _VALUES, "preferredInterfaceModel": _VALUES,
    "preferredRng": st.just({}), "preferredBlockMultiQueue": st.booleans(), "preferredAutoattachPodInterface": st.booleans(),
}), st.lists(st.sampled_from(["disk", "cdrom", "lun", ""]), max_size=4))
def test_a_preference_never_overrides_and_is_idempotent(devices: Object, targets: list[str]) -> None:
    disks = [{"name": f"d{n}", **({target: {"bus": "scsi"}} if target else {})} for n, target in enumerate(targets)]
    base = template({"devices": {"disks": disks}})
    once = written(None, {"devices": devices}, base)
    assert written(None, {"devices": devices}, once) == once
    for n, target in enumerate(targets):
        if target:
            assert once["spec"]["domain"]["devices"]["disks"][n][target]["bus"] == "scsi"
