"""What KubeVirt's webhooks refuse: a bad machine → the field and the text of the refusal."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model.meta import Object

from .objects import faults, machine_spec, vm, vmi

T = "spec.template.spec"
D = f"{T}.domain"
REQUESTED = f"{D}.resources.requests.memory"
KEYS = {"secret": {"secretName": "s"}}


def domain(**change: Any) -> Object:
    return {"domain": {**machine_spec()["domain"], **change}}


def devices(**change: Any) -> Object:
    return domain(devices={**machine_spec()["domain"]["devices"], **change})


def credential(**change: Any) -> Object:
    return {"accessCredentials": [change]}


def ssh(source: Object, **method: Any) -> Object:
    return credential(sshPublicKey={"source": source, "propagationMethod": method})


def pages(size: str, guest: str) -> Object:
    return domain(memory={"guest": guest, "hugepages": {"pageSize": size}})


def efi(smm: Object | None, **loader: Any) -> Object:
    features = {"features": {"smm": smm}} if smm is not None else {}
    return domain(firmware={"bootloader": {"efi": loader}}, **features)


def own_cpus(resources: Object, **cpu: int) -> Object:
    return domain(cpu={"dedicatedCpuPlacement": True, **cpu}, resources=resources)


def kernel(**container: Any) -> Object:
    return domain(firmware={"kernelBoot": {"container": container}})


KERNEL = f"{D}.firmware.kernelBoot"
SECURE = f"{D} has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled."
CASES: list[tuple[str, Object, str, str]] = [
    ("secure boot alone", efi(None), D, SECURE),
    ("secure boot said", efi(None, secureBoot=True), D, SECURE),
    ("secure boot, smm off", efi({"enabled": False}), D, SECURE),
    ("arguments alone", domain(firmware={"kernelBoot": {"kernelArgs": "quiet"}}), f"{KERNEL}.kernelArgs",
     "kernel arguments cannot be provided without an external kernel"),
    ("kernel of no image", kernel(kernelPath="/k"), f"{KERNEL}.container.image",
     f"{KERNEL}.container must be defined with an image"),
    ("image without a kernel", kernel(image="a"), f"{KERNEL}.container",
     f"{KERNEL}.container must be defined with at least one of the following: kernelPath, initrdPath"),
    ("kernel at the root", kernel(image="a", kernelPath="/"), f"{KERNEL}.container.kernelPath",
     f"{KERNEL}.container.kernelPath must not point to root"),
    ("initrd outside", kernel(image="a", kernelPath="/k", initrdPath="/../i"), f"{KERNEL}.container.initrdPath",
     f"{KERNEL}.container.initrdPath must be an absolute path to a file without relative components"),
    ("no table", domain(firmware={"acpi": {}}), f"{T}.acpi", "ACPI was set but no SLIC nor MSDM volume reference was set"),
    ("table of nothing", domain(firmware={"acpi": {"slicNameRef": "none"}}), f"{T}.acpi.slicNameRef",
     f"{T}.acpi does not have a matching Volume."),
    ("table of a disk", domain(firmware={"acpi": {"msdmNameRef": "root"}}), f"{T}.acpi.msdmNameRef",
     f"{T}.acpi refers to Volume of unsupported type."),
    ("keyboard", devices(inputs=[{"name": "k", "type": "keyboard"}]), f"{D}.devices.inputs[0].type",
     "Input device can have only tablet type."),
    ("input bus", devices(inputs=[{"name": "t", "type": "tablet", "bus": "ps2"}]), f"{D}.devices.inputs[0].bus",
     "Input device can have only virtio or usb bus."),
    ("sound", devices(sound={"name": "a", "model": "sb16"}), f"{T}.Sound",
     "Sound device type is not supported. Options: 'ich9' or 'ac97'"),
    ("sound name", devices(sound={"model": "ich9"}), f"{T}.Sound", "Sound device requires a name field."),
    ("screen", devices(video={"type": "qxl"}), f"{D}.devices.video.type",
     "video model 'qxl' is not supported on amd64 architecture"),
    ("screen without graphics", devices(video={"type": "vga"}, autoattachGraphicsDevice=False), f"{D}.devices.video",
     "Video configuration is not allowed when autoattachGraphicsDevice is set to false"),
    ("watchdog", devices(watchdog={"name": "w", "diag288": {"action": "reset"}}), f"{D}.devices.watchdog",
     "amd64 only supports I6300ESB watchdog device"),
    ("panic", devices(panicDevices=[{"model": "smoke"}]), f"{D}.devices.panicDevices[0].model",
     "the panic device model smoke is not supported"),
    ("clock", domain(clock={"utc": {"offsetSeconds": 90000}}), f"{D}.clock.utc.offsetSeconds", "must be a day at most"),
    ("threads policy", domain(ioThreadsPolicy="many"), f"{D}.ioThreadsPolicy", "Invalid IOThreadsPolicy (many)"),
    ("empty pool", domain(ioThreadsPolicy="supplementalPool"), f"{D}.ioThreads.count",
     "the number of iothreads needs to be set and positive for the dedicated policy"),
    ("isolated", domain(cpu={"isolateEmulatorThread": True}), f"{D}.cpu.isolateEmulatorThread",
     "IsolateEmulatorThread should be only set in combination with DedicatedCPUPlacement"),
    ("realtime", domain(cpu={"realtime": {}}), f"{D}.cpu.dedicatedCpuPlacement",
     f"{D}.cpu.dedicatedCpuPlacement must be set to true when {D}.cpu.realtime is used"),
    ("cpu request", domain(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
     f"{D}.resources.requests.cpu",
     f"{D}.resources.requests.cpu '2' is greater than {D}.resources.limits.cpu '1'"),
    ("numa alone", domain(cpu={"numa": {"guestMappingPassthrough": {}}, "dedicatedCpuPlacement": True}),
     f"{D}.cpu.numa.guestMappingPassthrough",
     f"{D}.memory.hugepages must be requested when NUMA topology strategy is set in {D}.cpu.numa.guestMappingPassthrough"),
    ("half a processor", own_cpus({"requests": {"cpu": "1500m"}}), f"{D}.resources.requests.cpu",
     "provided resources CPU requests must be an interger"),
    ("less than its limit", own_cpus({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}), f"{D}.cpu.dedicatedCpuPlacement",
     f"{D}.resources.requests.cpu or {D}.resources.limits.cpu must be equal when DedicatedCPUPlacement is true "),
    ("more than its cores", own_cpus({"requests": {"cpu": "4"}}, cores=2), f"{D}.cpu.dedicatedCpuPlacement",
     f"{D}.resources.requests.cpu or {D}.resources.limits.cpu must not be provided at the same time with {D}.cpu.cores when "
     "DedicatedCPUPlacement is true "),
    ("threads of its own", own_cpus({}, threads=3), f"{D}.cpu.dedicatedCpuPlacement",
     f"Not more than two threads must be provided at {D}.cpu.threads (got 3) when DedicatedCPUPlacement is true"),
    ("memory of its own", own_cpus({"requests": {"memory": "64Mi"}, "limits": {"memory": "128Mi"}}), REQUESTED,
     f"{REQUESTED} must be equal to {D}.resources.limits.memory"),
    ("page size", pages("big", "64Mi"), f"{D}.hugepages.size", f"{D}.hugepages.size 'big': "),
    ("small for a page", pages("1Gi", "64Mi"), REQUESTED,
     f"{REQUESTED} '64Mi' must be equal to or larger than page size {D}.hugepages.size '1Gi'"),
    ("odd for pages", pages("2Mi", "65Mi"), REQUESTED,
     f"{REQUESTED} '65Mi' is not a multiple of the page size {D}.hugepages.size '2Mi'"),
    ("paused and probed", {"startStrategy": "Paused", "livenessProbe": {"guestAgentPing": {}}}, f"{T}.startStrategy",
     f"either {T}.startStrategy or {T}.livenessProbe should be provided.Pausing VMI with LivenessProbe is not supported"),
    ("credential of no kind", credential(), f"{T}.accessCredentials[0]",
     f"{T}.accessCredentials[0] must have exactly one access credential type set"),
    ("keys of no source", ssh({}, qemuGuestAgent={"users": ["a"]}), f"{T}.accessCredentials[0].sshPublicKey.source",
     f"{T}.accessCredentials[0] must have exactly one source set"),
    ("keys of no method", ssh(KEYS), f"{T}.accessCredentials[0].sshPublicKey.propagationMethod",
     f"{T}.accessCredentials[0] must have exactly one propagationMethod set"),
    ("keys of no user", ssh(KEYS, qemuGuestAgent={}),
     f"{T}.accessCredentials[0].sshPublicKey.propagationMethod.qemuGuestAgent.users",
     f"{T}.accessCredentials[0] requires at least one user to be present in the users list"),
    ("keys without seed", ssh(KEYS, noCloud={}), f"{T}.accessCredentials[0].sshPublicKey.propagationMethod",
     f"{T}.accessCredentials[0] requires a noCloud volume to exist when the noCloud propagationMethod is in use."),
    ("keys without drive", ssh(KEYS, configDrive={}), f"{T}.accessCredentials[0].sshPublicKey.propagationMethod",
     f"{T}.accessCredentials[0] requires a configDrive volume to exist when the configDrive propagationMethod is in use."),
    ("password of no method", credential(userPassword={"source": KEYS}),
     f"{T}.accessCredentials[0].userPassword.propagationMethod",
     f"{T}.accessCredentials[0] must have exactly one propagationMethod set"),
]
for _probe in ("readinessProbe", "livenessProbe"):
    for _kind in ("httpGet", "tcpSocket"):
        CASES.append((f"{_probe} {_kind}", {**devices(autoattachPodInterface=False), _probe: {_kind: {"port": 80}}},
                      f"{T}.{_probe}.{_kind}", f"{T}.{_probe}.{_kind} is only allowed if the Pod Network is attached"))


def attached(**devices: Any) -> Object:
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
WHOLE: list[tuple[str, Object, str]] = [
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
    ("disk twice", attached(disks=[{"name": "root", "disk": {}}] * 2),
     f'{DISKS}[1].name: Invalid value: "root": {DISKS}[1] and {DISKS}[0] must not have the same Name.'),
    ("two targets", attached(disks=[{"name": "root", "disk": {}, "cdrom": {}}]),
     f'{DISKS}[0]: Invalid value: "root": {DISKS}[0] can only have a single target type defined'),
    ("bus", attached(disks=[{"name": "root", "disk": {"bus": "nvme"}}]), f'{DISKS}[0].disk.bus: Invalid value: '
     f'"nvme": {DISKS}[0] is set with an unrecognized bus nvme, must be one of: [virtio scsi sata usb]'),
    ("ide", attached(disks=[{"name": "root", "disk": {"bus": "ide"}}]),
     f'{DISKS}[0].disk.bus: Invalid value: "ide": IDE bus is not supported'),
    ("virtio cdrom", attached(disks=[{"name": "root", "cdrom": {"bus": "virtio"}}]),
     f'{DISKS}[0].cdrom.bus: Invalid value: "virtio": Bus type virtio is invalid for CD-ROM device'),
    ("readonly sata", attached(disks=[{"name": "root", "disk": {"bus": "sata", "readonly": True}}]),
     f'{DISKS}[0].disk.bus: Invalid value: "sata": sata hard-disks do not support read-only.'),
    ("lun", attached(disks=[{"name": "root", "lun": {}}]), f"{DISKS}[0].lun: Invalid value: "
     f'{{"bus":"sata"}}: {DISKS}[0].lun can only be mapped to a DataVolume or PersistentVolumeClaim volume.'),
    ("cache", attached(disks=[{"name": "root", "disk": {}, "cache": "fast"}]),
     f'{DISKS}[0].cache: Invalid value: "fast": {DISKS}[0].cache has invalid value fast'),
    ("serial", attached(disks=[{"name": "root", "disk": {}, "serial": "a b"}]), f"{DISKS}[0].serial: Invalid value: "
     f'"a b": {DISKS}[0] must be made up of the following characters [A-Za-z0-9_.+-], if specified'),
    ("boot order", attached(disks=[{"name": "root", "disk": {}, "bootOrder": 0}]),
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
    ("account", with_volume(serviceAccount={}), f'{T}.volumes[0].serviceAccount.serviceAccountName: Invalid value: "": '
     f"{T}.volumes[0].serviceAccount.serviceAccountName is a required field"),
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
    ("card alone", attached(interfaces=[{"name": "default", "masquerade": {}}]),
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
def with_disk(**disk: Any) -> Object:
    return devices(disks=[{"name": "root", "disk": {"bus": "virtio"}, **disk}])


ROOT = f"{DISKS}[0]"
BLOCKS = f"{ROOT}.blockSize.custom"
CASES += [
    ("io mode", with_disk(io="io_uring"), f"{ROOT}.io",
     f"Disk IO mode for {ROOT} is not supported. Supported modes are: native, threads."),
    ("error policy", with_disk(errorPolicy="cry"), f"{ROOT}.errorPolicy", f'{ROOT}.errorPolicy has invalid value "cry"'),
    ("thread of a slow disk", with_disk(disk={"bus": "sata"}, dedicatedIOThread=True), ROOT,
     "IOThreads are not supported for disks on a sata bus"),
    ("two block sizes", with_disk(blockSize={"matchVolume": {}, "custom": {"logical": 512, "physical": 512}}),
     f"{ROOT}.blockSize", "Block size matching can't be enabled together with a custom value"),
    ("logical above physical", with_disk(blockSize={"custom": {"logical": 4096, "physical": 512}}), f"{BLOCKS}.logical",
     "Logical size 4096 must be the same or less than the physical size of 512"),
    ("small blocks", with_disk(blockSize={"custom": {"logical": 256, "physical": 512}}), f"{BLOCKS}.logical",
     "Provided size of 256 is less than the supported minimum size of 512"),
    ("large blocks", with_disk(blockSize={"custom": {"logical": 512, "physical": 4 << 20}}), f"{BLOCKS}.physical",
     "Provided size of 4194304 is greater than the supported maximum size of 2097152"),
    ("odd blocks", with_disk(blockSize={"custom": {"logical": 512, "physical": 1000}}), f"{BLOCKS}.physical",
     "Provided size of 1000 is not a power of 2"),
    ("address elsewhere", with_disk(disk={"bus": "scsi", "pciAddress": "0000:01:00.0"}), f"{ROOT}.disk.pciAddress",
     f"disk {ROOT}.name - setting a PCI address is only possible with bus type virtio."),
    ("no address", with_disk(disk={"bus": "virtio", "pciAddress": "here"}), f"{ROOT}.disk.pciAddress",
     f"disk {ROOT}.name has malformed PCI address (here)."),
]
CASES += [
    ("address of a card", devices(interfaces=[{"name": "default", "masquerade": {}, "pciAddress": "x"}]),
     f"{D}.devices.interfaces[0].pciAddress", f"interface {D}.devices.interfaces[0].name has malformed PCI address (x)."),
    *((f"address {address}", with_disk(disk={"bus": "virtio", "pciAddress": address}), f"{ROOT}.disk.pciAddress", told)
      for address, told in (
          ("0001:01:00.0", "only domain 0000 and function 0 are free"), ("0000:01:00.1", "only domain 0000 and function 0 are free"),
          ("0000:00:02.0", "of bus 00 the slots 10 to 1e are free"), ("0000:02:01.0", "behind a root port there is slot 00 only"),
          ("0000:81:00.0", "on the buses 01 to 18"))),
    ("address taken", devices(disks=[{"name": "root", "disk": {"bus": "virtio", "pciAddress": "0000:0A:00.0"}}],
                              interfaces=[{"name": "default", "masquerade": {}, "pciAddress": "0000:0a:00.0"}]),
     f"{ROOT}.disk.pciAddress", f"{D}.devices.interfaces[0].pciAddress has this address"),
]
WHOLE += [("volumes that move", vm(updateVolumesStrategy="Migration"),
           'spec.updateVolumesStrategy: Unsupported value: "Migration": supported values: "Replacement"')]
REFUSED = [(name, vm(machine_spec(**change)), field, told) for name, change, field, told in CASES]
REFUSED += [(name, obj, told.partition(": ")[0], told.partition(": ")[2]) for name, obj, told in WHOLE]


@pytest.mark.parametrize(("obj", "field", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused(obj: Object, field: str, told: str) -> None:
    found = faults(VIRTUALMACHINE, obj)
    assert any(one.startswith(f"{field}: ") and told in one for one in found), found


def test_every_refusal_has_a_case_of_its_own() -> None:
    assert len({name for name, *_ in REFUSED}) == len(REFUSED) >= 60


@pytest.mark.parametrize("change", [
    {}, efi({}), efi({"enabled": True}, secureBoot=True), efi(None, secureBoot=False), pages("2Mi", "64Mi"),
    devices(sound={"name": "a", "model": "ac97"}, inputs=[{"name": "t", "type": "tablet", "bus": "usb"}]),
    domain(ioThreadsPolicy="supplementalPool", ioThreads={"supplementalPoolThreadCount": 2}),
    ssh(KEYS, qemuGuestAgent={"users": ["a"]}), {"readinessProbe": {"tcpSocket": {"port": 22}}},
])
def test_accepted(change: Object) -> None:
    assert faults(VIRTUALMACHINE, vm(machine_spec(**change))) == []


def test_right() -> None:
    for strategy in ("Halted", "Manual", "Always", "RerunOnFailure", "Once"):
        assert faults(VIRTUALMACHINE, vm(runStrategy=strategy)) == []
    assert faults(VIRTUALMACHINE, vm(runStrategy=None, running=False)) == []
    assert faults(VIRTUALMACHINE, with_interface(masquerade={}, ports=[{"port": 80, "name": "http"}])) == []
    assert faults(VIRTUALMACHINEINSTANCE, vmi()) == []
    template = {"metadata": {"name": "d"}, "spec": {}}
    used = machine_spec(volumes=[{"name": "root", "dataVolume": {"name": "d"}}])
    assert faults(VIRTUALMACHINE, vm(used, dataVolumeTemplates=[template])) == []
