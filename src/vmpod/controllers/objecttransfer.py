"""ObjectTransfer: a claim is given up and its volume bound to another, a DataVolume is made anew around its claim.

As CDI does it: what the object was is kept in the transfer's status before anything is deleted, and each step is told
from what is there, so that an engine which is killed between two of them goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import finalizers, metadata_patch, with_finalizer, without_finalizers
from vmpod.controllers.exportsource import is_used
from vmpod.controllers.transferred import MARK, Seen, Step, child_name, marked, move_claim, move_volume, source_text
from vmpod.controllers.volumesready import is_being_filled
from vmpod.kinds import DATAVOLUME, NAMESPACE, OBJECTTRANSFER, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from vmpod.kinds.kind import Kind
from vmpod.kinds.objecttransfer import target_of
from vmpod.model import conditions
from vmpod.model.meta import Object, controller_of, get, is_deleting, name, namespace
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Note, Plan
from vmpod.reconcile.loop import Key, Watch, own

KIND = OBJECTTRANSFER
_FINALIZER = "cdi.kubevirt.io/objectTransfer"
_KINDS: Mapping[str, Kind] = {"DataVolume": DATAVOLUME, "PersistentVolumeClaim": PERSISTENTVOLUMECLAIM}
_LOOK_S = 2.0
_ENDED = ("Complete", "Error")


def _under_way(_: Object, cache: Cache) -> Iterable[Key]:
    """The transfers that have not ended: each may be waiting for this object."""
    return [("", name(one)) for one in cache.list(OBJECTTRANSFER) if get(one, "status", "phase") not in _ENDED]


WATCHES = (own(OBJECTTRANSFER), *(Watch(kind, found=_under_way) for kind in (
    OBJECTTRANSFER, DATAVOLUME, PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME, NAMESPACE, POD)))  # fmt: skip


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    transfer = cache.get(OBJECTTRANSFER, *key)
    if transfer is None:
        return None
    kind = _KINDS[get(transfer, "spec", "source", "kind")]
    data = get(transfer, "status", "data", default={})
    at = (get(transfer, "spec", "source", "namespace"), get(transfer, "spec", "source", "name"))
    to = target_of(transfer)
    claim = cache.get(PERSISTENTVOLUMECLAIM, at[0], data.get("pvcName") or at[1])
    volume = cache.get(PERSISTENTVOLUME, "", data.get("pvName") or get(claim, "spec", "volumeName", default=""))
    return Seen(transfer, cache.get(kind, *at), cache.get(kind, *to), claim, cache.get(PERSISTENTVOLUMECLAIM, *to),
                volume, cache.get(OBJECTTRANSFER, "", child_name(transfer)), is_used(at[0], at[1], cache),
                cache.get(NAMESPACE, "", to[0]) is not None, now)  # fmt: skip


def step(seen: Seen) -> Step:
    """What is done next, and what is said of it."""
    transfer = seen.transfer
    is_kept = _FINALIZER in finalizers(transfer)
    if seen.phase == "Complete" or (seen.phase == "Error" and is_deleting(transfer)):
        last = (without_finalizers(OBJECTTRANSFER, transfer, _FINALIZER),) if is_kept else ()
        return Step(_message(seen), seen.phase, last)
    if seen.phase == "Error":
        return Step(_message(seen), seen.phase)
    if seen.phase == "Running":
        return move_volume(seen) if seen.is_volume else move_claim(seen)
    if is_deleting(transfer):
        return _give_up(seen)
    if not is_kept:
        return Step("Initializing", "Pending", (with_finalizer(OBJECTTRANSFER, transfer, _FINALIZER),))
    return _begin(seen)


def _give_up(seen: Seen) -> Step:
    """Nothing has been moved: the source is as it was."""
    kind = DATAVOLUME if seen.is_volume else PERSISTENTVOLUMECLAIM
    gone = without_finalizers(OBJECTTRANSFER, seen.transfer, _FINALIZER)
    if seen.source is None or marked(seen.source) != name(seen.transfer):
        return Step(_message(seen), "Pending", (gone,))
    return Step(_message(seen), "Pending", (metadata_patch(kind, seen.source, annotations={MARK: None}), gone))


def _begin(seen: Seen) -> Step:
    """Mark the source, then keep what it is: from then on the transfer goes to its end."""
    source, volume, claim = seen.source, seen.volume, seen.claim
    if (why := _obstacle(seen)) or source is None or volume is None or claim is None:
        return Step(why, "Pending", again_in=_LOOK_S)
    kind = DATAVOLUME if seen.is_volume else PERSISTENTVOLUMECLAIM
    if marked(source) != name(seen.transfer):
        return Step("Pending", "Pending", (metadata_patch(kind, source, annotations={MARK: name(seen.transfer)}),))
    kept = {"pvcName": name(claim)} if seen.is_volume else {
        "pvName": name(volume), "pvReclaim": str(get(volume, "spec", "persistentVolumeReclaimPolicy"))}  # fmt: skip
    return Step("Running", "Running", data={"source": source_text(source), **kept})


def _obstacle(seen: Seen) -> str:
    """Why it cannot begin, in CDI's words where it has some; empty when it can."""
    source, claim, volume = seen.source, seen.claim, seen.volume
    where, wanted = target_of(seen.transfer)
    if source is None or is_deleting(source):
        return "No source"
    if marked(source) not in ("", name(seen.transfer)):
        return f"Source in use by another transfer: {marked(source)}"
    if seen.is_volume and get(source, "status", "phase") != "Succeeded":
        return "Source not populated"
    if claim is None or get(claim, "status", "phase") != "Bound":
        return "PVC not bound"
    if is_being_filled(claim):
        return "Source not populated"
    reference = get(volume, "spec", "claimRef", default={})
    if (reference.get("namespace"), reference.get("name")) != (namespace(claim), name(claim)):
        return "PV not bound"
    owner = controller_of(claim)
    if owner is not None and owner.get("kind") == "DataVolume" and not seen.is_volume:
        return f"PVC belongs to the DataVolume {owner.get('name')}: transfer that"
    if lacking := _lacking(seen, source):
        return f"Source lacks the annotation {lacking}"
    if seen.target is not None or seen.moved is not None:
        return f'ObjectTransfer target "{where}/{wanted}" already exists'
    if not seen.has_namespace:
        return f'namespace "{where}" not found'
    if seen.is_used:
        return "Pods using DataVolume PVC" if seen.is_volume else "Pods using PVC"
    return ""


def _lacking(seen: Seen, source: Object) -> str:
    """A required annotation that the source has not, with its value."""
    said = annotations_of(source)
    wanted = get(seen.transfer, "spec", "source", "requiredAnnotations", default={})
    return next((f"{key}={text}" for key, text in wanted.items() if said.get(key) != text), "")


def _message(seen: Seen) -> str:
    found = conditions.find(get(seen.transfer, "status", "conditions"), "Complete") or {}
    return str(found.get("message", ""))


def plan(seen: Seen) -> Plan:
    done = step(seen)
    if done.message == _message(seen):
        return Plan(done.actions, done.again_in)
    waits = done.phase == "Pending" and not done.actions
    type = "Warning" if waits or done.phase == "Error" else "Normal"
    return Plan(done.actions, done.again_in, (Note(type, f"Transfer{done.phase}", done.message, seen.transfer),))


def status(seen: Seen, plan: Plan) -> Object | None:
    done = step(seen)
    old = get(seen.transfer, "status", default={})
    is_done = done.phase == "Complete"
    told = conditions.set_condition(old.get("conditions"), "Complete", is_done, "", done.message, seen.now)
    data = {} if is_done else done.data or old.get("data") or {}
    return {"phase": done.phase, "conditions": told, **({"data": dict(data)} if data else {})}
