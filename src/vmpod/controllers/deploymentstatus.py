"""status of a Deployment: counters and the conditions that `kubectl rollout status` reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from vmpod.base.clock import parse, rfc3339
from vmpod.controllers.rollout import Bounds
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, name

_DONE = "NewReplicaSetAvailable"
_LATE = "ProgressDeadlineExceeded"
_PAUSED = "DeploymentPaused"
_NO_DEADLINE = 2**31 - 1
_COUNTERS = ("replicas", "readyReplicas", "availableReplicas")


def deployment_status(
    deployment: Object, new: Object | None, replicasets: Sequence[Object], size: Bounds, made: str, now: datetime
) -> Object:
    """The whole status. `made` names a ReplicaSet that is being created now, empty for none."""
    old: Object = deployment.get("status") or {}
    fresh: Object = {"observedGeneration": int(get(deployment, "metadata", "generation", default=0))}
    if "collisionCount" in old:
        fresh["collisionCount"] = old["collisionCount"]
    counts = {key: _total(replicasets, key) for key in _COUNTERS}
    counts["updatedReplicas"] = _total([new] if new else [], "replicas")
    wanted = sum(int(get(one, "spec", "replicas", default=1)) for one in replicasets)
    counts["unavailableReplicas"] = max(0, wanted - counts["availableReplicas"])
    fresh |= {key: count for key, count in counts.items() if count}
    found = _available(old.get("conditions") or [], counts, size, now)
    found = _failure(found, new)
    if not is_deleting(deployment):
        found = _progress(deployment, new, counts, found, made, now)
    fresh["conditions"] = found
    return fresh


def _total(replicasets: Iterable[Object], key: str) -> int:
    return sum(int(get(one, "status", key, default=0)) for one in replicasets)


def _available(old: list[Object], counts: dict[str, int], size: Bounds, now: datetime) -> list[Object]:
    if counts["availableReplicas"] >= size.least:
        return _set(old, "Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    text = "Deployment does not have minimum availability."
    return _set(old, "Available", False, "MinimumReplicasUnavailable", text, now)


def _failure(old: list[Object], new: Object | None) -> list[Object]:
    """ReplicaFailure of the present ReplicaSet, copied."""
    failed = conditions.find(get(new, "status", "conditions"), "ReplicaFailure")
    rest = conditions.without(old, "ReplicaFailure")
    return [*rest, failed] if failed else rest


def _set(old: list[Object], type: str, status: bool, reason: str, text: str, now: datetime) -> list[Object]:
    """Set a condition; one with the same status and reason keeps its times, as SetDeploymentCondition does."""
    before = conditions.find(old, type) or {}
    if before.get("status") == str(status) and before.get("reason") == reason:
        return old
    return conditions.set_condition(old, type, status, reason, text, now, lastUpdateTime=rfc3339(now))


def _progress(
    deployment: Object, new: Object | None, counts: dict[str, int], old: list[Object], made: str, now: datetime
) -> list[Object]:
    if deadline_s(deployment) is None:
        return conditions.without(old, "Progressing")
    before = conditions.find(old, "Progressing") or {}
    if made:
        return _set(old, "Progressing", True, "NewReplicaSetCreated", f'Created new replica set "{made}"', now)
    if get(deployment, "spec", "paused"):
        if before.get("reason") == _LATE:
            return old
        return _moved(old, "Unknown", _PAUSED, "Deployment is paused", now)
    if before.get("reason") == _PAUSED:
        return _moved(old, "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    return _rollout(deployment, new, counts, old, now)


def _rollout(
    deployment: Object, new: Object | None, counts: dict[str, int], old: list[Object], now: datetime
) -> list[Object]:
    before = conditions.find(old, "Progressing") or {}
    which = f'ReplicaSet "{name(new)}"' if new is not None else f'Deployment "{name(deployment)}"'
    if before.get("reason") == _DONE and counts["replicas"] == counts["updatedReplicas"]:
        return old
    if _is_complete(deployment, counts):
        return _set(old, "Progressing", True, _DONE, f"{which} has successfully progressed.", now)
    if _has_progressed(deployment.get("status") or {}, counts) or not before:
        rest = [one for one in old if one["type"] != "Progressing"]
        kept = [before] if before.get("status") == "True" else []
        text = f"{which} is progressing."
        return rest + conditions.set_condition(
            kept, "Progressing", True, "ReplicaSetUpdated", text, now, lastUpdateTime=rfc3339(now))
    left = progress_deadline_s(deployment, now)
    if left is not None and left <= 0:
        return _set(old, "Progressing", False, _LATE, f"{which} has timed out progressing.", now)
    return old


def _moved(old: list[Object], status: str, reason: str, text: str, now: datetime) -> list[Object]:
    if (conditions.find(old, "Progressing") or {}).get("reason") == reason:
        return old
    return conditions.set_condition(old, "Progressing", status, reason, text, now, lastUpdateTime=rfc3339(now))


def _is_complete(deployment: Object, counts: dict[str, int]) -> bool:
    wanted = int(get(deployment, "spec", "replicas", default=1))
    return all(counts[key] == wanted for key in ("updatedReplicas", "replicas", "availableReplicas"))


def _has_progressed(old: Object, counts: dict[str, int]) -> bool:
    before = {key: int(old.get(key) or 0) for key in ("updatedReplicas", *_COUNTERS)}
    grown = any(counts[key] > before[key] for key in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    remaining = before["replicas"] - before["updatedReplicas"]
    return grown or counts["replicas"] - counts["updatedReplicas"] < remaining


def deadline_s(deployment: Object) -> int | None:
    """spec.progressDeadlineSeconds; None when there is to be none."""
    found = int(get(deployment, "spec", "progressDeadlineSeconds", default=600))
    return None if found >= _NO_DEADLINE else found


def progress_deadline_s(deployment: Object, now: datetime) -> float | None:
    """Seconds until the running rollout counts as stuck (negative: it is late); None when none runs."""
    found = conditions.find(get(deployment, "status", "conditions"), "Progressing") or {}
    limit = deadline_s(deployment)
    if limit is None or found.get("reason") in (None, _DONE, _LATE, _PAUSED) or not found.get("lastUpdateTime"):
        return None
    return limit - (now - parse(found["lastUpdateTime"])).total_seconds()
