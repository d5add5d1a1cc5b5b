"""Volumes that may come and go while their machine runs (KubeVirt: `hotpluggable`)."""

from __future__ import annotations

from copy import deepcopy

from vmpod.kinds.parts.reading import dig, entries, text
from vmpod.model.meta import Object

SOURCES = ("persistentVolumeClaim", "dataVolume")


def is_hotpluggable(volume: Object) -> bool:
    """Whether a volume says that it may be plugged and unplugged."""
    return any(dig(volume, key).get("hotpluggable") for key in SOURCES)


def source_name(volume: Object) -> str:
    """The claim behind a volume; empty for what has none. A DataVolume's claim bears its name."""
    return text(dig(volume, "persistentVolumeClaim"), "claimName") or text(dig(volume, "dataVolume"), "name")


def hotpluggable(spec: Object) -> dict[str, Object]:
    """The volumes of a machine spec that may come and go, by name."""
    return {text(one, "name"): one for one in entries(spec, "volumes") if is_hotpluggable(one)}


def steady(spec: Object) -> Object:
    """A machine spec without the volumes that may come and go, and without their disks."""
    gone = set(hotpluggable(spec))
    kept = deepcopy(spec)
    if gone:
        kept["volumes"] = [one for one in entries(kept, "volumes") if text(one, "name") not in gone]
        devices = dig(kept, "domain", "devices")
        devices["disks"] = [one for one in entries(devices, "disks") if text(one, "name") not in gone]
    for holder, key in ((kept, "volumes"), (dig(kept, "domain", "devices"), "disks")):
        if not holder.get(key):
            holder.pop(key, None)
    return kept


def with_hotplugged(spec: Object, wanted: Object) -> Object:
    """`spec` with those volumes that may come and go, and their disks, that `wanted` has."""
    fresh, names = steady(spec), set(hotpluggable(wanted))
    volumes, disks = entries(wanted, "volumes"), entries(dig(wanted, "domain", "devices"), "disks")
    fresh["volumes"] = [*entries(fresh, "volumes"), *(one for one in volumes if text(one, "name") in names)]
    devices = fresh.setdefault("domain", {}).setdefault("devices", {})
    devices["disks"] = [*entries(devices, "disks"), *(one for one in disks if text(one, "name") in names)]
    return fresh
