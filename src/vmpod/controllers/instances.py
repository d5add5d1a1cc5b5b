"""The VirtualMachineInstance that a VirtualMachine runs as."""

from __future__ import annotations

import uuid
from copy import deepcopy

from vmpod.controllers import runstrategy
from vmpod.controllers.children import INSTANCE_FINALIZER, child_metadata, suffix
from vmpod.kinds import VIRTUALMACHINEINSTANCE
from vmpod.kinds.parts.hotplug import ephemeral, hotpluggable, plug_faults, steady, with_hotplugged
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Patch

GENERATION = "kubevirt.io/vm-generation"
_TEMPLATE_HASH = "vmpod.io/template-hash"


def instance_of(vm: Object) -> Object:
    """The VirtualMachineInstance that a machine runs as."""
    template = get(vm, "spec", "template", default={})
    meta = child_metadata(vm, name(vm), template)
    meta["labels"] = meta.get("labels", {}) | {"vm.kubevirt.io/name": name(vm)}
    meta["annotations"] = meta.get("annotations", {}) | {
        GENERATION: str(get(vm, "metadata", "generation", default=1)), _TEMPLATE_HASH: _template_hash(vm),
    }
    meta["finalizers"] = [INSTANCE_FINALIZER]
    spec = deepcopy(template.get("spec") or {})
    firmware = spec.setdefault("domain", {}).setdefault("firmware", {})
    firmware.setdefault("uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, f"kubevirt.io/{uid(vm)}")))
    if get(runstrategy.start_request(vm), "data", "paused", default="").lower() == "true":
        spec["startStrategy"] = "Paused"
    return {"apiVersion": VIRTUALMACHINEINSTANCE.api_version, "kind": "VirtualMachineInstance", "metadata": meta,
            "spec": spec}


def _template_hash(vm: Object) -> str:
    """Of all that only a restart brings into effect: volumes that may come and go are plugged into what runs."""
    return suffix(steady(get(vm, "spec", "template", "spec", default={})), length=12)


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


def needs_restart(vm: Object, vmi: Object) -> bool:
    """Whether the machine's template has changed since the instance was made from it, beyond what can be plugged in."""
    if annotations_of(vmi).get(_TEMPLATE_HASH, _template_hash(vm)) != _template_hash(vm):
        return True
    return bool(plug_faults(vmi.get("spec") or {}, get(vm, "spec", "template", "spec", default={})))
