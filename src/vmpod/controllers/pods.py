"""What controllers read off pods, worded as Kubernetes' own controllers do."""

from __future__ import annotations

from datetime import datetime, timedelta

from vmpod.base.clock import parse
from vmpod.kinds.parts.addresses import family_of
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting

_WAITING_IS_NORMAL = frozenset({"", "ContainerCreating", "PodInitializing"})


def phase(pod: Object) -> str:
    """`status.phase`, Pending before anybody wrote it."""
    return str(get(pod, "status", "phase", default="Pending"))


def is_terminal(pod: Object) -> bool:
    """Whether its containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether it counts as a replica: neither ended nor on its way out."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_ready(pod: Object) -> bool:
    """Whether its condition Ready is True."""
    return conditions.is_true(get(pod, "status", "conditions"), "Ready")


def ready_since(pod: Object) -> datetime | None:
    """When it became ready; None when it is not."""
    found = conditions.find(get(pod, "status", "conditions"), "Ready")
    if found is None or found.get("status") != "True" or not found.get("lastTransitionTime"):
        return None
    return parse(found["lastTransitionTime"])


def is_available(pod: Object, min_ready_s: int, now: datetime) -> bool:
    """Whether it has been ready for at least `min_ready_s` seconds."""
    since = ready_since(pod)
    if since is None:
        return min_ready_s == 0 and is_ready(pod)
    return min_ready_s == 0 or since + timedelta(seconds=min_ready_s) <= now


def restarts(pod: Object) -> int:
    """How often its containers were started anew, at most by one container (as victims are ranked upstream)."""
    counts = (int(one.get("restartCount") or 0) for one in get(pod, "status", "containerStatuses", default=()))
    return max(counts, default=0)


def trouble(pod: Object) -> tuple[str, str] | None:
    """Reason and message of the first container that waits for something abnormal (ErrImagePull, FailedMount …)."""
    status = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        reason = str(get(one, "state", "waiting", "reason", default=""))
        if reason not in _WAITING_IS_NORMAL:
            return reason, str(get(one, "state", "waiting", "message", default=""))
    return None


def pod_ip(pod: Object) -> str:
    """`status.podIP`, empty until the network is attached."""
    return str(get(pod, "status", "podIP", default=""))


def pod_ip_of(pod: Object, family: str) -> str:
    """The pod's address of a family, empty without one."""
    found = [str(one.get("ip") or "") for one in get(pod, "status", "podIPs", default=())] or [pod_ip(pod)]
    return next((ip for ip in found if ip and family_of(ip) == family), "")
