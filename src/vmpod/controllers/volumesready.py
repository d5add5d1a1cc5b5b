"""Whether the claims and DataVolumes that an instance names can be used. Maps name → object, None for missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from vmpod.controllers.printablestatus import is_volume_ready
from vmpod.model import conditions
from vmpod.model.meta import Object, get, namespace
from vmpod.model.meta import annotations as annotations_of


def blocked(
    vmi: Object, claims: Mapping[str, Object | None], volumes: Mapping[str, Object | None]
) -> tuple[str, str] | None:
    """Reason and message of the first volume that is not there yet (KubeVirt's words); None when all are."""
    where = namespace(vmi)
    for volume, found in volumes.items():
        if found is None and claims.get(volume) is None:
            return "FailedPvcNotFound", f"didn't find PVC associated with DataVolume: {volume}"
        if found is not None and not is_volume_ready(found):
            return "NotAllDVsReady", f"DataVolume {where}/{volume} is not ready: {_volume_phase(found)}"
    for claim, found in claims.items():
        if found is None:
            return "FailedPvcNotFound", f"PVC {where}/{claim} does not exist, waiting for it to appear"
        if is_being_filled(found):
            return "NotAllDVsReady", f"PVC {where}/{claim} is being filled"
    return None


def volumes_condition(
    old: list[Object], volumes: Mapping[str, Object | None], now: datetime
) -> list[Object]:
    """The conditions with DataVolumesReady, when the instance names any."""
    if not volumes:
        return old
    if all(found is not None and is_volume_ready(found) for found in volumes.values()):
        text = "All of the VMI's DVs are bound and not running"
        return conditions.set_condition(old, "DataVolumesReady", True, "AllDVsReady", text, now)
    text = "Not all of the VMI's DVs are ready"
    return conditions.set_condition(old, "DataVolumesReady", False, "NotAllDVsReady", text, now)


def _volume_phase(volume: Object) -> str:
    ready = conditions.find(get(volume, "status", "conditions"), "Running") or {}
    phase = str(get(volume, "status", "phase", default="Pending"))
    return f"{phase}: {ready['message']}" if ready.get("message") else phase


def is_being_filled(claim: Object) -> bool:
    """Whether an import or upload into the claim was asked for and has not succeeded.

    One that is not bound may wait for the very pod that would use it: then the node waits, with the pod.
    """
    notes = annotations_of(claim)
    asked = "cdi.kubevirt.io/storage.import.source" in notes or "cdi.kubevirt.io/storage.upload.target" in notes
    is_bound = get(claim, "status", "phase") != "Pending"
    return asked and is_bound and notes.get("cdi.kubevirt.io/storage.pod.phase") != "Succeeded"
