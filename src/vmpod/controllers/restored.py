"""What a restore makes of a snapshot's content: claims filled from its layers, and the machine's spec. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from copy import deepcopy

from vmpod.controllers import snapshotrevisions
from vmpod.controllers.datavolumeclaim import OWNED_BY
from vmpod.kinds import VIRTUALMACHINE
from vmpod.kinds.parts import machine_state
from vmpod.kinds.parts.reading import entries, strings, text
from vmpod.kinds.parts.snapshot_memory import RESTORED_BY, given
from vmpod.model.meta import Object, get, labels, name, namespace, owner_reference, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.model.patch import json_patch
from vmpod.model.status import ApiError
from vmpod.reconcile.actions import Action, Create, Patch

Copies = tuple[snapshotrevisions.Copy, ...]
_RESTORE = "restore.kubevirt.io/"
LAST, RESTORE_NAME = RESTORED_BY, f"{_RESTORE}name"
_IMPORT = "cdi.kubevirt.io/storage.import."
_NOT_KEPT = ("pv.kubernetes.io", "volume.beta.kubernetes.io", "cdi.kubevirt.io", "volume.kubernetes.io",
             "k8s.io/CloneRequest", "k8s.io/CloneOf", "vmpod.io/")  # fmt: skip


def claim_name(restore: Object, backup: Object) -> str:
    """The claim that a volume becomes: as the restore says, the one that it was, or a name that nothing else has."""
    volume, policy = backup["volumeName"], get(restore, "spec", "volumeRestorePolicy")
    if wanted := text(_override(restore, volume), "restoreName"):
        return wanted
    if policy == "InPlace":
        return str(get(backup, "persistentVolumeClaim", "metadata", "name"))
    if policy == "PrefixTargetName":
        return f"{get(restore, 'spec', 'target', 'name')}-{volume}"
    return f"restore-{uid(restore)}-{volume}"


def _override(restore: Object, volume: str) -> Object:
    """What the restore says of a volume by its name."""
    found = entries(restore.get("spec"), "volumeRestoreOverrides")
    return next((one for one in found if text(one, "volumeName") == volume), {})


def mark(restore: Object) -> str:
    return f"{name(restore)}-{uid(restore)}"


def told(restore: Object, content: Object | None) -> dict[str, str | None]:
    """What a restored machine is told of its restore."""
    return {LAST: mark(restore), **given(content)}


def restored_claim(
    restore: Object, vm: Object | None, content: Object | None, backup: Object, kept: Object | None = None
) -> Object:
    """The claim for one volume. What it is filled from is named as a VolumeSnapshot, as upstream's is.

    `kept` is the DataVolume whose claim was replaced by this one.
    """
    machine = get(content, "spec", "source", "virtualMachine")
    claim = claim_name(restore, backup)
    origins = {f"{_RESTORE}source-vm-name": name(machine), f"{_RESTORE}source-vm-namespace": namespace(machine)}
    made = claim_of(backup, claim, namespace(restore), {LAST: mark(restore), RESTORE_NAME: name(restore)})
    meta = made["metadata"]
    if backup["volumeName"] == machine_state.volume_name(name(machine)):
        meta["annotations"][machine_state.VOLUME_OF] = get(restore, "spec", "target", "name")
        meta["labels"].pop(machine_state.LABEL, None)  # until it is filled, and the present one is put aside
    said = _override(restore, backup["volumeName"])
    meta["labels"] |= origins | strings(said, "labels")
    meta["annotations"] |= strings(said, "annotations")
    if kept is not None or template_of(machine, backup["volumeName"]) is not None:
        meta["annotations"][OWNED_BY] = f"{namespace(restore)}/{claim}"
    elif vm is not None and get(restore, "spec", "volumeOwnershipPolicy") != "None":
        meta["ownerReferences"] = [owner_reference(vm)]
    return made


def claim_of(backup: Object, claim: str, where: str, marks: Mapping[str, str]) -> Object:
    """A claim that is filled with one volume of a snapshot."""
    source, snapshot = backup["persistentVolumeClaim"], backup["volumeSnapshotName"]
    kept = {key: text for key, text in annotations_of(source).items() if not key.startswith(_NOT_KEPT)}
    filled = {f"{_IMPORT}source": "snapshot", f"{_IMPORT}endpoint": snapshot}
    meta = {"name": claim, "namespace": where, "annotations": {**kept, **marks, **filled},
            "labels": dict(labels(source))}  # fmt: skip
    spec = {key: deepcopy(source["spec"][key]) for key in ("accessModes", "resources", "storageClassName", "volumeMode")
            if key in source["spec"]}  # fmt: skip
    origin = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot}
    spec |= {"dataSource": origin, "dataSourceRef": dict(origin)}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def restored_copies(restore: Object, content: Object | None) -> Copies:
    """The revisions of the restored machine, each made of one of the snapshot's."""
    machine = {"spec": get(content, "spec", "source", "virtualMachine", "spec", default={})}
    taken, target = get(restore, "spec", "virtualMachineSnapshotName"), get(restore, "spec", "target", "name")
    return snapshotrevisions.copies(machine, str(taken), str(target))


def template_of(machine: Object, volume: str) -> Object | None:
    """The DataVolume template that a volume of the machine is made from."""
    volumes = get(machine, "spec", "template", "spec", "volumes", default=())
    wanted = next((get(one, "dataVolume", "name") for one in volumes if one["name"] == volume), None)
    templates = get(machine, "spec", "dataVolumeTemplates", default=())
    return next((one for one in templates if wanted and name(one) == wanted), None)


def restored_spec(machine: Object, claims: Mapping[str, str], revisions: Copies = ()) -> Object:
    """The machine's spec at the snapshot, its volumes replaced by the restored ones (volume → claim)."""
    spec: Object = deepcopy(machine["spec"])
    for volume in get(spec, "template", "spec", "volumes", default=()):
        claim = claims.get(volume["name"])
        if claim is None:
            continue
        template = template_of({"spec": spec}, volume["name"])
        if template is not None:
            template["metadata"]["name"] = volume["dataVolume"]["name"] = claim
        else:
            volume.pop("dataVolume", None)
            volume["persistentVolumeClaim"] = {**volume.get("persistentVolumeClaim", {}), "claimName": claim}
    return snapshotrevisions.pointed(spec, revisions)


def stopped_spec(machine: Object, claims: Mapping[str, str], revisions: Copies = ()) -> Object:
    """The restored spec without what says whether it runs: that is not restored."""
    spec = restored_spec(machine, claims, revisions)
    return {key: value for key, value in spec.items() if key not in ("running", "runStrategy")}


def restored_machine(
    restore: Object, content: Object | None, claims: Mapping[str, str], revisions: Copies = ()
) -> tuple[Object, str]:
    """The machine to be made, patched as the restore says, and why that cannot be (empty when it can).

    One that is patched begins anew: memory that was kept knows the machine as it was.
    """
    machine = get(content, "spec", "source", "virtualMachine")
    meta: Object = {"labels": dict(labels(machine)), "annotations": dict(annotations_of(machine))}
    made: Object = {"apiVersion": VIRTUALMACHINE.api_version, "kind": VIRTUALMACHINE.kind, "metadata": meta,
                    "spec": {**stopped_spec(machine, claims, revisions), "runStrategy": "Halted"}}  # fmt: skip
    try:
        made = json_patch(made, [json.loads(one) for one in get(restore, "spec", "patches", default=())])
    except ApiError as error:
        return {}, error.message
    meta = made.setdefault("metadata", {})
    meta |= {"name": get(restore, "spec", "target", "name"), "namespace": namespace(restore)}
    notes = {LAST: mark(restore)} if get(restore, "spec", "patches") else told(restore, content)
    meta["annotations"] = {**(meta.get("annotations") or {}), **{key: text for key, text in notes.items() if text}}
    return made, ""


def restores(restore: Object, content: Object | None, kept: Collection[str] = ()) -> list[Object]:
    """Status.restores: which claim each volume of the snapshot becomes; `kept` are those whose DataVolumes stay."""
    machine, found = get(content, "spec", "source", "virtualMachine"), []
    for backup in get(content, "spec", "volumeBackups", default=()):
        volume, claim = backup["volumeName"], claim_name(restore, backup)
        templated = {"dataVolumeName": claim} if volume in kept or template_of(machine, volume) is not None else {}
        found.append({"volumeName": volume, "persistentVolumeClaim": claim,
                      "volumeSnapshotName": backup["volumeSnapshotName"], **templated})  # fmt: skip
    return found


def written(
    restore: Object, vm: Object | None, content: Object | None, claims: Mapping[str, str], revisions: Copies
) -> Action:
    """The step that makes the machine, or writes the one that is there."""
    if vm is None:
        return Create(VIRTUALMACHINE, restored_machine(restore, content, claims, revisions)[0])
    spec, held = stopped_spec(get(content, "spec", "source", "virtualMachine"), claims, revisions), vm["spec"]
    spec |= {"running": False} if held.get("running") is not None else {"runStrategy": held.get("runStrategy")}
    gone = {key: None for key in held if key not in spec}
    meta = {"annotations": told(restore, content), "resourceVersion": vm["metadata"]["resourceVersion"]}
    gone_parts = {key: None for key in get(held, "template", "spec", default={}) if key not in spec["template"]["spec"]}
    spec["template"] = {**spec["template"], "spec": {**gone_parts, **spec["template"]["spec"]}}
    return Patch(VIRTUALMACHINE, namespace(vm), name(vm), {"metadata": meta, "spec": {**gone, **spec}})


def replaced(restore: Object, vm: Object | None, content: Object | None) -> list[str]:
    """The DataVolumes of the target that the restored ones replace."""
    names = {one["volumeName"]: one["persistentVolumeClaim"] for one in restores(restore, content)}
    spec = restored_spec(get(content, "spec", "source", "virtualMachine"), names)
    stay = {name(one) for one in spec.get("dataVolumeTemplates") or ()}
    return [name(one) for one in get(vm, "spec", "dataVolumeTemplates", default=()) if name(one) not in stay]
