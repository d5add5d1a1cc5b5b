"""What a restore makes of a snapshot's content: claims filled from its layers, and the machine's spec. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy

from vmpod.controllers.datavolumeclaim import OWNED_BY
from vmpod.kinds import VIRTUALMACHINE
from vmpod.kinds.parts.snapshot_memory import RESTORED_BY, given
from vmpod.model.meta import Object, get, labels, name, namespace, owner_reference, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.model.patch import json_patch
from vmpod.model.status import ApiError

_RESTORE = "restore.kubevirt.io/"
LAST, RESTORE_NAME = RESTORED_BY, f"{_RESTORE}name"
_IMPORT = "cdi.kubevirt.io/storage.import."
_NOT_KEPT = ("pv.kubernetes.io", "volume.beta.kubernetes.io", "cdi.kubevirt.io", "volume.kubernetes.io",
             "k8s.io/CloneRequest", "k8s.io/CloneOf", "vmpod.io/")  # fmt: skip


def claim_name(restore: Object, volume: str) -> str:
    """The claim that a volume becomes: a name that nothing else has, unless it is to be told from the machine's."""
    if get(restore, "spec", "volumeRestorePolicy") == "PrefixTargetName":
        return f"{get(restore, 'spec', 'target', 'name')}-{volume}"
    return f"restore-{uid(restore)}-{volume}"


def mark(restore: Object) -> str:
    return f"{name(restore)}-{uid(restore)}"


def told(restore: Object, content: Object | None) -> dict[str, str | None]:
    """What a restored machine is told of its restore."""
    return {LAST: mark(restore), **given(content)}


def restored_claim(restore: Object, vm: Object | None, content: Object | None, backup: Object) -> Object:
    """The claim for one volume. What it is filled from is named as a VolumeSnapshot, as upstream's is."""
    machine = get(content, "spec", "source", "virtualMachine")
    claim = claim_name(restore, backup["volumeName"])
    origins = {f"{_RESTORE}source-vm-name": name(machine), f"{_RESTORE}source-vm-namespace": namespace(machine)}
    made = claim_of(backup, claim, namespace(restore), {LAST: mark(restore), RESTORE_NAME: name(restore)})
    meta = made["metadata"]
    meta["labels"] |= origins
    if template_of(machine, backup["volumeName"]) is not None:
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


def template_of(machine: Object, volume: str) -> Object | None:
    """The DataVolume template that a volume of the machine is made from."""
    volumes = get(machine, "spec", "template", "spec", "volumes", default=())
    wanted = next((get(one, "dataVolume", "name") for one in volumes if one["name"] == volume), None)
    templates = get(machine, "spec", "dataVolumeTemplates", default=())
    return next((one for one in templates if wanted and name(one) == wanted), None)


def restored_spec(machine: Object, claims: Mapping[str, str]) -> Object:
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
    return spec


def stopped_spec(machine: Object, claims: Mapping[str, str]) -> Object:
    """The restored spec without what says whether it runs: that is not restored."""
    spec = restored_spec(machine, claims)
    return {key: value for key, value in spec.items() if key not in ("running", "runStrategy")}


def restored_machine(restore: Object, content: Object | None, claims: Mapping[str, str]) -> tuple[Object, str]:
    """The machine to be made, patched as the restore says, and why that cannot be (empty when it can).

    One that is patched begins anew: memory that was kept knows the machine as it was.
    """
    machine = get(content, "spec", "source", "virtualMachine")
    meta: Object = {"labels": dict(labels(machine)), "annotations": dict(annotations_of(machine))}
    made: Object = {"apiVersion": VIRTUALMACHINE.api_version, "kind": VIRTUALMACHINE.kind, "metadata": meta,
                    "spec": {**stopped_spec(machine, claims), "runStrategy": "Halted"}}  # fmt: skip
    try:
        made = json_patch(made, [json.loads(one) for one in get(restore, "spec", "patches", default=())])
    except ApiError as error:
        return {}, error.message
    meta = made.setdefault("metadata", {})
    meta |= {"name": get(restore, "spec", "target", "name"), "namespace": namespace(restore)}
    notes = {LAST: mark(restore)} if get(restore, "spec", "patches") else told(restore, content)
    meta["annotations"] = {**(meta.get("annotations") or {}), **{key: text for key, text in notes.items() if text}}
    return made, ""


def restores(restore: Object, content: Object | None) -> list[Object]:
    """Status.restores: which claim each volume of the snapshot becomes."""
    machine, found = get(content, "spec", "source", "virtualMachine"), []
    for backup in get(content, "spec", "volumeBackups", default=()):
        volume, claim = backup["volumeName"], claim_name(restore, backup["volumeName"])
        templated = {"dataVolumeName": claim} if template_of(machine, volume) is not None else {}
        found.append({"volumeName": volume, "persistentVolumeClaim": claim,
                      "volumeSnapshotName": backup["volumeSnapshotName"], **templated})  # fmt: skip
    return found
