"""PersistentVolumeClaims that name a VolumeImportSource, VolumeUploadSource or VolumeCloneSource: what fills them is
written onto them as a DataVolume writes it, and how far that is in the annotations of CDI's populators.

The node binds such a claim when it is filled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import metadata_patch
from vmpod.controllers.datavolumeclaim import UPLOAD_TARGET, population, refusal_of
from vmpod.controllers.datavolumesource import Named, Source, of_populator
from vmpod.kinds import (
    PERSISTENTVOLUMECLAIM,
    VOLUMECLONESOURCE,
    VOLUMEIMPORTSOURCE,
    VOLUMESNAPSHOT,
    VOLUMEUPLOADSOURCE,
)
from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.populators import CLONE, IMPORT, UPLOAD, populator, reference
from vmpod.model.meta import Object, get, is_deleting, name, namespace
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Note, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

KIND = PERSISTENTVOLUMECLAIM
_SOURCES: dict[str, Kind] = {IMPORT: VOLUMEIMPORTSOURCE, UPLOAD: VOLUMEUPLOADSOURCE, CLONE: VOLUMECLONESOURCE}


def _waiting(origin: Object, cache: Cache) -> Iterable[Key]:
    """The claims that may wait for this object."""
    return [key_of(one) for one in cache.list(PERSISTENTVOLUMECLAIM)
            if populator(one) and not get(one, "spec", "volumeName")]  # fmt: skip


WATCHES = (own(PERSISTENTVOLUMECLAIM), Watch(PERSISTENTVOLUMECLAIM, found=_waiting),
           Watch(VOLUMESNAPSHOT, found=_waiting), *(Watch(kind, found=_waiting) for kind in _SOURCES.values()))
_CDI = "cdi.kubevirt.io/"
_STORAGE = f"{_CDI}storage."
_BOUND = f"{_STORAGE}condition.bound"
_SAID = (f"{_BOUND}.reason", f"{_BOUND}.message")
_WORDS = {  # what is done, to the claim {0} and of {1}; how success and failure are called
    IMPORT: ("Import", "Import into {0}", ("importSucceeded", "Successfully imported into {0}"),
             ("importFailed", "import into {0} failed")),
    UPLOAD: ("Upload", "Upload into {0}", ("UploadSucceeded", "Successfully uploaded into {0}"),
             ("UploadFailed", "Upload into {0} failed")),
    CLONE: ("Clone", "Cloning from {1} into {0}", ("CloneSucceeded", "Successfully cloned from {1} into {0}"),
            ("CloneFailed", "Cloning from {1} into {0} failed")),
}  # fmt: skip
_CLONE_PHASES = {"pvc": ("csi-clone", "CSIClone"), "snapshot": ("snapshot", "SnapshotClone")}


@dataclass(frozen=True)
class Seen:
    """A claim, and the object that says what fills it."""

    claim: Object
    named: Object | None
    source: Source

    @property
    def kind(self) -> str:
        return populator(self.claim)

    def mark(self, key: str) -> str:
        """An annotation of CDI's about the storage."""
        return annotations_of(self.claim).get(_STORAGE + key, "")

    @property
    def is_asked(self) -> bool:
        """Whether it is written on the claim what fills it."""
        return bool(self.mark("import.source")) or UPLOAD_TARGET in annotations_of(self.claim)


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    claim = cache.get(PERSISTENTVOLUMECLAIM, *key)
    if claim is None or not populator(claim):
        return None
    named = cache.get(_SOURCES[populator(claim)], namespace(claim), str(reference(claim).get("name") or ""))
    return Seen(claim, named, of_populator(named, cache) if named else Source())


def plan(seen: Seen) -> Plan:
    """Write what is asked for, and how far it is; what has changed is an event."""
    if is_deleting(seen.claim):
        return Plan()
    type, reason, message = _state(seen)
    wanted: dict[str, str | None] = {**_told(seen, reason, message)}
    if not seen.is_asked and _trouble(seen) is None:
        wanted |= population(seen.claim, get(seen.named, "spec", default={}), seen.source)
    said = annotations_of(seen.claim)
    fresh = {key: text for key, text in wanted.items() if said.get(key) != text}
    if not fresh:
        return Plan()
    is_news = bool(type) and any(key in fresh for key in _SAID)
    events = (Note(type, reason, message, seen.claim),) if is_news else ()
    return Plan((metadata_patch(PERSISTENTVOLUMECLAIM, seen.claim, annotations=fresh),), None, events)


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: the claim's status is the node's."""
    return None


def _trouble(seen: Seen) -> Named | None:
    """Reason and message of what keeps the claim from being filled as it is."""
    if seen.is_asked:  # what has begun needs the populator's object no more
        return None
    where = reference(seen.claim).get("namespace")
    if where and where != namespace(seen.claim):
        return "NotSupported", "cross-namespace dataSourceRef is not supported: name an object of the claim's namespace"
    if seen.named is None or is_deleting(seen.named):
        return "SourceNotFound", f"{seen.kind} {namespace(seen.claim)}/{reference(seen.claim).get('name')} not found"
    meant = get(seen.named, "spec", "targetClaim")
    if meant and meant != name(seen.claim):
        return "SourceOfAnotherClaim", f"{seen.kind} {name(seen.named)} is meant for the claim {meant}"
    return refusal_of(seen.claim, get(seen.named, "spec", default={}), seen.source)


def _state(seen: Seen) -> tuple[str, str, str]:
    """How far the claim is, as the event that tells it; without a type where that is told already."""
    trouble = _trouble(seen)
    if trouble is not None:
        return "Warning", *trouble
    word, text, done, failed = _WORDS[seen.kind]
    about = (name(seen.claim), seen.mark("import.endpoint") or "/".join(seen.source.copied or ()))
    phase, why = seen.mark("pod.phase"), seen.mark("condition.running.message")
    if phase == "Succeeded":
        return "Normal", done[0], done[1].format(*about)
    if phase == "Failed":
        return "Warning", failed[0], f"{failed[1].format(*about)}: {why}"
    if phase == "Pending" and why:  # a try that is made again, a source in use: the node has told it
        return "", seen.mark("condition.running.reason"), why
    if seen.kind == UPLOAD and seen.mark("pod.ready") == "true":
        return "Normal", "UploadReady", f"{text.format(*about)} ready"
    if phase == "Running":
        return "Normal", f"{word}InProgress", f"{text.format(*about)} in progress"
    return "Normal", f"{word}Scheduled", f"{text.format(*about)} scheduled"


def _told(seen: Seen, reason: str, message: str) -> dict[str, str | None]:
    """The annotations of CDI's populators."""
    is_bound = get(seen.claim, "status", "phase") == "Bound"
    progress = annotations_of(seen.claim).get("vmpod.io/progress", "")
    told: dict[str, str | None] = {
        f"{_STORAGE}populator.kind": seen.kind, _BOUND: str(is_bound).lower(),
        f"{_BOUND}.reason": reason, f"{_BOUND}.message": message,
    }  # fmt: skip
    if seen.kind != UPLOAD:
        is_done = seen.mark("pod.phase") == "Succeeded"
        told[f"{_STORAGE}populator.progress"] = "100.0%" if is_done else progress if "%" in progress else "N/A"
    return told | (_cloned(seen, message) if seen.kind == CLONE else {})


def _cloned(seen: Seen, message: str) -> dict[str, str | None]:
    """The phase of a clone: Pending, the one by which it is made, Succeeded or Error."""
    way, moving = _CLONE_PHASES.get(seen.source.kind or seen.mark("import.source"), ("", ""))
    phase = {"Running": moving, "Succeeded": "Succeeded", "Failed": "Error"}.get(seen.mark("pod.phase"), "Pending")
    error = message if phase == "Error" else None
    return {f"{_CDI}clonePhase": phase, f"{_CDI}cloneError": error} | ({f"{_CDI}cloneType": way} if way else {})
