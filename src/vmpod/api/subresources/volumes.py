"""subresources.kubevirt.io: addvolume and removevolume, of a VirtualMachine (kept) and of a VMI (until it ends)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

import orjson

from vmpod.api.call import Call
from vmpod.api.subresources.virtualmachines import is_final, read_options
from vmpod.api.verbs.update import prepare_whole, rewrite
from vmpod.client.inprocess import Response
from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.hotplug import (
    EPHEMERAL,
    ephemeral,
    hotpluggable,
    is_drive,
    is_hotpluggable,
    plug_faults,
    source_name,
)
from vmpod.model import meta, status
from vmpod.model.meta import Object

_NO_BODY: Final = "Request with no body, a new name is expected as the request body"
_SOURCES: Final = ("persistentVolumeClaim", "dataVolume")
_DEFAULT_BUS: Final = "scsi"  # KubeVirt's for what is plugged into a running machine
Change = Callable[[Call, Object], None]


async def add_to_vm(call: Call) -> Response:
    """PUT virtualmachines/NAME/addvolume: into the template; its controller plugs it into what runs."""
    return await _change(call, VIRTUALMACHINE, _adding(call))


async def add_to_vmi(call: Call) -> Response:
    """PUT virtualmachineinstances/NAME/addvolume."""
    return await _change(call, VIRTUALMACHINEINSTANCE, _adding(call))


async def remove_from_vm(call: Call) -> Response:
    """PUT virtualmachines/NAME/removevolume."""
    return await _change(call, VIRTUALMACHINE, _removing(call))


async def remove_from_vmi(call: Call) -> Response:
    """PUT virtualmachineinstances/NAME/removevolume."""
    return await _change(call, VIRTUALMACHINEINSTANCE, _removing(call))


async def _change(call: Call, kind: Kind, change: Callable[[Call, Object], None]) -> Response:
    call = call.about(kind, call.namespace, call.name)
    options = read_options(call)
    if options.get("dryRun"):
        query = {**call.request.query, "dryRun": "All"}
        call = replace(call, request=replace(call.request, query=query))
    stored = orjson.loads(call.current().value)
    if kind is VIRTUALMACHINEINSTANCE and (is_final(stored) or meta.get(stored, "status", "phase") != "Running"):
        raise _refused(call, "VMI is not running")

    def changed(obj: Object) -> Object:
        spec = obj["spec"] if kind is VIRTUALMACHINEINSTANCE else obj["spec"]["template"]["spec"]
        before = deepcopy(spec)
        change(call, spec)
        for fault in plug_faults(before, spec).values():
            raise status.bad_request(fault)
        if kind is VIRTUALMACHINEINSTANCE:
            _mark(obj, set(hotpluggable(before)))
        return obj

    await rewrite(call, changed, prepare_whole)
    return Response(202)


def _mark(vmi: Object, before: set[str]) -> None:
    """Note which volumes the instance alone has, or its machine would take them out again."""
    now = set(hotpluggable(vmi["spec"]))
    own = sorted((ephemeral(vmi) | (now - before)) & now)
    marks = vmi["metadata"].setdefault("annotations", {})
    if own:
        marks[EPHEMERAL] = ",".join(own)
    else:
        marks.pop(EPHEMERAL, None)


def _adding(call: Call) -> Change:
    """Checks the body. Raises ApiError 400 in KubeVirt's words."""
    options = _named(call, "AddVolumeOptions")
    disk, source = options.get("disk"), options.get("volumeSource")
    if disk is None:
        raise status.bad_request("AddVolumeOptions requires disk to not be nil")
    if source is None:
        raise status.bad_request("AddVolumeOptions requires VolumeSource to not be nil")
    kind = next((key for key in _SOURCES if source.get(key)), "")
    if not kind:
        raise status.bad_request("AddVolumeOptions requires VolumeSource to be a persistentVolumeClaim or a dataVolume")
    volume = {"name": options["name"], kind: {**source[kind], "hotpluggable": True}}
    return lambda call, spec: _add(call, spec, volume, _disk(disk, options["name"]))


def _disk(disk: Object, name: str) -> Object:
    kind = next((key for key in ("disk", "lun", "cdrom") if disk.get(key) is not None), "disk")
    device = dict(disk.get(kind) or {})
    device.setdefault("bus", _DEFAULT_BUS)
    return {**disk, "name": name, kind: device}


def _add(call: Call, spec: Object, volume: Object, disk: Object) -> None:
    for one in spec.get("volumes") or ():
        if one["name"] == volume["name"]:
            raise _refused(call, f"Unable to add volume [{one['name']}] because volume with that name already exists")
        if source_name(one) == source_name(volume):
            raise _refused(call, f"Unable to add volume source [{source_name(volume)}] because it already exists")
    devices = spec.setdefault("domain", {}).setdefault("devices", {})
    if devices.get("disableHotplug"):
        raise _refused(call, f"Unable to add volume [{volume['name']}] because the machine has disableHotplug set")
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    drives = {one["name"] for one in devices.get("disks") or () if is_drive(one) and is_drive(disk)}
    devices["disks"] = [*(devices.get("disks") or ()), *([] if volume["name"] in drives else [disk])]


def _removing(call: Call) -> Change:
    name = _named(call, "RemoveVolumeOptions")["name"]
    return lambda call, spec: _remove(call, spec, name)


def _remove(call: Call, spec: Object, name: str) -> None:
    found = next((one for one in spec.get("volumes") or () if one["name"] == name), None)
    if found is None:
        raise _refused(call, f"Unable to remove volume [{name}] because it does not exist")
    if not is_hotpluggable(found):
        raise _refused(call, f"Unable to remove volume [{name}] because it is not hotpluggable")
    spec["volumes"] = _without(spec["volumes"], name)
    devices = meta.get(spec, "domain", "devices", default={})
    devices["disks"] = [one for one in devices.get("disks") or () if one["name"] != name or is_drive(one)]


def _without(entries: list[Object], name: str) -> list[Object]:
    return [one for one in entries if one["name"] != name]


def _named(call: Call, kind: str) -> dict[str, Any]:
    if not call.request.body.strip():
        raise status.bad_request(_NO_BODY)
    options = read_options(call)
    if not options.get("name"):
        raise status.bad_request(f"{kind} requires name to be set")
    return options


def _refused(call: Call, why: str) -> status.ApiError:
    return status.conflict(f"{call.kind.kind.lower()}.kubevirt.io", call.name, why)
