"""What a transfer looks at, and the steps of one that has begun. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from vmpod.controllers.children import delete, metadata_patch
from vmpod.controllers.datavolumeclaim import OWNED_BY
from vmpod.kinds import DATAVOLUME, OBJECTTRANSFER, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from vmpod.kinds.kind import Kind
from vmpod.kinds.objecttransfer import target_of
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, is_owned_by, name, owner_reference, owner_references, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Patch

MARK = "cdi.kubevirt.io/objectTransferName"
_POPULATED_FOR = "cdi.kubevirt.io/storage.populatedFor"
_BOUND = "pv.kubernetes.io/bind-completed"
_KEPT = ("labels", "annotations", "finalizers", "ownerReferences")
_RUNNING, _DONE = "Running", "Transfer complete"


@dataclass(frozen=True)
class Seen:
    """A transfer, what it moves and where to: both objects, their claims, the volume, the transfer of the claim."""

    transfer: Object
    source: Object | None
    target: Object | None
    claim: Object | None
    moved: Object | None
    volume: Object | None
    child: Object | None
    is_used: bool
    has_namespace: bool
    now: datetime

    @property
    def phase(self) -> str:
        return str(get(self.transfer, "status", "phase", default=""))

    @property
    def is_volume(self) -> bool:
        """Whether a DataVolume is moved."""
        return bool(get(self.transfer, "spec", "source", "kind") == "DataVolume")

    @property
    def data(self) -> Mapping[str, str]:
        """What the transfer remembers of its beginning."""
        return dict(get(self.transfer, "status", "data", default={}))

    @property
    def is_source_there(self) -> bool:
        """Whether the very object that the transfer began with is still there."""
        return self.source is not None and uid(self.source) == uid(json.loads(self.data["source"]))

    @property
    def at(self) -> tuple[str, str]:
        """Namespace and name of the source."""
        source = get(self.transfer, "spec", "source")
        return str(source["namespace"]), str(source["name"])


@dataclass(frozen=True)
class Step:
    """What is said of a transfer, its phase, and what is to be done; `data` is what it has to remember from now on."""

    message: str
    phase: str
    actions: tuple[Action, ...] = ()
    data: Mapping[str, str] | None = None
    again_in: float | None = None


def marked(source: Object) -> str:
    """The transfer that has taken an object."""
    return annotations_of(source).get(MARK, "")


def source_text(source: Object) -> str:
    """An object without its status, to be made again."""
    return json.dumps({key: value for key, value in source.items() if key != "status"}, sort_keys=True)


def child_name(transfer: Object) -> str:
    """The transfer that moves the claim of a DataVolume."""
    return f"pvc-transfer-{uid(transfer)}"


# a claim: its volume is kept, the claim deleted, the volume bound to a claim that is made anew


def move_claim(seen: Seen) -> Step:
    """The next step of a claim's way."""
    volume = seen.volume
    if volume is None:
        return Step(f"PV {seen.data['pvName']} is gone", "Error")
    if seen.is_source_there and seen.source is not None:
        return _give_up_claim(seen, seen.source, volume)
    reference = get(volume, "spec", "claimRef", default={})
    holder = (reference.get("namespace"), reference.get("name"))
    if holder == seen.at:
        where, wanted = target_of(seen.transfer)
        fresh = {"namespace": where, "name": wanted, "uid": None, "resourceVersion": None}
        return Step(_RUNNING, "Running", (_of_volume(volume, {"claimRef": fresh}),))
    if holder != target_of(seen.transfer):
        return Step("PV bound to wrong PVC", "Error")
    return _bind_target(seen, volume)


def _give_up_claim(seen: Seen, claim: Object, volume: Object) -> Step:
    if get(volume, "spec", "persistentVolumeReclaimPolicy") != "Retain":
        return Step(_RUNNING, "Running", (_of_volume(volume, {"persistentVolumeReclaimPolicy": "Retain"}),))
    if not is_deleting(claim):
        return Step(_RUNNING, "Running", (delete(PERSISTENTVOLUMECLAIM, claim),))
    return Step("Pods using PVC" if seen.is_used else _RUNNING, "Running")


def _bind_target(seen: Seen, volume: Object) -> Step:
    target, policy = seen.target, seen.data["pvReclaim"]
    if target is None:
        return Step(_RUNNING, "Running", _made(PERSISTENTVOLUMECLAIM, seen))
    if get(target, "spec", "volumeName") != name(volume):
        return Step("PV bound to wrong PVC", "Error")
    if get(target, "status", "phase") != "Bound":
        return Step("Waiting for target to be bound", "Running")
    if get(volume, "spec", "persistentVolumeReclaimPolicy") != policy:
        return Step(_RUNNING, "Running", (_of_volume(volume, {"persistentVolumeReclaimPolicy": policy}),))
    return Step(_DONE, "Complete")


def _of_volume(volume: Object, spec: Object) -> Patch:
    meta = {"resourceVersion": get(volume, "metadata", "resourceVersion")}
    return Patch(PERSISTENTVOLUME, "", name(volume), {"metadata": meta, "spec": spec})


def _made(kind: Kind, seen: Seen) -> tuple[Action, ...]:
    """The source under its new name; in another namespace nobody owns it. Nothing where there is no namespace."""
    if not seen.has_namespace:
        return ()
    saved: Object = json.loads(seen.data["source"])
    where, wanted = target_of(seen.transfer)
    kept = {key: saved["metadata"][key] for key in _KEPT if saved["metadata"].get(key)}
    if where != seen.at[0]:
        kept.pop("ownerReferences", None)
    said = {key: text for key, text in annotations_of(saved).items() if key not in (MARK, _BOUND)}
    meta = {**kept, "name": wanted, "namespace": where, "annotations": said}
    return (Create(kind, {**saved, "metadata": meta}),)


# a DataVolume: it is deleted without its claim, the claim is moved, a DataVolume of the new name takes it


def move_volume(seen: Seen) -> Step:
    """The next step of a DataVolume's way."""
    if seen.is_source_there and seen.source is not None:
        orphaned = () if is_deleting(seen.source) else (delete(DATAVOLUME, seen.source, propagation="Orphan"),)
        return Step(_RUNNING, "Running", orphaned)
    if seen.child is None and seen.target is None:
        return _begin_child(seen)
    if seen.child is not None and (step := _follow(seen, seen.child)):
        return step
    if seen.target is None:
        return Step(_RUNNING, "Running", _made(DATAVOLUME, seen))
    if get(seen.target, "status", "phase") != "Succeeded":
        return Step("Waiting for target DataVolume", "Running")
    if seen.child is not None and not is_deleting(seen.child):
        return Step(_RUNNING, "Running", (delete(OBJECTTRANSFER, seen.child),))
    return Step(_DONE, "Complete")


def _begin_child(seen: Seen) -> Step:
    """Move the claim, which belongs to nobody now."""
    claim, saved = seen.claim, json.loads(seen.data["source"])
    if claim is None:
        return Step("Source DV has no PVC", "Error")
    if is_owned_by(claim, uid(saved)):
        others = [one for one in owner_references(claim) if one.get("uid") != uid(saved)]
        return Step(_RUNNING, "Running", (metadata_patch(PERSISTENTVOLUMECLAIM, claim, ownerReferences=others),))
    where, wanted = target_of(seen.transfer)
    meta = {"name": child_name(seen.transfer), "ownerReferences": [owner_reference(seen.transfer)],
            "labels": {"app": "containerized-data-importer", "cdi.kubevirt.io": ""}}  # fmt: skip
    source = {"kind": "PersistentVolumeClaim", "namespace": seen.at[0], "name": name(claim)}
    spec = {"source": source, "target": {"namespace": where, "name": wanted}, "parentName": name(seen.transfer)}
    made = {"apiVersion": OBJECTTRANSFER.api_version, "kind": OBJECTTRANSFER.kind, "metadata": meta, "spec": spec}
    return Step("PVC transfer in progress", "Running", (Create(OBJECTTRANSFER, made),))


def _follow(seen: Seen, child: Object) -> Step | None:
    """Until the claim is where it should be, and says for whom it was filled."""
    phase = get(child, "status", "phase")
    if phase == "Error":
        found = conditions.find(get(child, "status", "conditions"), "Complete") or {}
        return Step(f"PVC transfer failed: {found.get('message', '')}", "Error")
    if phase != "Complete":
        return Step("PVC transfer in progress", "Running")
    if seen.moved is None:
        return Step("Transferred PVC does not exist", "Error")
    where, wanted = target_of(seen.transfer)
    marks = {OWNED_BY: f"{where}/{wanted}", _POPULATED_FOR: wanted}
    if marks.items() <= annotations_of(seen.moved).items():
        return None
    return Step(_RUNNING, "Running", (metadata_patch(PERSISTENTVOLUMECLAIM, seen.moved, annotations=marks),))
