"""status.printableStatus of a VirtualMachine: a table of which the first row that matches wins (KubeVirt's order)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vmpod.controllers import runstrategy
from vmpod.kinds.parts.migration import is_migrating
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting

DATAVOLUME_ERROR = "DataVolumeError"


@dataclass(frozen=True)
class View:
    """What the table looks at. `claims` maps the names of claims to the claim, None for one that is missing."""

    vm: Object
    vmi: Object | None
    volumes: tuple[Object, ...]
    claims: Mapping[str, Object | None]
    back_off_left_s: float


def printable_status(view: View) -> str:
    """The word that `kubectl get vm` shows."""
    return next((word for word, matches in _TABLE if matches(view)), "Unknown")


def _is_alive(view: View) -> bool:
    return view.vmi is not None and not runstrategy.is_final(view.vmi)


def _stopping(view: View) -> bool:
    if view.vmi is None or not _is_alive(view):
        return False
    return is_deleting(view.vmi) or runstrategy.decide(view.vm, view.vmi).stop


def _migrating(view: View) -> bool:
    return _is_alive(view) and is_migrating(view.vmi)


def _condition(view: View, type: str) -> Object:
    return conditions.find(get(view.vmi, "status", "conditions"), type) or {}


def _is_waiting_for(*reasons: str) -> Callable[[View], bool]:
    def matches(view: View) -> bool:
        found = _condition(view, "Synchronized")
        return _is_alive(view) and found.get("status") == "False" and found.get("reason") in reasons

    return matches


def _unschedulable(view: View) -> bool:
    found = _condition(view, "PodScheduled")
    return _is_alive(view) and found.get("status") == "False" and found.get("reason") == "Unschedulable"


def _wants_to_run(view: View) -> bool:
    if view.vmi is not None:
        return _is_alive(view)
    return runstrategy.decide(view.vm, None).start


def _volume_failed(view: View) -> bool:
    return any(get(volume, "status", "phase") == "Failed" or _is_in_error(volume) for volume in view.volumes)


def _is_in_error(volume: Object) -> bool:
    running = conditions.find(get(volume, "status", "conditions"), "Running") or {}
    return running.get("status") == "False" and running.get("reason") == "Error"


def _provisioning(view: View) -> bool:
    if not _wants_to_run(view):
        return False
    wanted = len(get(view.vm, "spec", "dataVolumeTemplates", default=()))
    return len(view.volumes) < wanted or any(not is_volume_ready(volume) for volume in view.volumes)


def is_volume_ready(volume: Object) -> bool:
    """Whether a DataVolume can be used: filled, or waiting for the very pod that would use it."""
    return get(volume, "status", "phase") in ("Succeeded", "WaitForFirstConsumer", "PendingPopulation")


def _unbound(view: View) -> bool:
    bound = (get(claim, "status", "phase") == "Bound" for claim in view.claims.values() if claim is not None)
    return _wants_to_run(view) and not all(bound)


def _starting(view: View) -> bool:
    if view.vmi is not None:
        return get(view.vmi, "status", "phase", default="") in ("", "Pending", "Scheduling", "Scheduled")
    return _wants_to_run(view) and view.back_off_left_s <= 0


_TABLE: tuple[tuple[str, Callable[[View], bool]], ...] = (
    ("Terminating", lambda view: is_deleting(view.vm)),
    ("Stopping", _stopping),
    ("Migrating", _migrating),
    ("Paused", lambda view: _is_alive(view) and _condition(view, "Paused").get("status") == "True"),
    ("Running", lambda view: get(view.vmi, "status", "phase") == "Running"),
    ("ErrorPvcNotFound", _is_waiting_for("FailedPvcNotFound")),
    (DATAVOLUME_ERROR, _volume_failed),
    ("ErrorUnschedulable", _unschedulable),
    ("Provisioning", _provisioning),
    ("WaitingForVolumeBinding", _unbound),
    ("ErrImagePull", _is_waiting_for("ErrImagePull")),
    ("ImagePullBackOff", _is_waiting_for("ImagePullBackOff")),
    ("Starting", _starting),
    ("CrashLoopBackOff", lambda view: not _is_alive(view) and view.back_off_left_s > 0
     and (view.vmi is not None or _wants_to_run(view))),
    ("Stopped", lambda view: not _is_alive(view)),
)
