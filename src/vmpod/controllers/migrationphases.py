"""What a migration has come to, from the objects of the machine and its launchers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from vmpod.base.clock import parse
from vmpod.controllers import pods
from vmpod.kinds.parts.migration import FINAL, JOB, WAITING, is_active
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, labels, uid

_ABORTED = "migrationAbortRequested"
_UNSCHEDULABLE_S, _PENDING_S = 300.0, 900.0


@dataclass(frozen=True)
class Seen:
    """A migration, its machine and the launchers, what else moves now, the policy that applies and the
    configuration of KubeVirt.

    `older` are ended migrations of the same machine, the newest first; `crowd` says why this one has to wait.
    """

    migration: Object
    vmi: Object | None
    pods: tuple[Object, ...]
    crowd: str
    older: tuple[Object, ...]
    policy: Object | None
    now: datetime
    config: Object = field(default_factory=dict)

    @property
    def source(self) -> Object | None:
        """The launcher that the guest lives in."""
        return next((pod for pod in self.pods if is_active(self.vmi, pod)), None)

    @property
    def target(self) -> Object | None:
        """The launcher that was made for this migration."""
        return next((pod for pod in self.pods if labels(pod).get(JOB) == uid(self.migration)), None)

    @property
    def state(self) -> Object:
        """The machine's migrationState while it is about this migration, else empty."""
        found: Object = get(self.vmi, "status", "migrationState", default={})
        return found if found.get("migrationUid") == uid(self.migration) else {}

    @property
    def phase(self) -> str:
        return str(get(self.migration, "status", "phase", default=""))


def left_s(seen: Seen) -> float | None:
    """Seconds that the target may still take to start; None once it has, or before it is there."""
    if seen.target is None or seen.phase not in ("Pending", "Scheduling"):
        return None
    born = parse(str(get(seen.target, "metadata", "creationTimestamp")))
    limit = _UNSCHEDULABLE_S if not get(seen.target, "spec", "nodeName") else _PENDING_S
    return limit - (seen.now - born).total_seconds()


def failure(seen: Seen) -> str:
    """Why the migration has failed, in KubeVirt's words; empty while it has not."""
    if seen.state.get("failed"):
        return "source node reported migration failed"
    if seen.vmi is None:
        return "Migration failed because vmi does not exist."
    if get(seen.vmi, "status", "phase") in FINAL:
        return "Migration failed vmi shutdown during migration."
    if seen.state:  # the node tells how it ends
        return ""
    if is_deleting(seen.migration):
        return "Migration failed due to being canceled"
    if seen.target is None:
        vanished = seen.phase not in ("", "Pending")
        return "Migration target pod was removed during active migration." if vanished else ""
    if pods.is_terminal(seen.target) or is_deleting(seen.target):
        return "Migration failed because target pod shutdown during migration"
    left = left_s(seen)
    return "Migration failed because its target pod did not start in time" if left is not None and left <= 0 else ""


def next_phase(seen: Seen) -> str:
    """The phase that follows from what is seen, one step at a time as clients expect them."""
    if seen.phase in FINAL:
        return seen.phase
    if failure(seen):
        return "Failed"
    passed = {
        "": True,
        "Pending": seen.target is not None,
        "Scheduling": seen.target is not None and pods.phase(seen.target) == "Running",
        "Scheduled": bool(seen.state),
        "PreparingTarget": bool(seen.state.get("targetNodeAddress")),
        "TargetReady": bool(seen.state.get("startTimestamp")),
        "Running": bool(seen.state.get("completed")),
    }
    order = [*passed, "Succeeded"]
    return order[order.index(seen.phase) + 1] if passed.get(seen.phase) else seen.phase


def conditions_of(seen: Seen, phase: str) -> list[Object]:
    """The migration's conditions."""
    result: list[Object] = get(seen.migration, "status", "conditions", default=[])
    if is_deleting(seen.migration):
        result = conditions.set_condition(result, _ABORTED, True, "", "", seen.now)
    waits = _waits(seen, phase)
    if waits is None:
        return conditions.without(result, WAITING)
    return conditions.set_condition(result, WAITING, True, *waits, seen.now)


def _waits(seen: Seen, phase: str) -> tuple[str, str] | None:
    """What keeps a migration that is not handed over yet."""
    if phase == "Pending" and seen.crowd:
        return "TooManyMigrations", seen.crowd
    if phase not in ("Pending", "Scheduling") or seen.target is None:
        return None
    found = conditions.find(get(seen.target, "status", "conditions"), "PodScheduled") or {}
    if found.get("status") == "False":
        return str(found.get("reason", "Unschedulable")), str(found.get("message", ""))
    return pods.trouble(seen.target)
