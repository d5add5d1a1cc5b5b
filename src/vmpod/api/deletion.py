"""What a DELETE comes to, decided without touching anything.

After k8s.io/apiserver's pkg/registry/rest/delete.go and generic/registry/store.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from vmpod.base import clock
from vmpod.kinds import NAMESPACE, POD, Kind
from vmpod.model import meta, status
from vmpod.model.meta import Object

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_POLICIES: Final = ("Background", "Foreground", "Orphan")
_FINALIZERS: Final = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_FINISHED: Final = ("Succeeded", "Failed")
_DEFAULT_GRACE_S: Final = 30


@dataclass(frozen=True)
class DeleteOptions:
    """What the client asks for; `grace_s` None leaves it to the object."""

    grace_s: int | None = None
    propagation: str = ""
    uid: str = ""
    revision: str = ""
    dry_run: bool = False


def read_options(body: Mapping[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    """The DeleteOptions in the body, else in the query. Raises ApiError for values that make no sense."""
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    orphan = body.get("orphanDependents", query.get("orphanDependents"))
    propagation = str(body.get("propagationPolicy") or query.get("propagationPolicy") or "")
    if orphan is not None and not propagation:
        propagation = "Orphan" if str(orphan).lower() == "true" else "Background"
    wanted = body.get("preconditions") or {}
    dry_run = body.get("dryRun") or [text for text in (query.get("dryRun"),) if text]
    _check(propagation, dry_run)
    return DeleteOptions(
        _seconds(grace), propagation,
        str(wanted.get("uid") or ""), str(wanted.get("resourceVersion") or ""), bool(dry_run),
    )


def _check(propagation: str, dry_run: list[str]) -> None:
    faults = []
    if propagation and propagation not in _POLICIES:
        faults.append(status.not_supported("propagationPolicy", propagation, _POLICIES))
    if any(text != "All" for text in dry_run):
        faults.append(status.not_supported("dryRun", dry_run, ("All",)))
    if faults:
        raise status.invalid("DeleteOptions.meta.k8s.io", "", faults)


def _seconds(value: object) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(str(value))
    except ValueError:
        raise status.bad_request(f"gracePeriodSeconds: {value!r} is not a number") from None


def check_preconditions(kind: Kind, obj: Object, options: DeleteOptions) -> None:
    """Raises ApiError 409 when the stored object is not the one that is meant."""
    found = meta.metadata(obj)
    for label, wanted, key in (("UID", options.uid, "uid"), ("ResourceVersion", options.revision, "resourceVersion")):
        if wanted and wanted != found.get(key):
            raise status.conflict(
                kind.resource, meta.name(obj),
                f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found.get(key)}",
            )


def decide(kind: Kind, obj: Object, options: DeleteOptions, now: datetime) -> Object | None:
    """The object as it stays while it waits for its end (perhaps unchanged); None when it goes at once."""
    finalizers = _finalizers(obj, options.propagation)
    grace_s = _grace_s(kind, obj, options)
    if grace_s == 0 and not finalizers and not holds_content(kind, obj):
        return None
    marked = deepcopy(obj)
    metadata = marked["metadata"]
    metadata["finalizers"] = finalizers
    if not finalizers:
        metadata.pop("finalizers")
    if meta.is_deleting(obj):
        _shorten(metadata, grace_s)
    else:
        _mark(kind, marked, grace_s, now)
    return marked


def _finalizers(obj: Object, propagation: str) -> list[str]:
    held = list(meta.metadata(obj).get("finalizers") or ())
    if not propagation:
        return held
    rest = [name for name in held if name not in (ORPHAN, FOREGROUND)]
    return rest + [_FINALIZERS[propagation]] if propagation in _FINALIZERS else rest


def _grace_s(kind: Kind, obj: Object, options: DeleteOptions) -> int:
    """Only Pods get time, and only when something may run (pod strategy, CheckGracefulDelete)."""
    if kind is not POD:
        return 0
    wanted = options.grace_s
    if meta.is_deleting(obj):
        held = int(meta.metadata(obj).get("deletionGracePeriodSeconds") or 0)
        return held if wanted is None else max(0, min(held, wanted))
    if wanted is None:
        wanted = meta.get(obj, "spec", "terminationGracePeriodSeconds", default=_DEFAULT_GRACE_S)
    if not meta.get(obj, "spec", "nodeName") or meta.get(obj, "status", "phase") in _FINISHED:
        return 0
    return 1 if wanted < 0 else int(wanted)


def _shorten(metadata: dict[str, Any], grace_s: int) -> None:
    """A second DELETE may bring the end nearer, never push it away."""
    held = int(metadata.get("deletionGracePeriodSeconds") or 0)
    if grace_s < held:
        end = clock.parse(metadata["deletionTimestamp"]) - timedelta(seconds=held - grace_s)
        metadata |= {"deletionTimestamp": clock.rfc3339(end), "deletionGracePeriodSeconds": grace_s}


def _mark(kind: Kind, obj: Object, grace_s: int, now: datetime) -> None:
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = clock.rfc3339(now + timedelta(seconds=grace_s))
    metadata["deletionGracePeriodSeconds"] = grace_s
    if metadata.get("generation"):
        metadata["generation"] += 1
    if kind is NAMESPACE:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}


def holds_content(kind: Kind, obj: Object) -> bool:
    """Whether a namespace still waits to be emptied (`spec.finalizers`)."""
    return kind is NAMESPACE and bool(meta.get(obj, "spec", "finalizers"))


def is_complete(kind: Kind, obj: Object) -> bool:
    """Whether nothing keeps an object that is being deleted any longer."""
    metadata = meta.metadata(obj)
    return (
        meta.is_deleting(obj)
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not holds_content(kind, obj)
    )
