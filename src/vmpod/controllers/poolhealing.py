"""Which machines of a pool are so broken that they are replaced (KubeVirt: autohealing)."""

from __future__ import annotations

from datetime import datetime

from vmpod.base.clock import parse
from vmpod.model import conditions, duration
from vmpod.model.meta import Object, get

THRESHOLD = 3
LEAST_S = 300.0
_FAILING = ("CrashLoopBackOff", "ErrorUnschedulable", "ErrImagePull", "ImagePullBackOff", "ErrorPvcNotFound",
            "DataVolumeError")  # fmt: skip


def left_s(pool: Object, vm: Object, now: datetime) -> float | None:
    """Seconds until a machine is to be replaced if it does not get better, 0 when it is due; None while it is well.

    It is due after so many starts in a row that failed, or once it has been in a failing status for so long.
    """
    wanted = get(pool, "spec", "autohealing")
    if wanted is None:
        return None
    failures = int(get(vm, "status", "startFailure", "consecutiveFailCount", default=0))
    if failures >= int(wanted.get("startUpFailureThreshold") or THRESHOLD):
        return 0.0
    if get(vm, "status", "printableStatus") not in _FAILING:
        return None
    ready = conditions.find(get(vm, "status", "conditions"), "Ready") or {}
    if ready.get("status") != "False" or not ready.get("lastTransitionTime"):
        return None
    said = wanted.get("minFailingToStartDuration")
    least_s = duration.seconds(str(said)) if said is not None else LEAST_S
    return max(0.0, least_s - (now - parse(ready["lastTransitionTime"])).total_seconds())
