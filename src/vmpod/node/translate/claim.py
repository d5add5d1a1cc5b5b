"""What to do next about a PersistentVolumeClaim, and what to say of it. Pure.

Binding follows Kubernetes (docs/concepts/storage/persistent-volumes); the import annotations are those that CDI's
DataVolume controller and importer exchange on the claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmpod.base.errors import Problem
from vmpod.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from vmpod.kinds.parts.populators import populator, reference
from vmpod.model import quantity
from vmpod.model.meta import Object, annotations, get, is_deleting, name, namespace, uid
from vmpod.reconcile.actions import Note, Patch

PROVISIONER = "vmpod.io/local"
PROTECTION = "kubernetes.io/pvc-protection"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
CDI = "cdi.kubevirt.io/storage"
SOURCE, ENDPOINT, POD_PHASE = f"{CDI}.import.source", f"{CDI}.import.endpoint", f"{CDI}.pod.phase"
CHECKSUM, CONTENT_TYPE = f"{CDI}.import.checksum", f"{CDI}.contentType"
SECRET_NAME, CERTIFICATES = f"{CDI}.import.secretName", f"{CDI}.import.certConfigMap"
HEADERS, SECRET_HEADERS = f"{CDI}.import.extraHeaders", f"{CDI}.import.secretExtraHeaders"
RESTARTS, RUNNING_MESSAGE = f"{CDI}.pod.restarts", f"{CDI}.condition.running.message"
RUNNING, RUNNING_REASON = f"{CDI}.condition.running", f"{CDI}.condition.running.reason"
ARCHITECTURE, ARCHIVE = f"{CDI}.import.registryImageArchitecture", "oci-archive:"
UNVERIFIED = f"{CDI}.import.insecureSkipVerify"
TO_RESERVE, RESERVED = f"{CDI}.preallocation.requested", f"{CDI}.preallocation"
PROGRESS, MEMBER = "vmpod.io/progress", "vmpod.io/import.member"
UPLOAD, POD_READY = f"{CDI}.upload.target", f"{CDI}.pod.ready"
BIND_NOW, _WAIT = f"{CDI}.bind.immediate.requested", "WaitForFirstConsumer"
TARGET_IN_USE = "UploadTargetInUse"
_OVERHEAD_BYTES = 16 << 20
_LOOK_S = 2.0
_RETRY_S = (5, 10, 20, 40, 80, 160, 300)
Obstacle = tuple[str, str]


@dataclass(frozen=True)
class Seen:
    """One claim and all that decides about it."""

    claim: Object
    volume: Object | None  # the PersistentVolume it names
    classes: tuple[Object, ...]
    users: tuple[str, ...]  # pods that have not ended and mount the claim, machines that have it plugged in
    importing: bool  # an import of it runs in this engine
    node: str
    arrived: bool = False  # what is to fill it is in staging: an upload as a whole, or a part of a download
    obstacle: Obstacle = ("", "")  # why the claim that it is to be a copy of cannot be copied now
    mounted: tuple[str, ...] = ()  # who runs with the claim mounted or plugged in: others wait until it is filled


@dataclass(frozen=True)
class MakeVolume:
    """Make the folder of a volume, then its PersistentVolume object."""

    volume: Object


@dataclass(frozen=True)
class StartImport:
    """Start to bring the claim's image in, in the background."""

    claim: Object
    volume_name: str
    restarts: int


@dataclass(frozen=True)
class OfferUpload:
    """Tell that an image may be uploaded into the claim."""

    claim: Object
    volume_name: str


@dataclass(frozen=True)
class TakeUpload:
    """Go on with an upload that an earlier engine received."""

    claim: Object
    volume_name: str


@dataclass(frozen=True)
class CancelImport:
    """End the import or upload of a claim that is being deleted, and wait until nothing of it is left."""

    claim: Object


@dataclass(frozen=True)
class RemoveVolume:
    """Remove the data of a volume whose claim is gone, then its PersistentVolume object."""

    volume: Object


Step = MakeVolume | StartImport | OfferUpload | TakeUpload | CancelImport | RemoveVolume | Patch


@dataclass(frozen=True)
class ClaimPlan:
    """The next steps for one claim."""

    actions: tuple[Step, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()


def plan(seen: Seen) -> ClaimPlan:
    """The next safe steps: protect, bind, then import; when it is being deleted, let go once unused."""
    claim = seen.claim
    if is_deleting(claim):
        return _release(seen)
    if not get(claim, "spec", "volumeName"):
        return _populate(seen) if populator(claim) else _bind(seen)
    if seen.volume is None:
        return ClaimPlan()
    if not is_bound_to(seen.volume, claim):
        return _take(seen, seen.volume)
    return _fill(seen, seen.volume)


def status(seen: Seen) -> Object | None:
    """The claim's status: Pending until bound, then the volume's size and modes; Lost without its volume."""
    claim = seen.claim
    if is_deleting(claim):
        return None
    if not get(claim, "spec", "volumeName"):
        return {"phase": "Pending"}
    if seen.volume is None:
        return {"phase": "Lost"} if get(claim, "status", "phase") == "Bound" else None
    if not is_bound_to(seen.volume, claim):
        return {"phase": "Pending"}
    return {
        "phase": "Bound",
        "accessModes": get(claim, "spec", "accessModes", default=[]),
        "capacity": {"storage": get(seen.volume, "spec", "capacity", "storage", default="0")},
    }


def is_bound_to(volume: Object, claim: Object) -> bool:
    """Whether the volume is this very claim's."""
    return bool(get(volume, "spec", "claimRef", "uid") == uid(claim))


def _take(seen: Seen, volume: Object) -> ClaimPlan:
    """A claim that names its volume gets it, unless it is another's."""
    claim, reference = seen.claim, get(volume, "spec", "claimRef", default={})
    names = (reference.get("namespace"), reference.get("name"))
    if reference and (reference.get("uid") or names != (namespace(claim), name(claim))):
        text = f'volume "{name(volume)}" already bound to a different claim.'
        return ClaimPlan(events=(Note("Warning", "FailedBinding", text, claim),), again_in=10.0)
    patch = {"metadata": {"resourceVersion": volume["metadata"]["resourceVersion"]},
             "spec": {"claimRef": _reference(claim)}}  # fmt: skip
    bound = Patch(PERSISTENTVOLUME, "", name(volume), {"status": {"phase": "Bound"}}, "status")
    return ClaimPlan((Patch(PERSISTENTVOLUME, "", name(volume), patch), bound))


def _reference(claim: Object) -> Object:
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace(claim), "name": name(claim),
            "uid": uid(claim)}  # fmt: skip


def _release(seen: Seen) -> ClaimPlan:
    kept = get(seen.claim, "metadata", "finalizers", default=[])
    if PROTECTION not in kept:
        return ClaimPlan()
    if seen.importing or seen.arrived:
        return ClaimPlan((CancelImport(seen.claim),), again_in=0.0)
    if seen.users:
        text = f"waits for the pods that use it: {', '.join(seen.users)}"
        return ClaimPlan(events=(Note("Normal", "VolumeInUse", text, seen.claim),), again_in=2.0)
    return ClaimPlan((_finalizers(seen.claim, [f for f in kept if f != PROTECTION]),))


def _finalizers(claim: Object, wanted: list[str]) -> Patch:
    meta: Object = {"finalizers": wanted or None, "resourceVersion": claim["metadata"]["resourceVersion"]}
    return Patch(PERSISTENTVOLUMECLAIM, namespace(claim), name(claim), {"metadata": meta})


def volume_name(claim: Object) -> str:
    """The name of the volume made for a claim."""
    return f"pvc-{uid(claim)}"


def _populate(seen: Seen) -> ClaimPlan:
    """A claim of a populator is bound when it is filled; its volume is there before, and nobody's else."""
    said = annotations(seen.claim)
    if SOURCE not in said and UPLOAD not in said:
        return ClaimPlan()  # the populator tells why
    if seen.volume is None or said.get(POD_PHASE) == "Succeeded":
        return _bind(seen)
    return _fill(seen, seen.volume)


def _fill(seen: Seen, volume: Object) -> ClaimPlan:
    """Protect the claim, then fill its volume."""
    kept = get(seen.claim, "metadata", "finalizers", default=[])
    if PROTECTION not in kept:
        return ClaimPlan((_finalizers(seen.claim, [*kept, PROTECTION]),))
    return _import(seen, name(volume))


def _bind(seen: Seen) -> ClaimPlan:
    claim = seen.claim
    if kind := _unknown_source(claim):
        text = f"The datasource for this PVC does not match any registered VolumePopulator ({kind}): use a DataVolume"
        return ClaimPlan(events=(Note("Warning", "UnrecognizedDataSourceKind", text, claim),))
    chosen, relaxed = _class(seen)
    if chosen is None:
        text = "no default storage class is set and the claim names none that exists"
        return ClaimPlan(events=(Note("Warning", "ProvisioningFailed", text, claim),), again_in=10.0)
    events = (Note("Warning", "StorageClassRelaxed", relaxed, claim),) if relaxed else ()
    if chosen.get("volumeBindingMode") == _WAIT and not seen.users and BIND_NOW not in annotations(claim):
        text = "waiting for first consumer to be created before binding"
        return ClaimPlan(events=(*events, Note("Normal", _WAIT, text, claim)), again_in=_LOOK_S)
    if seen.volume is None:
        return ClaimPlan((MakeVolume(_volume(seen, chosen)),), events=events, again_in=0.0)
    done = Note("Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name(seen.volume)}", claim)
    meta = {"annotations": {
        "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
        "volume.kubernetes.io/storage-provisioner": PROVISIONER, "volume.kubernetes.io/selected-node": seen.node,
    }}
    bound = Patch(PERSISTENTVOLUMECLAIM, namespace(claim), name(claim),
                  {"metadata": meta, "spec": {"volumeName": name(seen.volume)}})  # fmt: skip
    return ClaimPlan((bound,), events=(*events, done))


def _unknown_source(claim: Object) -> str:
    """What a claim wants to be filled from by somebody who is not here; such a claim is never bound empty
    (Kubernetes: "Volume populators and data sources")."""
    source = reference(claim)
    if not source or populator(claim) or annotations(claim).get(SOURCE):
        return ""
    return f"{source.get('kind')}.{source.get('apiGroup') or 'core'}"


def _class(seen: Seen) -> tuple[Object | None, str]:
    """The storage class to use, and what to warn of when it is not the one that the claim names."""
    wanted = get(seen.claim, "spec", "storageClassName") or ""
    named = next((one for one in seen.classes if name(one) == wanted), None)
    if named is not None:
        return named, ""
    default = next((one for one in seen.classes if annotations(one).get(DEFAULT_CLASS) == "true"), None)
    if default is None or not wanted:
        return default, ""
    return default, f'storageclass "{wanted}" does not exist here: bound to the default class "{name(default)}"'


def _volume(seen: Seen, chosen: Object) -> Object:
    claim = seen.claim
    affinity = {"key": "kubernetes.io/hostname", "operator": "In", "values": [seen.node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim), "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
                     "finalizers": ["kubernetes.io/pv-protection"]},
        "spec": {
            "accessModes": get(claim, "spec", "accessModes", default=["ReadWriteOnce"]),
            "capacity": {"storage": get(claim, "spec", "resources", "requests", "storage", default="0")},
            "claimRef": _reference(claim),
            "csi": {"driver": PROVISIONER, "volumeHandle": volume_name(claim)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [affinity]}]}},
            "persistentVolumeReclaimPolicy": chosen.get("reclaimPolicy") or "Delete",
            "storageClassName": name(chosen),
            "volumeMode": get(claim, "spec", "volumeMode") or "Filesystem",
        },
    }


def _import(seen: Seen, volume: str) -> ClaimPlan:
    said = annotations(seen.claim)
    if UPLOAD in said:
        return _offer(seen, volume)
    if seen.importing or not said.get(SOURCE):
        return ClaimPlan()
    if said.get(POD_PHASE) in ("Succeeded", "Failed"):
        return ClaimPlan()
    if any(seen.obstacle):
        return _wait(seen.claim, *seen.obstacle)
    if seen.mounted:
        return _wait(seen.claim, "ImportTargetInUse", _in_use(seen))
    restarts = int(said.get(RESTARTS) or 0)
    return ClaimPlan((StartImport(seen.claim, volume, restarts),))


def is_import_open(claim: Object) -> bool:
    """Whether a claim still waits for what its annotations say."""
    said = annotations(claim)
    return bool(said.get(SOURCE)) and said.get(POD_PHASE) not in ("Succeeded", "Failed") and not is_deleting(claim)


def _wait(claim: Object, reason: str, message: str) -> ClaimPlan:
    """Tell what is waited for, and look again."""
    if annotations(claim).get(RUNNING_MESSAGE) == message:
        return ClaimPlan(again_in=_LOOK_S)
    patch = as_progress("Pending", message=message, reason=reason)
    told = Patch(PERSISTENTVOLUMECLAIM, namespace(claim), name(claim), patch)
    return ClaimPlan((told,), _LOOK_S, (Note("Warning", reason, message, claim),))


def _offer(seen: Seen, volume: str) -> ClaimPlan:
    said = annotations(seen.claim)
    if seen.importing or said.get(POD_PHASE) == "Succeeded":
        return ClaimPlan()
    if seen.mounted and said.get(POD_READY) != "true":
        return _wait(seen.claim, TARGET_IN_USE, _in_use(seen))
    if seen.arrived:
        return ClaimPlan((TakeUpload(seen.claim, volume),))
    return ClaimPlan() if said.get(POD_READY) == "true" else ClaimPlan((OfferUpload(seen.claim, volume),))


def _in_use(seen: Seen) -> str:
    return f"pod {namespace(seen.claim)}/{seen.mounted[0]} using PersistentVolumeClaim {name(seen.claim)}"


def upload_limit(claim: Object) -> int:
    """How many bytes an upload into a claim may have; 0 without a limit. Formats and archives add to their content."""
    size = size_bytes(claim)
    return (size * 2 if is_archive(claim) else size + size // 16) + _OVERHEAD_BYTES if size else 0


def is_archive(claim: Object) -> bool:
    """Whether the claim holds the files of an archive, not a disk."""
    return annotations(claim).get(CONTENT_TYPE) == "archive"


def retry_s(restarts: int) -> float:
    """Seconds before the next try of an import that failed `restarts` times."""
    return float(_RETRY_S[min(restarts, len(_RETRY_S)) - 1]) if restarts else 0.0


def size_bytes(claim: Object) -> int:
    """How large the claim wants its volume, in bytes."""
    wanted = get(claim, "spec", "resources", "requests", "storage")
    return quantity.to_bytes(wanted) if wanted else 0


def room_of(claim: Object, virtual: int) -> int:
    """The size of the claim's disk. Raises Problem when an image of `virtual` bytes does not fit in."""
    room = size_bytes(claim)
    if room and virtual > room:
        why = f"its virtual size {virtual} is larger than the claim's {room} bytes"
        fix = f"set resources.requests.storage to {quantity.format_bytes(virtual)} or more"
        raise Problem(f"import into the claim {name(claim)}", why, fix, "TooSmall")
    return room


def numbered(claim: Object, key: str) -> list[str]:
    """The values of the annotations KEY.0, KEY.1 … in their order."""
    found = {mark.removeprefix(f"{key}."): text for mark, text in annotations(claim).items()}
    return [found[str(number)] for number in range(len(found)) if str(number) in found]


def copied(claim: Object) -> tuple[str, str] | None:
    """Namespace and name of the claim that this one is to be a copy of."""
    said = annotations(claim)
    if said.get(SOURCE) != "pvc":
        return None
    where, _, wanted = said.get(ENDPOINT, "").rpartition("/")
    return where or namespace(claim), wanted


def copy_obstacle(key: tuple[str, str], source: Object | None, volume: Object | None, users: Sequence[str]) -> Obstacle:
    """Why a claim cannot be copied now, in CDI's words: reason and message, empty when it can."""
    whole = "/".join(key)
    if source is None or is_deleting(source):
        return "CloneWithoutSource", f"The source pvc {whole} doesn't exist"
    if volume is None or not is_bound_to(volume, source):
        return "CloneSourceNotReady", f"The source pvc {whole} is not bound"
    if not is_ours(volume):
        told = f"The source pvc {whole} is on {name(volume)}, which is no volume of {PROVISIONER}"
        return "CloneSourceNotReady", told
    if pending := is_import_pending(source):
        return "CloneSourceNotReady", pending
    if users:
        return "CloneSourceInUse", f"pod {key[0]}/{users[0]} using PersistentVolumeClaim {key[1]}"
    return "", ""


def is_import_pending(claim: Object) -> str:
    """Why a claim that waits for its image cannot be mounted yet; empty when it can."""
    said = annotations(claim)
    if UPLOAD in said and said.get(POD_PHASE) != "Succeeded":
        return f"the claim {name(claim)} waits for an upload"
    if not said.get(SOURCE) or said.get(POD_PHASE) == "Succeeded":
        return ""
    if said.get(POD_PHASE) == "Failed":
        return f"the import into the claim {name(claim)} failed: {said.get(RUNNING_MESSAGE, '')}"
    return f"the import into the claim {name(claim)} is under way ({said.get(PROGRESS) or 'starting'})"


def is_ours(volume: Object) -> bool:
    """Whether a PersistentVolume is one that this node made."""
    return bool(get(volume, "spec", "csi", "driver") == PROVISIONER)


def as_progress(phase: str, *, progress: str = "", message: str = "", reason: str = "", restarts: int = 0,
                reserved: bool = False) -> Any:  # fmt: skip
    """The merge patch that reports an import on its claim, in CDI's annotations."""
    running = {"Running": "true"}.get(phase, "false")
    words = {POD_PHASE: phase, PROGRESS: progress, RUNNING: running, RUNNING_MESSAGE: message,
             RUNNING_REASON: reason or {"Succeeded": "Completed"}.get(phase, phase), RESTARTS: str(restarts)}
    return {"metadata": {"annotations": words | ({RESERVED: "true"} if reserved else {})}}


def as_offer(*, message: str = "", reason: str = "") -> Any:
    """The merge patch that says that an upload is awaited, and why the last one failed."""
    patch = as_progress("Running", message=message, reason=reason)
    patch["metadata"]["annotations"][POD_READY] = "true"
    return patch
