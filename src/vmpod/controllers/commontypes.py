"""Instance types and preferences that every home has: the sizes of the public common-instancetypes project, as data.

Objects are made when a home is new; what is there stays as the user made it.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.matchers import GROUP, VERSION
from vmpod.model.meta import Object

_DEDICATED: Object = {"dedicatedCPUPlacement": True, "isolateEmulatorThread": True}
_NUMA: Object = {**_DEDICATED, "numa": {"guestMappingPassthrough": {}}}
_QUIET = {f"{key}.crio.io": "disable" for key in ("cpu-load-balancing", "cpu-quota", "irq-load-balancing")}
# Series → class, name for people, what all its sizes have besides vCPUs and memory: cpu, memory, the rest.
_SERIES: dict[str, tuple[str, str, Object, Object, Object]] = {
    "u1": ("general.purpose", "General Purpose", {}, {}, {}),
    "o1": ("overcommitted", "Overcommitted", {}, {"overcommitPercent": 50}, {}),
    "cx1": ("compute.exclusive", "Compute Exclusive", _NUMA, {"hugepages": {"pageSize": "2Mi"}},
            {"ioThreadsPolicy": "auto"}),
    "m1": ("memory.intensive", "Memory Intensive", {}, {"hugepages": {"pageSize": "2Mi"}}, {}),
    "n1": ("network", "Network", _DEDICATED, {"hugepages": {"pageSize": "1Gi"}}, {"annotations": _QUIET}),
    "rt1": ("realtime", "Realtime", {**_NUMA, "realtime": {}}, {"hugepages": {"pageSize": "1Gi"}},
            {"annotations": _QUIET}),
}
# Series → size → vCPUs and memory.
_LARGE = {"large": "2 8Gi", "xlarge": "4 16Gi", "2xlarge": "8 32Gi", "4xlarge": "16 64Gi", "8xlarge": "32 128Gi"}
_SMALL = {"micro": "1 1Gi", "small": "1 2Gi", "medium": "1 4Gi"}
_SIZES: dict[str, dict[str, str]] = {
    "u1": {"nano": "1 512Mi", **_SMALL, "2xmedium": "2 4Gi", **_LARGE},
    "o1": {"nano": "1 512Mi", **_SMALL, **_LARGE},
    "cx1": {"medium": "1 2Gi", "large": "2 4Gi", "xlarge": "4 8Gi", "2xlarge": "8 16Gi", "4xlarge": "16 32Gi",
            "8xlarge": "32 64Gi"},
    "m1": {"large": "2 16Gi", "xlarge": "4 32Gi", "2xlarge": "8 64Gi", "4xlarge": "16 128Gi", "8xlarge": "32 256Gi"},
    "n1": {"medium": "4 4Gi", "large": "4 8Gi", "xlarge": "8 16Gi", "2xlarge": "16 32Gi", "4xlarge": "32 64Gi",
           "8xlarge": "64 128Gi"},
    "rt1": {**_SMALL, **_LARGE},
}
_VIRTIO: Object = {"devices": {"preferredDiskBus": "virtio", "preferredInterfaceModel": "virtio", "preferredRng": {}}}
_OLD: Object = {"devices": {"preferredDiskBus": "sata", "preferredInterfaceModel": "e1000e"}}
_EFI: Object = {"firmware": {"preferredEfi": {"secureBoot": False}}}
_WINDOWS: Object = {
    "clock": {"preferredClockOffset": {"utc": {}}, "preferredTimer": {
        "hpet": {"present": False}, "hyperv": {}, "pit": {"tickPolicy": "delay"}, "rtc": {"tickPolicy": "catchup"}}},
    "features": {"preferredAcpi": {}, "preferredApic": {}, "preferredHyperv": {
        key: {} for key in ("relaxed", "vapic", "vpindex", "synic", "runtime", "reset", "frequencies")}},
}
# Name → for people, vCPUs and memory that it requires, what it prefers.
_PREFERENCES: dict[str, tuple[str, str, Object]] = {
    "linux": ("Linux", "1 64Mi", _VIRTIO), "linux.efi": ("Linux (EFI)", "1 256Mi", {**_VIRTIO, **_EFI}),
    "alpine": ("Alpine Linux", "1 512Mi", _VIRTIO), "cirros": ("CirrOS", "1 256Mi", _VIRTIO),
    "debian": ("Debian", "1 1Gi", _VIRTIO), "fedora": ("Fedora", "1 2Gi", _VIRTIO),
    "ubuntu": ("Ubuntu", "1 2Gi", _VIRTIO), "centos.stream9": ("CentOS Stream 9", "1 1536Mi", {**_VIRTIO, **_EFI}),
    "centos.stream10": ("CentOS Stream 10", "1 2Gi", {**_VIRTIO, **_EFI}),
    "opensuse.leap": ("openSUSE Leap", "1 1Gi", _VIRTIO), "rhel.8": ("Red Hat Enterprise Linux 8", "1 1536Mi", _VIRTIO),
    "rhel.9": ("Red Hat Enterprise Linux 9", "1 1536Mi", {**_VIRTIO, **_EFI}),
    "rhel.10": ("Red Hat Enterprise Linux 10", "1 2Gi", {**_VIRTIO, **_EFI}),
    "legacy": ("A guest without virtio drivers", "1 64Mi", _OLD),
    "windows.10": ("Microsoft Windows 10", "1 2Gi", {**_OLD, **_WINDOWS}),
    "windows.10.virtio": ("Microsoft Windows 10 (virtio)", "1 2Gi", {**_VIRTIO, **_WINDOWS}),
    "windows.2k22": ("Microsoft Windows Server 2022", "1 2Gi", {**_OLD, **_WINDOWS}),
    "windows.2k22.virtio": ("Microsoft Windows Server 2022 (virtio)", "1 2Gi", {**_VIRTIO, **_WINDOWS}),
}


def instancetypes() -> Iterator[Object]:
    """The VirtualMachineClusterInstancetypes."""
    for series, sizes in _SIZES.items():
        for size, amounts in sizes.items():
            yield _instancetype(series, size, amounts)


def _instancetype(series: str, size: str, amounts: str) -> Object:
    (kind, title, cpu, memory, rest), (cpus, amount) = _SERIES[series], amounts.split()
    labels = {"class": kind, "cpu": cpus, "memory": amount, "size": size, "vendor": "kubevirt.io", "version": "1"}
    labels |= dict.fromkeys(cpu, "true")
    labels |= {"hugepages": memory["hugepages"]["pageSize"]} if "hugepages" in memory else {}
    spec = {"cpu": {"guest": int(cpus), **cpu}, "memory": {"guest": amount, **memory}, **rest}
    return _object("VirtualMachineClusterInstancetype", f"{series}.{size}", title, labels, spec)


def preferences() -> Iterator[Object]:
    """The VirtualMachineClusterPreferences."""
    for name, (title, amounts, wanted) in _PREFERENCES.items():
        cpus, amount = amounts.split()
        requirements = {"cpu": {"guest": int(cpus)}, "memory": {"guest": amount}}
        labels = {"os-type": name.partition(".")[0] if name.startswith("windows") else "linux", "vendor": "kubevirt.io"}
        yield _object("VirtualMachineClusterPreference", name, title, labels, {**wanted, "requirements": requirements})


def _object(kind: str, name: str, title: str, labels: dict[str, str], spec: Object) -> Object:
    meta = {
        "name": name, "labels": {f"{GROUP}/{key}": text for key, text in labels.items()},
        "annotations": {f"{GROUP}/displayName": title},
    }
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": meta, "spec": spec}
