"""DataVolume → PersistentVolumeClaim annotated with what is to fill it; the claim's progress folded back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import adopt, is_controlled_by
from vmpod.controllers.datavolumeclaim import OWNED_BY, PREPOPULATED, claim, refusal, wish
from vmpod.controllers.datavolumesource import Source, find_source, is_copy
from vmpod.controllers.storageprofile import class_of
from vmpod.kinds import (
    DATASOURCE,
    DATAVOLUME,
    PERSISTENTVOLUMECLAIM,
    STORAGECLASS,
    STORAGEPROFILE,
    VOLUMESNAPSHOT,
)
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, namespace
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Create, Note, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

KIND = DATAVOLUME


def _copies(origin: Object, cache: Cache) -> Iterable[Key]:
    """The volumes that may wait for this object to be copied."""
    return [key_of(one) for one in cache.list(DATAVOLUME) if is_copy(one) and not get(one, "status", "claimName")]


WATCHES = (own(DATAVOLUME), Watch(PERSISTENTVOLUMECLAIM, lambda claim: (key_of(claim),), _copies),
           Watch(DATASOURCE, found=_copies), Watch(VOLUMESNAPSHOT, found=_copies))  # fmt: skip
_STORAGE = "cdi.kubevirt.io/storage."
_PROGRESS = "vmpod.io/progress"
BIND_NOW = "cdi.kubevirt.io/storage.bind.immediate.requested"
_EVENTS = {
    "ImportScheduled": ("Normal", "ImportScheduled", "Import into {} scheduled"),
    "ImportInProgress": ("Normal", "ImportInProgress", "Import into {} in progress"),
    "Succeeded": ("Normal", "ImportSucceeded", "Successfully imported into PVC {}"),
    "Failed": ("Warning", "ImportFailed", "Failed to import into PVC {}"),
}
_UPLOAD_EVENTS = {
    "UploadScheduled": ("Normal", "UploadScheduled", "Upload into {} scheduled"),
    "UploadReady": ("Normal", "UploadReady", "Upload into {} ready"),
    "Succeeded": ("Normal", "UploadSucceeded", "Successfully uploaded into {}"),
}
_COPY_EVENTS = {
    "CloneScheduled": ("Normal", "CloneScheduled", "Cloning from {1} into {0} scheduled"),
    "CloneInProgress": ("Normal", "CloneInProgress", "Cloning from {1} into {0} in progress"),
    "CloneFromSnapshotSourceInProgress": (
        "Normal", "CloneFromSnapshotSourceInProgress", "Creating PVC {0} from snapshot {1} in progress"),
    "Succeeded": ("Normal", "CloneSucceeded", "Successfully cloned from {1} into {0}"),
    "Failed": ("Warning", "CloneFailed", "Cloning from {1} into {0} failed"),
}
_PHASES = {  # of sources, scheduled and under way
    "pvc": ("CloneScheduled", "CloneInProgress"),
    "snapshot": ("CloneScheduled", "CloneFromSnapshotSourceInProgress"),
}
_MOVES = ("ImportInProgress", "UploadReady", "CloneInProgress", "CloneFromSnapshotSourceInProgress")


@dataclass(frozen=True)
class Seen:
    """A DataVolume, the claim of its name, its own or not, and what fills it."""

    volume: Object
    claim: Object | None
    now: datetime
    source: Source = field(default_factory=Source)
    profile: Object | None = None  # of the class that the claim gets
    waits: bool = False  # its class binds claims when somebody uses them

    @property
    def is_own(self) -> bool:
        """Whether the claim is this volume's."""
        return self.claim is not None and is_controlled_by(self.claim, self.volume)

    @property
    def is_adoptable(self) -> bool:
        """Whether the claim was filled by an earlier volume of this name and belongs to nobody now."""
        mark = f"{namespace(self.volume)}/{name(self.volume)}"
        return (self.claim is not None and controller_of(self.claim) is None and not is_deleting(self.claim)
                and annotations_of(self.claim).get(OWNED_BY) == mark)


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    volume = cache.get(DATAVOLUME, *key)
    if volume is None:
        return None
    found = class_of(wish(volume), cache.list(STORAGECLASS))
    profile = cache.get(STORAGEPROFILE, "", name(found)) if found else None
    waits = (found or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    return Seen(volume, cache.get(PERSISTENTVOLUMECLAIM, *key), now, find_source(volume, cache), profile, waits)


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.volume):
        return Plan()
    events = _news(seen)
    if _trouble(seen) is not None:
        return Plan(events=events)
    if seen.claim is None and PREPOPULATED not in annotations_of(seen.volume):
        return Plan((Create(PERSISTENTVOLUMECLAIM, claim(seen.volume, seen.source, seen.profile)),), None, events)
    if seen.claim is not None and seen.is_adoptable:
        return Plan((adopt(PERSISTENTVOLUMECLAIM, seen.claim, seen.volume),), None, events)
    return Plan(events=events)


def _trouble(seen: Seen) -> tuple[str, str] | None:
    """Reason and message of what keeps this volume from ever being filled as it is."""
    if seen.claim is not None and not seen.is_own and not seen.is_adoptable:
        if is_deleting(seen.claim):
            return None
        return "ErrResourceExists", f'Resource "{name(seen.claim)}" already exists and is not managed by DataVolume'
    # a claim that is filled needs no source any more
    if seen.is_own or seen.is_adoptable or PREPOPULATED in annotations_of(seen.volume):
        return None
    return refusal(seen.volume, seen.source)


def _note(seen: Seen, type: str, reason: str, message: str) -> Note:
    return Note(type, reason, message, seen.volume)


def _news(seen: Seen) -> tuple[Note, ...]:
    """What has changed since the last status."""
    before, after = _phase_before(seen), phase(seen)
    trouble = _trouble(seen)
    if trouble is not None:
        known = conditions.find(get(seen.volume, "status", "conditions"), "Running") or {}
        return () if known.get("message") == trouble[1] else (_note(seen, "Warning", *trouble),)
    told = _UPLOAD_EVENTS if _is_upload(seen) else _COPY_EVENTS if _origin(seen) else _EVENTS
    if before == after or after not in told:
        return ()
    type, reason, text = told[after]
    detail = _detail(seen)
    message = text.format(_target(seen), _origin(seen)) + (f": {detail}" if after == "Failed" and detail else "")
    return (_note(seen, type, reason, message),)


def _target(seen: Seen) -> str:
    """The volume in a message: that of a copy with its namespace, as its source is."""
    return f"{namespace(seen.volume)}/{name(seen.volume)}" if _origin(seen) else name(seen.volume)


def _origin(seen: Seen) -> str:
    """What is copied, as the claim says; empty of what is not a copy."""
    return _mark(seen, "import.endpoint") if _mark(seen, "import.source") in _PHASES else ""


def _phase_before(seen: Seen) -> str:
    return str(get(seen.volume, "status", "phase", default=""))


def _mark(seen: Seen, key: str) -> str:
    return annotations_of(seen.claim or {}).get(_STORAGE + key, "")


def _detail(seen: Seen) -> str:
    return _mark(seen, "condition.running.message")


def _is_upload(seen: Seen) -> bool:
    return seen.source.kind == "upload"


def phase(seen: Seen) -> str:
    """The phase that follows from the claim; what succeeded stays so."""
    if _trouble(seen) is not None or seen.claim is None or not seen.is_own:
        return "Pending"
    worker = _mark(seen, "pod.phase")
    if worker == "Succeeded" or _phase_before(seen) == "Succeeded":
        return "Succeeded"
    is_bound = get(seen.claim, "status", "phase") == "Bound"
    if not is_bound and seen.waits and BIND_NOW not in annotations_of(seen.claim):
        return "WaitForFirstConsumer"
    if _is_upload(seen):
        ready = "UploadReady" if _mark(seen, "pod.ready") == "true" else "UploadScheduled"
        return ready if is_bound else "Pending"
    if worker == "Failed":
        return "Failed"
    scheduled, moving = _PHASES.get(_mark(seen, "import.source"), ("ImportScheduled", "ImportInProgress"))
    if worker == "Running":
        return moving
    return scheduled if worker or is_bound else "Pending"


def status(seen: Seen, plan: Plan) -> Object | None:
    if is_deleting(seen.volume):
        return None
    now = phase(seen)
    fresh: Object = {**(seen.volume.get("status") or {}), "phase": now, "progress": _progress(seen, now)}
    if seen.claim is not None and seen.is_own:
        fresh["claimName"] = name(seen.claim)
    restarts = _mark(seen, "pod.restarts")
    fresh["restartCount"] = int(restarts) if restarts.isdecimal() else int(fresh.get("restartCount") or 0)
    fresh["conditions"] = _conditions(seen, now)
    return fresh


def _progress(seen: Seen, now: str) -> str:
    """ "N/A", "42.10%" or "100.0%", as CDI writes it."""
    if now == "Succeeded":
        return "100.0%"
    text = annotations_of(seen.claim or {}).get(_PROGRESS, "").rstrip("%")
    try:
        return f"{min(100.0, max(0.0, float(text))):.2f}%"
    except ValueError:
        return "N/A"


def _conditions(seen: Seen, now: str) -> list[Object]:
    old = get(seen.volume, "status", "conditions", default=[])
    found = _bound(seen, old)
    found = conditions.set_condition(found, "Running", *_running(seen, now), seen.now)
    why = {"Succeeded": "", "Failed": "Error"}.get(now, "TransferRunning" if now in _MOVES else "")
    return conditions.set_condition(found, "Ready", now == "Succeeded", why, "", seen.now)


def _bound(seen: Seen, old: list[Object]) -> list[Object]:
    if seen.claim is None or not seen.is_own:
        return conditions.set_condition(old, "Bound", "Unknown", "NotFound", "No PVC found", seen.now)
    state = str(get(seen.claim, "status", "phase", default="Pending"))
    text = f"PVC {name(seen.claim)} {state}"
    return conditions.set_condition(old, "Bound", state == "Bound", state, text, seen.now)


def _running(seen: Seen, now: str) -> tuple[str, str, str]:
    trouble = _trouble(seen)
    if trouble is not None:
        return "False", *trouble
    if now == "Succeeded":
        done = "Upload" if _is_upload(seen) else "Clone" if _origin(seen) else "Import"
        return "False", "Completed", f"{done} Complete"
    if now == "Failed":
        return "False", "Error", _detail(seen) or "the import failed"
    if now in _MOVES:
        return "True", _mark(seen, "condition.running.reason") or "Pod is running", _detail(seen)
    return "False", _mark(seen, "condition.running.reason") or "Pending", _detail(seen)


