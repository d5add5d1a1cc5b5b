"""What KubeVirt's webhook refuses: a change of a good machine → the field and the text of the refusal."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.kinds import VIRTUALMACHINE
from vmpod.model.meta import Object

from .objects import faults, machine_spec, vm

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


SECURE = f"{D} has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled."
CASES: list[tuple[str, Object, str, str]] = [
    ("secure boot alone", efi(None), D, SECURE),
    ("secure boot said", efi(None, secureBoot=True), D, SECURE),
    ("secure boot, smm off", efi({"enabled": False}), D, SECURE),
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


@pytest.mark.parametrize(("change", "field", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_refused(change: Object, field: str, told: str) -> None:
    found = faults(VIRTUALMACHINE, vm(machine_spec(**change)))
    assert any(one.startswith(f"{field}: ") and told in one for one in found), found


@pytest.mark.parametrize("change", [
    {}, efi({}), efi({"enabled": True}, secureBoot=True), efi(None, secureBoot=False), pages("2Mi", "64Mi"),
    devices(sound={"name": "a", "model": "ac97"}, inputs=[{"name": "t", "type": "tablet", "bus": "usb"}]),
    domain(ioThreadsPolicy="supplementalPool", ioThreads={"supplementalPoolThreadCount": 2}),
    ssh(KEYS, qemuGuestAgent={"users": ["a"]}), {"readinessProbe": {"tcpSocket": {"port": 22}}},
])
def test_accepted(change: Object) -> None:
    assert faults(VIRTUALMACHINE, vm(machine_spec(**change))) == []
