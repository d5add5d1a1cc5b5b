"""What KubeVirt's mutating webhooks write into machines: pkg/defaults and the defaults of kubevirt.io/api."""

from __future__ import annotations

import platform
import uuid
from typing import Any

from vmpod.kinds.parts.images import pull_policy
from vmpod.kinds.parts.machine_hotplug import USUAL, Growth, default_growth
from vmpod.kinds.parts.pod_defaults import canonical_quantities, canonical_resources, default_probe
from vmpod.kinds.parts.reading import dig, entries, fill, mapping, section, set_keys, text
from vmpod.model import quantity
from vmpod.model.meta import Object

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "s390x": "s390x"}
HOST_ARCHITECTURE = ARCHITECTURES.get(platform.machine(), platform.machine())
MACHINE_TYPES = {"amd64": "q35", "arm64": "virt", "s390x": "s390-ccw-virtio"}
CPU_MODELS = {"amd64": "host-model", "arm64": "host-passthrough", "s390x": "host-model"}
DISK_TARGETS = ("disk", "lun", "cdrom")
# The name space in which KubeVirt derives a machine's firmware UUID from its name.
FIRMWARE_SPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")
_TIMERS = ("hpet", "kvm", "pit", "rtc", "hyperv")


def default_template(spec: Object) -> None:
    """What the VM webhook writes into `spec.template.spec`: what must not change when the host does."""
    fill(spec, "architecture", HOST_ARCHITECTURE)
    machine = section(spec, "domain", "machine")
    fill(machine, "type", MACHINE_TYPES.get(text(spec, "architecture"), "q35"))


def default_machine(spec: Object, name: str, growth: Growth = USUAL) -> None:
    """Everything the VMI webhook writes into `spec` of the machine called `name`."""
    default_template(spec)
    domain = section(spec, "domain")
    _default_memory(domain)
    _default_cpu(domain, text(spec, "architecture"))
    default_network(spec)
    _default_disks(spec)
    _default_devices(section(domain, "devices"))
    _default_features(domain, name)
    default_growth(spec, growth)
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    fill(spec, "evictionStrategy", "None")
    default_probe(spec.get("readinessProbe"))
    default_probe(spec.get("livenessProbe"))
    for timer in _TIMERS:
        _enable(dig(domain, "clock", "timer").get(timer))


def firmware_uuid(name: str) -> str:
    """The UUID that a machine of this name shows to its guest, the same at every start."""
    return str(uuid.uuid5(FIRMWARE_SPACE, name))


def _default_memory(domain: Object) -> None:
    """Requests from limits; requested from guest memory and guest memory from requests."""
    resources = section(domain, "resources")
    canonical_resources(resources)
    for name in ("cpu", "memory"):
        limit = dig(resources, "limits").get(name)
        if limit and not dig(resources, "requests").get(name):
            section(resources, "requests")[name] = limit
    canonical_quantities(domain.get("memory"))
    guest, requested = dig(domain, "memory").get("guest"), dig(resources, "requests").get("memory")
    if guest and requested is None:
        section(resources, "requests")["memory"] = guest
    elif requested and not guest and not dig(domain, "memory").get("hugepages"):
        section(domain, "memory")["guest"] = requested


def _default_cpu(domain: Object, architecture: str) -> None:
    """One of each; without a topology as many sockets as CPUs are asked for."""
    cpu = section(domain, "cpu")
    if not any(cpu.get(key) for key in ("cores", "sockets", "threads")):
        resources = mapping(domain.get("resources"))
        asked = dig(resources, "limits").get("cpu") or dig(resources, "requests").get("cpu")
        cpu["sockets"] = _whole(asked)
    for key in ("cores", "sockets", "threads"):
        if not cpu.get(key):
            cpu[key] = 1
    fill(cpu, "model", CPU_MODELS.get(architecture, "host-model"))


def _whole(cpus: Any) -> int:
    return max(1, quantity.to_bytes(cpus)) if cpus is not None and quantity.is_valid(cpus) else 1


def default_network(spec: Object) -> None:
    """Nothing said: one interface, bridged to the pod network."""
    devices = section(spec, "domain", "devices")
    if devices.get("autoattachPodInterface") is False or spec.get("networks") or devices.get("interfaces"):
        return
    devices["interfaces"] = [{"name": "default", "bridge": {}}]
    spec["networks"] = [{"name": "default", "pod": {}}]


def attach_volumes(spec: Object) -> None:
    """A disk for every volume that none shows."""
    devices = section(spec, "domain", "devices")
    named = {text(entry, "name") for key in ("disks", "filesystems") for entry in entries(devices, key)}
    lone = [
        {"name": text(volume, "name")} for volume in entries(spec, "volumes")
        if text(volume, "name") and text(volume, "name") not in named and volume.get("memoryDump") is None
    ]
    if lone and isinstance(devices.get("disks") or [], list):
        devices["disks"] = [*(devices.get("disks") or []), *lone]


def _default_disks(spec: Object) -> None:
    """A disk for every volume, a target for every disk, a bus for every target."""
    attach_volumes(spec)
    devices = section(spec, "domain", "devices")
    bus = "sata" if text(spec, "architecture") == "amd64" else "virtio"
    for disk in entries(devices, "disks"):
        _default_disk(disk, bus)
    for volume in entries(spec, "volumes"):
        source = volume.get("containerDisk")
        if isinstance(source, dict):
            fill(source, "imagePullPolicy", pull_policy(text(source, "image")))


def _default_disk(disk: Object, bus: str) -> None:
    if not set_keys(disk, DISK_TARGETS):
        disk["disk"] = {}
    for key in DISK_TARGETS:
        if isinstance(disk.get(key), dict):
            fill(disk[key], "bus", bus)
    cdrom = disk.get("cdrom")
    if isinstance(cdrom, dict):
        if cdrom.get("readonly") is None:
            cdrom["readonly"] = True
        fill(cdrom, "tray", "closed")


def _default_devices(devices: Object) -> None:
    for entry in entries(devices, "inputs"):
        fill(entry, "bus", "usb")
        fill(entry, "type", "tablet")
    watchdog = devices.get("watchdog")
    if isinstance(watchdog, dict) and watchdog.get("diag288") is None:
        fill(section(watchdog, "i6300esb"), "action", "reset")


def _default_features(domain: Object, name: str) -> None:
    """ACPI is on, and features that are named are wanted."""
    features = section(domain, "features")
    section(features, "acpi")
    for key in ("acpi", "apic", "smm"):
        _enable(features.get(key))
    for enlightenment in dig(features, "hyperv").values():
        _enable(enlightenment)
    firmware = section(domain, "firmware")
    if name:
        fill(firmware, "uuid", firmware_uuid(name))


def _enable(feature: object) -> None:
    """A feature that is named without saying whether it is on is on."""
    if isinstance(feature, dict) and feature.get("enabled") is None and feature.get("present") is None:
        feature["enabled"] = True
