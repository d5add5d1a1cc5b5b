"""The DataVolumes that a VirtualMachine makes from its templates."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from vmpod.controllers.children import adopt, child_metadata
from vmpod.controllers.printablestatus import DATAVOLUME_ERROR
from vmpod.kinds import DATAVOLUME
from vmpod.kinds.datavolume import KEPT_FROM
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Note, Plan


def plan_volumes(vm: Object, volumes: Mapping[str, Object | None]) -> Plan:
    """Make the DataVolumes that are missing, take over those of nobody, tell of those that failed."""
    actions: list[Action] = []
    events: list[Note] = []
    for template in get(vm, "spec", "dataVolumeTemplates", default=()):
        found = volumes.get(name(template))
        if found is None:
            actions.append(Create(DATAVOLUME, _volume(vm, template)))
            text = f"Created DataVolume {name(template)}"
            events.append(Note("Normal", "SuccessfulDataVolumeCreate", text, vm))
        elif _is_free(found, vm):
            actions.append(adopt(DATAVOLUME, found, vm))
        elif get(found, "status", "phase") == "Failed":
            events += _import_failed(vm, found)
    return Plan(tuple(actions), None, tuple(events))


def _is_free(found: Object, vm: Object) -> bool:
    """Whether it is nobody's, and not one that is to outlive this very machine."""
    kept = annotations_of(found).get(KEPT_FROM) == uid(vm)
    return controller_of(found) is None and not is_deleting(found) and not kept


def _import_failed(vm: Object, volume: Object) -> tuple[Note, ...]:
    """Told once: the status says it from then on."""
    if get(vm, "status", "printableStatus") == DATAVOLUME_ERROR:
        return ()
    why = (conditions.find(get(volume, "status", "conditions"), "Running") or {}).get("message") or "see the DataVolume"
    text = f"DataVolume {name(volume)} failed to import disk image: {why}"
    return (Note("Warning", "FailedDataVolumeImport", text, vm),)


def _volume(vm: Object, template: Object) -> Object:
    meta = child_metadata(vm, name(template), template)
    meta["labels"] = meta.get("labels", {}) | {"kubevirt.io/created-by": uid(vm)}
    return {"apiVersion": DATAVOLUME.api_version, "kind": "DataVolume", "metadata": meta,
            "spec": deepcopy(template.get("spec") or {})}
