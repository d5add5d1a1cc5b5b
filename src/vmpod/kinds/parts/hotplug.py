"""Volumes that may come and go while their machine runs (KubeVirt: `hotpluggable`)."""

from __future__ import annotations

from copy import deepcopy

from vmpod.kinds.parts.reading import dig, entries, text
from vmpod.model.meta import Object

SOURCES = ("persistentVolumeClaim", "dataVolume")
EPHEMERAL = "kubevirt.io/ephemeral-hotplug-volumes"
"""Annotation of an instance: which volumes were plugged into it alone, and are not in its machine's template."""


def is_hotpluggable(volume: Object) -> bool:
    """Whether a volume says that it may be plugged and unplugged."""
    return any(dig(volume, key).get("hotpluggable") for key in SOURCES)


def source_name(volume: Object) -> str:
    """The claim behind a volume; empty for what has none. A DataVolume's claim bears its name."""
    return text(dig(volume, "persistentVolumeClaim"), "claimName") or text(dig(volume, "dataVolume"), "name")


def hotpluggable(spec: Object) -> dict[str, Object]:
    """The volumes of a machine spec that may come and go, by name."""
    return {text(one, "name"): one for one in entries(spec, "volumes") if is_hotpluggable(one)}


def is_drive(disk: Object) -> bool:
    """Whether an entry is a drive for discs, which is there without one too."""
    return "cdrom" in disk


def steady(spec: Object) -> Object:
    """A machine spec without the volumes that may come and go, and without their disks. A drive for discs stays."""
    gone = set(hotpluggable(spec))
    kept = deepcopy(spec)
    if gone:
        kept["volumes"] = [one for one in entries(kept, "volumes") if text(one, "name") not in gone]
        devices = dig(kept, "domain", "devices")
        devices["disks"] = [one for one in entries(devices, "disks") if text(one, "name") not in gone or is_drive(one)]
    for holder, key in ((kept, "volumes"), (dig(kept, "domain", "devices"), "disks")):
        if not holder.get(key):
            holder.pop(key, None)
    return kept


def ephemeral(instance: Object) -> frozenset[str]:
    """The volumes that were plugged into an instance alone."""
    return frozenset(text(dig(instance, "metadata", "annotations"), EPHEMERAL).split(",")) - {""}


def plug_faults(old: Object, new: Object) -> dict[str, str]:
    """The volumes of `new` that cannot be plugged into a machine that runs with `old`, and why in KubeVirt's words."""
    before, after = hotpluggable(old), hotpluggable(new)
    drives = {text(one, "name") for one in entries(dig(old, "domain", "devices"), "disks") if is_drive(one)}
    faults = {one: f"hotplug volume {one}, changed" for one in after if one in before and before[one] != after[one]}
    for entry in entries(dig(new, "domain", "devices"), "disks"):
        name = text(entry, "name")
        if is_drive(entry) and name in drives:
            continue
        if name in after and name not in before and (fault := _disk_fault(entry, name)):
            faults[name] = fault
    return faults


def _disk_fault(entry: Object, name: str) -> str:
    lun, bus = "lun" in entry, text(dig(entry, "lun" if "lun" in entry else "disk"), "bus")
    if "cdrom" in entry:
        return f"Hotplug configuration for [{name}] requires diskDevice of type 'disk' or 'lun' to be used."
    if text(dig(entry, "disk"), "pciAddress"):
        return f"Hotplug configuration for [{name}] names a PCI address, which a disk has from the start only."
    if bus in (("scsi",) if lun else ("scsi", "virtio")):
        return ""
    what, buses = ("LUN", "'scsi'") if lun else ("disk", "'scsi' or 'virtio'")
    return f"Hotplug configuration for {what} [{name}] requires bus to be {buses}. [{bus}] is not permitted."


def with_hotplugged(spec: Object, wanted: Object, kept: frozenset[str] = frozenset()) -> Object:
    """`spec` with those volumes that may come and go, and their disks, that `wanted` has; of its own only `kept`.

    One that both have stays as it is: a disk in use is not exchanged for another of its name. What cannot be plugged
    in waits for a restart.
    """
    fresh, there = steady(spec), set(hotpluggable(spec))
    names = set(hotpluggable(wanted)) - {text(one, "name") for one in entries(fresh, "volumes")}
    for source, chosen in ((spec, there & (names | kept)), (wanted, names - there - set(plug_faults(spec, wanted)))):
        volumes, disks = entries(source, "volumes"), entries(dig(source, "domain", "devices"), "disks")
        fresh["volumes"] = [*entries(fresh, "volumes"), *(one for one in volumes if text(one, "name") in chosen)]
        devices = fresh.setdefault("domain", {}).setdefault("devices", {})
        there_is = {text(one, "name") for one in entries(devices, "disks")}
        added = (one for one in disks if text(one, "name") in chosen - there_is)
        devices["disks"] = [*entries(devices, "disks"), *added]
    return fresh
