"""What a preference writes into a machine that does not say it itself: KubeVirt's pkg/instancetype/preference."""

from __future__ import annotations

from copy import deepcopy

from vmpod.kinds.parts.reading import dig, entries, mapping, section, text
from vmpod.model.meta import Object

# Of a preference's devices → of a machine's, where the machine has nothing there yet.
_AUTOATTACH = {
    f"preferredAutoattach{name}": f"autoattach{name}"
    for name in ("GraphicsDevice", "MemBalloon", "PodInterface", "SerialConsole", "InputDevice")
}
_DEVICES = {
    "preferredUseVirtioTransitional": "useVirtioTransitional", "preferredBlockMultiQueue": "blockMultiQueue",
    "preferredNetworkInterfaceMultiQueue": "networkInterfaceMultiqueue", "preferredRng": "rng", "preferredTPM": "tpm",
}
_BINDINGS = ("masquerade", "bridge", "sriov", "passt", "passtBinding", "slirp", "macvtap", "binding")
_FEATURES = {"preferredApic": "apic", "preferredKvm": "kvm", "preferredPvspinlock": "pvspinlock", "preferredSmm": "smm"}


def apply_autoattach(preference: Object | None, spec: Object) -> None:
    """Which devices come by themselves: known before the default interface is made."""
    _fill(dig(preference, "devices"), section(spec, "domain", "devices"), _AUTOATTACH)


def apply_preference(preference: Object, spec: Object, metadata: Object) -> None:
    """Everything else, into the spec of a machine whose disks and interfaces are all named."""
    domain = section(spec, "domain")
    _apply_cpu_features(dig(preference, "cpu"), section(domain, "cpu"))
    _apply_devices(dig(preference, "devices"), spec)
    if mapping(preference.get("features")):
        _apply_features(dig(preference, "features"), section(domain, "features"))
    if mapping(preference.get("firmware")):
        _apply_firmware(dig(preference, "firmware"), section(domain, "firmware", "bootloader"))
    if mapping(preference.get("clock")):
        _apply_clock(dig(preference, "clock"), section(domain, "clock"))
    apply_platform(preference, spec)
    _fill(preference, spec, {
        "preferredSubdomain": "subdomain", "preferredTerminationGracePeriodSeconds": "terminationGracePeriodSeconds",
    })
    annotations = mapping(preference.get("annotations"))
    if annotations:
        metadata["annotations"] = {**annotations, **mapping(metadata.get("annotations"))}


def apply_platform(preference: Object, spec: Object) -> None:
    """Architecture and machine type."""
    _fill(preference, spec, {"preferredArchitecture": "architecture"})
    _fill(dig(preference, "machine"), section(spec, "domain", "machine"), {"preferredMachineType": "type"})


def _fill(wanted: Object, holder: Object, fields: dict[str, str]) -> None:
    """Copies what is preferred and not said yet."""
    for source, target in fields.items():
        if wanted.get(source) not in (None, "") and holder.get(target) in (None, ""):
            holder[target] = deepcopy(wanted[source])


def _apply_cpu_features(wanted: Object, cpu: Object) -> None:
    held = {text(one, "name") for one in entries(cpu, "features")}
    fresh = [deepcopy(one) for one in entries(wanted, "preferredCPUFeatures") if text(one, "name") not in held]
    if fresh:
        cpu["features"] = [*entries(cpu, "features"), *fresh]


def _apply_devices(wanted: Object, spec: Object) -> None:
    devices = section(spec, "domain", "devices")
    _fill(wanted, devices, _DEVICES)
    if wanted.get("preferredDisableHotplug") is not None:
        devices["disableHotplug"] = wanted["preferredDisableHotplug"]
    if isinstance(devices.get("sound"), dict):
        _fill(wanted, devices["sound"], {"preferredSoundModel": "model"})
    for disk in entries(devices, "disks"):
        _apply_disk(wanted, disk)
    for interface in entries(devices, "interfaces"):
        _apply_interface(wanted, interface, spec)
    for entry in entries(devices, "inputs"):
        _fill(wanted, entry, {"preferredInputBus": "bus", "preferredInputType": "type"})
    model = text(wanted, "preferredPanicDeviceModel")
    if model:
        devices["panicDevices"] = [{"model": model, **one} for one in entries(devices, "panicDevices") or [{}]]


def _apply_disk(wanted: Object, disk: Object) -> None:
    if not any(isinstance(disk.get(key), dict) for key in ("disk", "cdrom", "lun")):
        disk["disk"] = {}
    if isinstance(disk.get("disk"), dict):
        _fill(wanted, disk["disk"], {"preferredDiskBus": "bus"})
        _fill(wanted, disk, {
            "preferredDiskBlockSize": "blockSize", "preferredDiskCache": "cache", "preferredDiskIO": "io",
        })
        if text(disk["disk"], "bus") == "virtio":
            _fill(wanted, disk, {"preferredDiskDedicatedIoThread": "dedicatedIOThread"})
    elif isinstance(disk.get("cdrom"), dict):
        _fill(wanted, disk["cdrom"], {"preferredCdromBus": "bus"})
    else:
        _fill(wanted, disk["lun"], {"preferredLunBus": "bus"})


def _apply_interface(wanted: Object, interface: Object, spec: Object) -> None:
    _fill(wanted, interface, {"preferredInterfaceModel": "model"})
    pods = {text(one, "name") for one in entries(spec, "networks") if one.get("pod") is not None}
    if text(interface, "name") in pods and all(interface.get(key) is None for key in _BINDINGS):
        _fill(wanted, interface, {"preferredInterfaceMasquerade": "masquerade"})


def _apply_features(wanted: Object, features: Object) -> None:
    if wanted.get("preferredAcpi") is not None:
        features["acpi"] = deepcopy(wanted["preferredAcpi"])
    _fill(wanted, features, _FEATURES)
    hyperv = mapping(wanted.get("preferredHyperv"))
    if hyperv and not dig(features, "hypervPassthrough").get("enabled"):
        _fill(hyperv, section(features, "hyperv"), {key: key for key in hyperv})


def _apply_firmware(wanted: Object, bootloader: Object) -> None:
    def is_free() -> bool:
        return bootloader.get("bios") is None and bootloader.get("efi") is None

    if wanted.get("preferredUseBios") and is_free():
        bootloader["bios"] = {}
    if isinstance(bootloader.get("bios"), dict):
        _fill(wanted, bootloader["bios"], {"preferredUseBiosSerial": "useSerial"})
    if is_free() and wanted.get("preferredEfi") is not None:
        bootloader["efi"] = deepcopy(wanted["preferredEfi"])
        return
    if wanted.get("preferredUseEfi") and is_free():
        bootloader["efi"] = {}
    if isinstance(bootloader.get("efi"), dict):
        _fill(wanted, bootloader["efi"], {"preferredUseSecureBoot": "secureBoot"})


def _apply_clock(wanted: Object, clock: Object) -> None:
    """An offset or a set of timers as a whole: half of one beside half of another would surprise."""
    if clock.get("utc") is None and clock.get("timezone") is None:
        clock |= deepcopy(mapping(wanted.get("preferredClockOffset")))
    _fill(wanted, clock, {"preferredTimer": "timer"})


def apply_storage_class(preference: Object, vm_spec: Object) -> None:
    """The class of DataVolumes that name none."""
    wanted = dig(preference, "volumes")
    for template in entries(vm_spec, "dataVolumeTemplates"):
        for key in ("pvc", "storage"):
            if isinstance(dig(template, "spec").get(key), dict):
                _fill(wanted, template["spec"][key], {"preferredStorageClassName": "storageClassName"})
