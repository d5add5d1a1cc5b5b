"""VirtualMachine and VirtualMachineInstance: defaults, KubeVirt's rules and texts, warnings, cells."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.machine_defaults import HOST_ARCHITECTURE, firmware_uuid
from vmpod.model.meta import Object

from .objects import faults, header, line, machine_spec, vm, vmi

NOW = "2026-01-01T01:00:00Z"
T = "spec.template.spec"
IGNORED = "not supported yet, ignored"
BLOCKS = "not supported yet, nothing starts with it"


def test_template_is_defaulted_lightly() -> None:
    spec = VIRTUALMACHINE.default(vm())["spec"]["template"]["spec"]
    wanted = machine_spec()
    wanted["architecture"] = HOST_ARCHITECTURE
    wanted["domain"]["machine"] = {"type": "q35"}
    assert spec == wanted


def test_instance_defaults() -> None:
    """What a KubeVirt cluster shows of the same instance."""
    given = vmi()
    given["spec"]["architecture"] = "amd64"
    assert VIRTUALMACHINEINSTANCE.default(given)["spec"] == {
        "architecture": "amd64",
        "domain": {
            "cpu": {"cores": 1, "maxSockets": 4, "model": "host-model", "sockets": 1, "threads": 1},
            "devices": {
                "disks": [{"name": "root", "disk": {"bus": "virtio"}}],
                "interfaces": [{"name": "default", "bridge": {}}],
            },
            "features": {"acpi": {"enabled": True}},
            "firmware": {"uuid": firmware_uuid("vm1")},
            "machine": {"type": "q35"},
            "memory": {"guest": "128Mi", "maxGuest": "512Mi"},
            "resources": {"requests": {"memory": "128Mi"}},
        },
        "evictionStrategy": "None",
        "networks": [{"name": "default", "pod": {}}],
        "terminationGracePeriodSeconds": 30,
        "volumes": [
            {"name": "root", "containerDisk": {"image": "quay.io/disks/alpine:v1", "imagePullPolicy": "IfNotPresent"}},
        ],
    }


def test_firmware_uuid_is_kubevirts() -> None:
    assert firmware_uuid("testvm") == "5a9fc181-957e-5c32-9e5a-2de5e9673531"  # KubeVirt's functional tests' value


def _defaulted(**spec: Any) -> Object:
    spec.setdefault("architecture", "amd64")
    made: Object = VIRTUALMACHINEINSTANCE.default(vmi(**spec))["spec"]
    return made


def test_disk_defaults() -> None:
    disks = [{"name": "a"}, {"name": "b", "cdrom": {}}, {"name": "c", "lun": {}}]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in "abcd"]
    made = _defaulted(domain={"devices": {"disks": disks}, "memory": {"guest": "1Gi"}}, volumes=volumes)
    assert made["domain"]["devices"]["disks"] == [
        {"name": "a", "disk": {"bus": "sata"}},
        {"name": "b", "cdrom": {"bus": "sata", "readonly": True, "tray": "closed"}},
        {"name": "c", "lun": {"bus": "sata"}},
        {"name": "d", "disk": {"bus": "sata"}},
    ]


@pytest.mark.parametrize(("domain", "cpu", "memory", "requests"), [
    ({"resources": {"requests": {"memory": "1024M"}}}, (1, 1, 1), "1024M", {"memory": "1024M"}),
    ({"resources": {"limits": {"memory": "1Gi", "cpu": "1500m"}}}, (2, 1, 1), "1Gi", {"memory": "1Gi", "cpu": "1500m"}),
    ({"memory": {"guest": "2Gi"}, "cpu": {"cores": 3}}, (1, 3, 1), "2Gi", {"memory": "2Gi"}),
    ({"memory": {"guest": "2Gi"}, "resources": {"requests": {"memory": "1Gi", "cpu": "2"}}}, (2, 1, 1), "2Gi",
     {"memory": "1Gi", "cpu": "2"}),
])
def test_cpu_and_memory(domain: Object, cpu: tuple[int, ...], memory: str, requests: Object) -> None:
    made = _defaulted(domain=domain)["domain"]
    assert tuple(made["cpu"][key] for key in ("sockets", "cores", "threads")) == cpu
    assert made["memory"]["guest"] == memory
    assert made["resources"]["requests"] == requests


def test_declined_network_and_probes() -> None:
    spec = machine_spec()
    spec["domain"]["devices"]["autoattachPodInterface"] = False
    made = _defaulted(**spec, readinessProbe={"tcpSocket": {"port": 22}})
    assert "networks" not in made
    assert made["readinessProbe"] == {
        "tcpSocket": {"port": 22}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_lone_volume_gets_a_disk() -> None:
    spec = machine_spec(volumes=[
        {"name": "root", "containerDisk": {"image": "a"}}, {"name": "seed", "cloudInitNoCloud": {"userData": "#"}}])
    assert faults(VIRTUALMACHINE, vm(spec)) == []


def test_what_goes_away_is_not_judged() -> None:
    obj = vm(runStrategy="x")
    obj["metadata"]["deletionTimestamp"] = NOW
    assert faults(VIRTUALMACHINE, obj) == []


def test_instance_is_immutable() -> None:
    old = vmi()
    new = vmi()
    new["metadata"]["labels"] = {"a": "b"}
    assert faults(VIRTUALMACHINEINSTANCE, new, old) == []
    assert faults(VIRTUALMACHINEINSTANCE, vmi(hostname="x"), old) == []  # the engine's own controllers may
    assert [str(one) for one in VIRTUALMACHINEINSTANCE.guard(vmi(hostname="x"), old)] == [
        "spec: Forbidden: update of VMI object is restricted"]
    assert VIRTUALMACHINEINSTANCE.guard(new, old) == []


PLUGGED: Object = {"name": "more", "persistentVolumeClaim": {"claimName": "more", "hotpluggable": True}}
FIXED: Object = {"name": "more", "persistentVolumeClaim": {"claimName": "more"}}
OTHER: Object = {"name": "more", "persistentVolumeClaim": {"claimName": "other", "hotpluggable": True}}


def having(*volumes: Object) -> Object:
    """An instance with a root disk and these volumes."""
    root = {"name": "root", "containerDisk": {"image": "a"}}
    obj = vmi(volumes=[root, *volumes])
    obj["spec"]["domain"]["devices"]["disks"] = [{"name": one["name"], "disk": {"bus": "scsi"}} for one in (root, *volumes)]
    return obj


@pytest.mark.parametrize(("old", "new", "allowed"), [
    ((), (PLUGGED,), True), ((PLUGGED,), (), True), ((PLUGGED,), (PLUGGED,), True),
    ((), (FIXED,), False), ((FIXED,), (), False), ((FIXED,), (PLUGGED,), False), ((PLUGGED,), (FIXED,), False),
    ((FIXED,), (OTHER,), False),
])  # fmt: skip
def test_only_hotpluggable_volumes_come_and_go(old: tuple[Object, ...], new: tuple[Object, ...], allowed: bool) -> None:
    told = [] if allowed else ["spec: Forbidden: update of VMI object is restricted"]
    assert [str(one) for one in VIRTUALMACHINEINSTANCE.guard(having(*new), having(*old))] == told


@pytest.mark.parametrize(("old", "disk", "told"), [
    ((OTHER,), {"disk": {"bus": "scsi"}}, "hotplug volume more, changed"),
    ((), {"disk": {"bus": "sata"}},
     "Hotplug configuration for disk [more] requires bus to be 'scsi' or 'virtio'. [sata] is not permitted."),
    ((), {"lun": {"bus": "virtio"}},
     "Hotplug configuration for LUN [more] requires bus to be 'scsi'. [virtio] is not permitted."),
    ((), {"cdrom": {"bus": "scsi"}},
     "Hotplug configuration for [more] requires diskDevice of type 'disk' or 'lun' to be used."),
])  # fmt: skip
def test_how_a_volume_may_be_plugged_in(old: tuple[Object, ...], disk: Object, told: str) -> None:
    new = having(PLUGGED)
    new["spec"]["domain"]["devices"]["disks"][1] = {"name": "more", **disk}
    assert told in "".join(faults(VIRTUALMACHINEINSTANCE, new, having(*old)))


def test_what_is_plugged_in_is_judged() -> None:
    twice = faults(VIRTUALMACHINEINSTANCE, having(PLUGGED, PLUGGED), having())
    assert twice, "two volumes of one name"


def test_no_warnings_about_what_is_acted_on() -> None:
    assert VIRTUALMACHINE.warnings(VIRTUALMACHINE.default(vm())) == []
    assert VIRTUALMACHINEINSTANCE.warnings(VIRTUALMACHINEINSTANCE.default(vmi())) == []


def test_deprecated() -> None:
    assert VIRTUALMACHINE.deprecated == VIRTUALMACHINEINSTANCE.deprecated == {
        "v1alpha3": "kubevirt.io/v1alpha3 is now deprecated and will be removed in a future release.",
    }
    old = vm(runStrategy=None, running=True)
    assert VIRTUALMACHINE.warnings(old) == ["spec.running is deprecated, please use spec.runStrategy instead."]


@pytest.mark.parametrize(("spec", "told"), [
    ({"domain": {"devices": {"gpus": [{"name": "a"}]}}}, f"domain.devices.gpus: {BLOCKS}"),
    ({"domain": {"devices": {"hostDevices": [{"name": "a"}]}}}, f"domain.devices.hostDevices: {BLOCKS}"),
    ({"domain": {"devices": {"interfaces": [{"name": "a", "sriov": {}}]}}},
     f"domain.devices.interfaces[0].sriov: {BLOCKS}"),
    ({"domain": {"cpu": {"realtime": {}}}}, f"domain.cpu.realtime: {BLOCKS}"),
    ({"somethingNew": {"a": 1}}, f"somethingNew: {IGNORED}"),
])
def test_warnings(spec: Object, told: str) -> None:
    assert VIRTUALMACHINE.warnings(vm(spec)) == [f"{T}.{told}"]
    assert VIRTUALMACHINEINSTANCE.warnings(vmi() | {"spec": spec}) == [f"spec.{told}"]


def test_false_asks_for_nothing() -> None:
    quiet = {"domain": {"cpu": {"dedicatedCpuPlacement": False}, "devices": {
        "autoattachVSOCK": False, "networkInterfaceMultiqueue": False, "gpus": []}}}
    assert VIRTUALMACHINEINSTANCE.warnings(vmi() | {"spec": quiet}) == []


def test_vm_line() -> None:
    assert header(VIRTUALMACHINE) == "NAME AGE STATUS READY"
    obj = vm()
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    assert line(VIRTUALMACHINE, obj, NOW) == ["vm1", "60m", None, None]
    obj["status"] = {"printableStatus": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    assert line(VIRTUALMACHINE, obj, NOW) == ["vm1", "60m", "Running", "True"]


def test_vmi_line() -> None:
    assert header(VIRTUALMACHINEINSTANCE, wide=True) == "NAME AGE PHASE IP NODENAME READY LIVE-MIGRATABLE PAUSED"
    obj = vmi() | {"status": {
        "phase": "Running", "nodeName": "n1", "interfaces": [{"ipAddress": "10.1.0.2"}],
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "LiveMigratable", "status": "False"}]}}
    told = ["vm1", "<unknown>", "Running", "10.1.0.2", "n1", "True", "False", None]
    assert line(VIRTUALMACHINEINSTANCE, obj, NOW, wide=True) == told
