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
            "cpu": {"cores": 1, "model": "host-model", "sockets": 1, "threads": 1},
            "devices": {
                "disks": [{"name": "root", "disk": {"bus": "virtio"}}],
                "interfaces": [{"name": "default", "bridge": {}}],
            },
            "features": {"acpi": {"enabled": True}},
            "firmware": {"uuid": firmware_uuid("vm1")},
            "machine": {"type": "q35"},
            "memory": {"guest": "128Mi"},
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


def with_devices(**devices: Any) -> Object:
    spec = machine_spec()
    spec["domain"]["devices"] |= devices
    return vm(spec)


def with_volume(**source: Any) -> Object:
    return vm(machine_spec(volumes=[{"name": "root", **source}]))


def with_interface(**interface: Any) -> Object:
    spec = machine_spec(networks=[{"name": "default", "pod": {}}])
    spec["domain"]["devices"]["interfaces"] = [{"name": "default", **interface}]
    return vm(spec)


DISKS = f"{T}.domain.devices.disks"
CARDS = f"{T}.domain.devices.interfaces"
WRONG: list[tuple[str, Object, str]] = [
    ("both", vm(running=True), "spec.running: Invalid value: true: Running and RunStrategy are mutually exclusive. Note "
     "that Running is deprecated, please use RunStrategy instead"),
    ("neither", vm(runStrategy=None), "spec.running: Invalid value: null: One of Running or RunStrategy must be specified"),
    ("strategy", vm(runStrategy="Sometimes"),
     'spec.runStrategy: Invalid value: "Sometimes": Invalid RunStrategy (Sometimes)'),
    ("receiver", vm(runStrategy="WaitAsReceiver"), 'spec.runStrategy: Invalid value: "WaitAsReceiver": WaitAsReceiver is not '
     "supported: no machine is received from another cluster"),
    ("no template", vm(template=None) | {"spec": {"runStrategy": "Always"}},
     "spec.template: Required value: missing virtual machine template."),
    ("empty matcher", vm(instancetype={"revisionName": "r"}), 'spec.instancetype: Not found: {"revisionName":"r"}: Either '
     "Name or InferFromVolume should be provided within the instancetype matcher"),
    ("matcher of both", vm(preference={"name": "fedora", "inferFromVolume": "d", "kind": ""}), 'spec.preference.name: Not '
     'found: "fedora": Name should not be provided when InferFromVolume is used within the preference matcher'),
    ("failure policy", vm(instancetype={"inferFromVolume": "d", "inferFromVolumeFailurePolicy": "Maybe"}),
     'spec.instancetype.inferFromVolumeFailurePolicy: Invalid value: "Maybe": Invalid value \'Maybe\' for '
     "InferFromVolumeFailurePolicy"),
    ("disk without volume", vm(machine_spec(volumes=[])),
     f"{DISKS}[0].name: Invalid value: \"root\": {DISKS}[0].Name 'root' not found."),
    ("disk twice", with_devices(disks=[{"name": "root", "disk": {}}] * 2),
     f'{DISKS}[1].name: Invalid value: "root": {DISKS}[1] and {DISKS}[0] must not have the same Name.'),
    ("two targets", with_devices(disks=[{"name": "root", "disk": {}, "cdrom": {}}]),
     f'{DISKS}[0]: Invalid value: "root": {DISKS}[0] can only have a single target type defined'),
    ("bus", with_devices(disks=[{"name": "root", "disk": {"bus": "nvme"}}]), f'{DISKS}[0].disk.bus: Invalid value: '
     f'"nvme": {DISKS}[0] is set with an unrecognized bus nvme, must be one of: [virtio scsi sata usb]'),
    ("ide", with_devices(disks=[{"name": "root", "disk": {"bus": "ide"}}]),
     f'{DISKS}[0].disk.bus: Invalid value: "ide": IDE bus is not supported'),
    ("virtio cdrom", with_devices(disks=[{"name": "root", "cdrom": {"bus": "virtio"}}]),
     f'{DISKS}[0].cdrom.bus: Invalid value: "virtio": Bus type virtio is invalid for CD-ROM device'),
    ("readonly sata", with_devices(disks=[{"name": "root", "disk": {"bus": "sata", "readonly": True}}]),
     f'{DISKS}[0].disk.bus: Invalid value: "sata": sata hard-disks do not support read-only.'),
    ("lun", with_devices(disks=[{"name": "root", "lun": {}}]), f"{DISKS}[0].lun: Invalid value: "
     f'{{"bus":"sata"}}: {DISKS}[0].lun can only be mapped to a DataVolume or PersistentVolumeClaim volume.'),
    ("cache", with_devices(disks=[{"name": "root", "disk": {}, "cache": "fast"}]),
     f'{DISKS}[0].cache: Invalid value: "fast": {DISKS}[0].cache has invalid value fast'),
    ("serial", with_devices(disks=[{"name": "root", "disk": {}, "serial": "a b"}]), f"{DISKS}[0].serial: Invalid value: "
     f'"a b": {DISKS}[0] must be made up of the following characters [A-Za-z0-9_.+-], if specified'),
    ("boot order", with_devices(disks=[{"name": "root", "disk": {}, "bootOrder": 0}]),
     f"{DISKS}[0].bootOrder: Invalid value: 0: {DISKS}[0] must have a boot order > 0, if supplied"),
    ("volume twice", vm(machine_spec(volumes=[{"name": "root", "emptyDisk": {"capacity": "1Gi"}}] * 2)),
     f'{T}.volumes[1].name: Invalid value: "root": {T}.volumes[1] and {T}.volumes[0] must not have the same Name.'),
    ("two sources", with_volume(emptyDisk={"capacity": "1Gi"}, containerDisk={"image": "a"}),
     f'{T}.volumes[0]: Invalid value: "root": {T}.volumes[0] must have exactly one source type set'),
    ("no source", with_volume(), f'{T}.volumes[0]: Invalid value: "root": {T}.volumes[0] must have exactly one source type set'),
    ("no image", with_volume(containerDisk={}), f"{T}.volumes[0].containerDisk.image: Required value"),
    ("data volume", with_volume(dataVolume={}), f"{T}.volumes[0].name: Required value: DataVolume 'name' must be set"),
    ("claim", with_volume(persistentVolumeClaim={}), f"{T}.volumes[0].persistentVolumeClaim.claimName: Required value: "
     f"{T}.volumes[0].persistentVolumeClaim.claimName is a required field"),
    ("cloud-init empty", with_volume(cloudInitNoCloud={}), f'{T}.volumes[0].cloudInitNoCloud: Invalid value: "": '
     f"{T}.volumes[0].cloudInitNoCloud must have at least one userdatasource or one networkdatasource set."),
    ("cloud-init both", with_volume(cloudInitNoCloud={"userData": "a", "secretRef": {"name": "s"}}),
     f'{T}.volumes[0].cloudInitNoCloud: Invalid value: ["userData","secretRef"]: '
     f"{T}.volumes[0].cloudInitNoCloud must have only one userdatasource set."),
    ("cloud-init long", with_volume(cloudInitNoCloud={"userData": "a" * 2049}), f"{T}.volumes[0].cloudInitNoCloud: Invalid "
     f"value: 2049: {T}.volumes[0].cloudInitNoCloud userdata exceeds 2048 byte limit. Should use UserDataSecretRef for "
     "larger data."),
    ("cloud-init base64", with_volume(cloudInitNoCloud={"userDataBase64": "?"}),
     f'{T}.volumes[0].cloudInitNoCloud.userDataBase64: Invalid value: "?": '
     f"{T}.volumes[0].cloudInitNoCloud.userDataBase64 is not a valid base64 value."),
    ("host disk", with_volume(hostDisk={"path": "/a", "type": "File"}), f'{T}.volumes[0].hostDisk.type: Invalid value: '
     f"\"File\": {T}.volumes[0].hostDisk.type has invalid value 'File', allowed are 'Disk' or 'DiskOrCreate'"),
    ("empty disk", with_volume(emptyDisk={}), f"{T}.volumes[0].emptyDisk.capacity: Required value"),
    ("network alone", vm(machine_spec(networks=[{"name": "default", "pod": {}}])),
     f"{T}.networks[0].name: Required value: {T}.networks[0].name 'default' not found."),
    ("card alone", with_devices(interfaces=[{"name": "default", "masquerade": {}}]),
     f"{CARDS}[0].name: Invalid value: \"default\": {CARDS}[0].name 'default' not found."),
    ("model", with_interface(masquerade={}, model="ne2000"), f'{CARDS}[0].model: Unsupported value: "ne2000": interface '
     f"{CARDS}[0].name uses model ne2000 that is not supported."),
    ("state", with_interface(masquerade={}, state="half"), f'{CARDS}[0].state: Unsupported value: "half": logical '
     "default interface state value is unsupported: half"),
    ("default of Multus", vm(machine_spec(networks=[{"name": "a", "multus": {"networkName": "n", "default": True}}])),
     f'{T}.networks[0].multus.default: Unsupported value: true: a further network cannot take the place of the pod '
     "network here: eth0 of a launcher is always on it"),
    ("mac", with_interface(bridge={}, macAddress="02:00"), f'{CARDS}[0].macAddress: Invalid value: "02:00": interface '
     f"{CARDS}[0].name has malformed MAC address (02:00)."),
    ("port", with_interface(masquerade={}, ports=[{"name": "a"}]),
     f"{CARDS}[0].ports[0]: Required value: Port field is mandatory."),
    ("protocol", with_interface(masquerade={}, ports=[{"port": 1, "protocol": "tcp"}]),
     f'{CARDS}[0].ports[0].protocol: Invalid value: "tcp": Unknown protocol, only TCP or UDP allowed'),
    ("no memory", vm(machine_spec(domain={"devices": {"disks": [{"name": "root", "disk": {}}]}})),
     f"{T}.domain.memory.guest: Required value: no memory requested, at least one of '{T}.domain.memory.guest', "
     f"'{T}.domain.memory.hugepages.size' or '{T}.domain.resources.requests.memory' must be set"),
    ("little memory", vm(machine_spec(domain={"memory": {"guest": "64"}})),
     f"{T}.domain.memory.guest: Invalid value: \"64\": {T}.domain.memory.guest '64': must be greater than or equal to 1M."),
    ("memory above limit", vm(machine_spec(domain={
        "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}})),
     f'{T}.domain.resources.requests.memory: Invalid value: "2Gi": {T}.domain.resources.requests.memory \'2Gi\' is greater '
     f"than {T}.domain.resources.limits.memory '1Gi'"),
    ("probe", vm(machine_spec(readinessProbe={})), f"{T}.readinessProbe: Required value: either {T}.readinessProbe.tcpSocket, "
     f"{T}.readinessProbe.exec or {T}.readinessProbe.httpGet must be set if a {T}.readinessProbe is specified"),
    ("hostname", vm(machine_spec(hostname="a.b")), f'{T}.hostname: Invalid value: "a.b": {T}.hostname does not conform to '
     "the kubernetes DNS_LABEL rules : a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
     "'-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation "
     "is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"),
    ("loaders", vm(machine_spec(domain={"memory": {"guest": "1Gi"}, "firmware": {"bootloader": {"bios": {}, "efi": {}}}})),
     f'{T}.domain.firmware.bootloader: Invalid value: {{"bios":{{}},"efi":{{}}}}: {T}.domain.firmware.bootloader has both '
     "EFI and BIOS configured, but they are mutually exclusive."),
    ("data volume template", vm(dataVolumeTemplates=[{"metadata": {"name": "d"}, "spec": {}}]),
     "spec.dataVolumeTemplates[0]: Required value: DataVolumeTemplate entry spec.dataVolumeTemplates[0] must be referenced "
     "in the VMI template's 'volumes' list"),
    ("label", vm() | {"spec": vm()["spec"] | {"template": {"metadata": {"labels": {"a": "b c"}}, "spec": machine_spec()}}},
     'spec.template.metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric '
     "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
     "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"),
]


@pytest.mark.parametrize(("obj", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong(obj: Object, told: str) -> None:
    assert told in faults(VIRTUALMACHINE, obj)


def test_right() -> None:
    for strategy in ("Halted", "Manual", "Always", "RerunOnFailure", "Once"):
        assert faults(VIRTUALMACHINE, vm(runStrategy=strategy)) == []
    assert faults(VIRTUALMACHINE, vm(runStrategy=None, running=False)) == []
    assert faults(VIRTUALMACHINE, with_interface(masquerade={}, ports=[{"port": 80, "name": "http"}])) == []
    assert faults(VIRTUALMACHINEINSTANCE, vmi()) == []
    template = {"metadata": {"name": "d"}, "spec": {}}
    used = machine_spec(volumes=[{"name": "root", "dataVolume": {"name": "d"}}])
    assert faults(VIRTUALMACHINE, vm(used, dataVolumeTemplates=[template])) == []


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
    assert faults(VIRTUALMACHINEINSTANCE, vmi(hostname="x"), old) == [
        "spec: Forbidden: update of VMI object is restricted"]


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
    assert faults(VIRTUALMACHINEINSTANCE, having(*new), having(*old)) == told


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
    ({"domain": {"devices": {"tpm": {"persistent": True}}}}, f"domain.devices.tpm.persistent: {BLOCKS}"),
    ({"domain": {"devices": {"gpus": [{"name": "a"}]}}}, f"domain.devices.gpus: {BLOCKS}"),
    ({"domain": {"devices": {"hostDevices": [{"name": "a"}]}}}, f"domain.devices.hostDevices: {BLOCKS}"),
    ({"domain": {"devices": {"interfaces": [{"name": "a", "sriov": {}}]}}},
     f"domain.devices.interfaces[0].sriov: {BLOCKS}"),
    ({"domain": {"devices": {"disks": [{"name": "a", "disk": {"pciAddress": "0000:00"}}]}}},
     f"domain.devices.disks[0].disk.pciAddress: {IGNORED}"),
    ({"domain": {"devices": {"downwardMetrics": {}}}}, f"domain.devices.downwardMetrics: {IGNORED}"),
    ({"domain": {"cpu": {"dedicatedCpuPlacement": True}}}, f"domain.cpu.dedicatedCpuPlacement: {IGNORED}"),
    ({"domain": {"cpu": {"numa": {"guestMappingPassthrough": {}}}}}, f"domain.cpu.numa: {IGNORED}"),
    ({"domain": {"memory": {"maxGuest": "2Gi"}}}, f"domain.memory.maxGuest: {IGNORED}"),
    ({"domain": {"firmware": {"kernelBoot": {"kernelArgs": "a"}}}}, f"domain.firmware.kernelBoot: {BLOCKS}"),
    ({"domain": {"firmware": {"bootloader": {"efi": {"persistent": True}}}}},
     f"domain.firmware.bootloader.efi.persistent: {BLOCKS}"),
    ({"domain": {"clock": {"timer": {"rtc": {"tickPolicy": "merge"}}}}}, f"domain.clock.timer.rtc.tickPolicy: {IGNORED}"),
    ({"domain": {"launchSecurity": {"sev": {}}}}, f"domain.launchSecurity: {BLOCKS}"),
    ({"networks": [{"name": "a", "resourceClaim": {"claimName": "b"}}]}, f"networks[0].resourceClaim: {BLOCKS}"),
    ({"volumes": [{"name": "a", "serviceAccount": {"serviceAccountName": "s"}}]}, f"volumes[0].serviceAccount: {BLOCKS}"),
    ({"evictionStrategy": "LiveMigrate"}, f"evictionStrategy: {IGNORED}"),
    ({"accessCredentials": [{"userPassword": {}}]}, f"accessCredentials[0].userPassword: {IGNORED}"),
    ({"somethingNew": {"a": 1}}, f"somethingNew: {IGNORED}"),
])
def test_warnings(spec: Object, told: str) -> None:
    assert VIRTUALMACHINE.warnings(vm(spec)) == [f"{T}.{told}"]
    assert VIRTUALMACHINEINSTANCE.warnings(vmi() | {"spec": spec}) == [f"spec.{told}"]


def test_warnings_of_the_machine_itself() -> None:
    assert VIRTUALMACHINE.warnings(vm(updateVolumesStrategy="Migration")) == [
        f"spec.updateVolumesStrategy: {IGNORED}"]


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
