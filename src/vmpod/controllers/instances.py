"""The VirtualMachineInstance that a VirtualMachine runs as."""

from __future__ import annotations

import uuid
from copy import deepcopy

from vmpod.controllers import runstrategy
from vmpod.controllers.children import INSTANCE_FINALIZER, MACHINE_FINALIZER, child_metadata
from vmpod.controllers.revisions import GENERATION, generation
from vmpod.kinds import VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.hotplug import ephemeral, hotpluggable, with_hotplugged
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.reconcile.actions import Patch


def instance_of(vm: Object) -> Object:
    """The VirtualMachineInstance that a machine runs as."""
    template = get(vm, "spec", "template", default={})
    meta = child_metadata(vm, name(vm), template)
    meta["labels"] = meta.get("labels", {}) | {"vm.kubevirt.io/name": name(vm)}
    meta["annotations"] = meta.get("annotations", {}) | {GENERATION: str(generation(vm))}
    meta["finalizers"] = [INSTANCE_FINALIZER, MACHINE_FINALIZER]
    spec = deepcopy(template.get("spec") or {})
    firmware = spec.setdefault("domain", {}).setdefault("firmware", {})
    firmware.setdefault("uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, f"kubevirt.io/{uid(vm)}")))
    if get(runstrategy.start_request(vm), "data", "paused", default="").lower() == "true":
        spec["startStrategy"] = "Paused"
    return {"apiVersion": VIRTUALMACHINEINSTANCE.api_version, "kind": "VirtualMachineInstance", "metadata": meta,
            "spec": spec}


def hotplug_patch(vm: Object, vmi: Object) -> Patch | None:
    """Gives the instance those hotpluggable volumes that its machine's template has; None when it has them.

    What was plugged into the instance alone stays.
    """
    template, spec = get(vm, "spec", "template", "spec", default={}), vmi.get("spec") or {}
    if get(vmi, "status", "phase") != "Running":
        return None
    fresh = with_hotplugged(spec, template, ephemeral(vmi))
    if hotpluggable(fresh) == hotpluggable(spec):
        return None
    change = {"volumes": fresh["volumes"], "domain": {"devices": {"disks": fresh["domain"]["devices"]["disks"]}}}
    return Patch(VIRTUALMACHINEINSTANCE, namespace(vmi), name(vmi), {"spec": change})


