"""The ControllerRevision that keeps what a VirtualMachine was started from: the spec, by generation."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from vmpod.controllers.children import adopt, child_metadata, delete
from vmpod.kinds import CONTROLLERREVISION, VIRTUALMACHINEINSTANCE
from vmpod.model.meta import Object, controller_of, get, name, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Note, Plan

GENERATION = "kubevirt.io/vm-generation"
_PREFIX = "revision-start-vm-"


def generation(vm: Object) -> int:
    """`metadata.generation`: which wish this is."""
    return int(get(vm, "metadata", "generation", default=1))


def revision_name(vm_uid: str, number: int | str) -> str:
    """KubeVirt's name for the start of a machine at a generation."""
    return f"{_PREFIX}{vm_uid}-{number}"


def revision_named_by(vmi: Object) -> str:
    """The revision that an instance was made from, empty for one that no VirtualMachine made."""
    held = get(vmi, "status", "virtualMachineRevisionName", default="")
    owner, number = controller_of(vmi) or {}, annotations_of(vmi).get(GENERATION, "")
    if held or owner.get("kind") != "VirtualMachine" or not number:
        return str(held)
    return revision_name(str(owner.get("uid")), number)


def started_template(revision: Object | None) -> Object | None:
    """The template that a revision holds."""
    found = get(revision, "data", "spec", "template")
    return dict(found) if isinstance(found, dict) else None


def keep_start(vm: Object, known: Iterable[Object]) -> list[Action]:
    """What makes the present generation the one that is kept: older ones go, a missing one is made."""
    mine = [one for one in known if name(one).startswith(f"{_PREFIX}")]
    wanted = revision_name(uid(vm), generation(vm))
    actions: list[Action] = [delete(CONTROLLERREVISION, one) for one in mine if name(one) != wanted]
    if not any(name(one) == wanted for one in mine):
        actions.append(Create(CONTROLLERREVISION, _revision(vm, wanted)))
    return actions


def _revision(vm: Object, wanted: str) -> Object:
    return {"apiVersion": CONTROLLERREVISION.api_version, "kind": "ControllerRevision",
            "metadata": child_metadata(vm, wanted), "data": {"spec": deepcopy(vm.get("spec") or {})},
            "revision": generation(vm)}


def take_over(vm: Object, orphan: Object, started: Object | None) -> Plan:
    """An instance of the machine's name that belongs to nobody is adopted, with what it was started from."""
    actions: list[Action] = [adopt(VIRTUALMACHINEINSTANCE, orphan, vm)]
    if started is not None and controller_of(started) is None:
        actions.append(adopt(CONTROLLERREVISION, started, vm))
    text = f"Adopted the virtual machine instance {name(orphan)}"
    return Plan(tuple(actions), None, (Note("Normal", "SuccessfulAdopt", text, vm),))


def generations(vm: Object, vmi: Object | None) -> Object:
    """Which wish the instance was made from, and the present one."""
    wanted = generation(vm)
    seen = annotations_of(vmi).get(GENERATION, "") if vmi is not None else ""
    return {"observedGeneration": int(seen) if seen.isdecimal() else wanted, "desiredGeneration": wanted}
