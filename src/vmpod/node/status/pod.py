"""The status of a pod: phase and conditions as the kubelet computes them."""

from __future__ import annotations

from dataclasses import dataclass

from vmpod.base import clock
from vmpod.kinds.parts.pod_defaults import qos_class
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.node import pods
from vmpod.node.actions import NodePlan
from vmpod.node.seen import (
    Seen,
    init_containers,
    is_sidecar,
    is_terminal,
    main_containers,
    restart_policy,
    uses_host_network,
)
from vmpod.node.status.containers import console_log_status, container_status

_ORDER = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def status(seen: Seen, plan: NodePlan) -> Object | None:
    """The whole new status; None when there is nothing to say (no object, or nothing left of it here)."""
    pod = seen.pod
    if pod is None or (meta.is_deleting(pod) and not seen.containers):
        return None
    before: Object = dict(pod.get("status") or {})
    inits = [container_status(seen, one, init=True) for one in init_containers(pod)]
    mains = [container_status(seen, one, init=False) for one in main_containers(pod)]
    fresh = before | {"phase": _phase(seen, pod, inits, mains)} | _addresses(seen, pod, before)
    fresh["startTime"] = before.get("startTime") or clock.rfc3339(seen.now)
    fresh["qosClass"] = before.get("qosClass") or qos_class(pod.get("spec"))
    fresh["containerStatuses"] = mains
    if inits := [*inits, *console_log_status(pod, mains)]:
        fresh["initContainerStatuses"] = inits
    generation = meta.metadata(pod).get("generation")
    if generation is not None:
        fresh["observedGeneration"] = generation
    _tell_reason(seen, pod, fresh)
    fresh["conditions"] = _conditions(seen, pod, fresh)
    return fresh


def _tell_reason(seen: Seen, pod: Object, fresh: Object) -> None:
    if fresh["phase"] == "Failed" and pods.is_overdue(seen) and not is_terminal(pod):
        fresh["reason"] = "DeadlineExceeded"
        fresh["message"] = "Pod was active on the node longer than the specified deadline"


def _addresses(seen: Seen, pod: Object, before: Object) -> Object:
    addresses: Object = {"hostIP": seen.host_ip, "hostIPs": [{"ip": seen.host_ip}]} if seen.host_ip else {}
    ips = seen.attachment.ips if seen.attachment else tuple(one["ip"] for one in before.get("podIPs") or ())
    if uses_host_network(pod):
        ips = (seen.host_ip,) if seen.host_ip else ()
    return addresses | ({"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]} if ips else {})


@dataclass(frozen=True)
class _Count:
    """How many main containers are how (kubelet's getPhase)."""

    running: int
    stopped: int
    succeeded: int
    waiting: int


def _phase(seen: Seen, pod: Object, inits: list[Object], mains: list[Object]) -> str:
    if is_terminal(pod):
        return str(pod["status"]["phase"])
    runs = any(one.is_running for one in seen.containers)
    if pods.is_overdue(seen):
        return "Running" if runs else "Failed"
    pending, failed = _init_progress(seen, pod)
    if failed and restart_policy(pod) == "Never":
        return "Failed"
    count = _count(mains)
    if pending or count.waiting:
        return "Pending"
    if count.running or not count.stopped:
        return "Running" if count.running else "Pending"
    sidecar_runs = any("running" in row["state"] for row in inits)
    return _ended_phase(pod, count, deleting=meta.is_deleting(pod)) if not sidecar_runs else "Running"


def _ended_phase(pod: Object, count: _Count, *, deleting: bool) -> str:
    policy = restart_policy(pod)
    if policy == "Always" and not deleting:
        return "Running"
    if count.stopped == count.succeeded:
        return "Succeeded"
    return "Failed" if policy == "Never" or deleting else "Running"


def _init_progress(seen: Seen, pod: Object) -> tuple[bool, bool]:
    """Whether init containers are still to be waited for, and whether one of them has failed."""
    pending = failed = False
    for container in init_containers(pod):
        one = seen.latest(str(container["name"]))
        if not pods.is_initialized(seen, pod, container) and not pods.has_begun(seen, pod):
            pending = True
        if one is not None and not is_sidecar(container) and seen.has_ended(one) and seen.exit_code(one) != 0:
            failed = True
    return pending, failed and pending


def _count(rows: list[Object]) -> _Count:
    running = stopped = succeeded = waiting = 0
    for row in rows:
        end = row["state"].get("terminated")
        if "waiting" in row["state"]:
            end = row["lastState"].get("terminated")
        if "running" in row["state"]:
            running += 1
        elif end:
            stopped += 1
            succeeded += int(end["exitCode"] == 0)
        else:
            waiting += 1
    return _Count(running, stopped, succeeded, waiting)


def _conditions(seen: Seen, pod: Object, fresh: Object) -> list[Object]:
    found = list(meta.get(pod, "status", "conditions", default=[]))
    wanted = [
        ("PodReadyToStartContainers", seen.attachment is not None or uses_host_network(pod), "", ""),
        ("Initialized", *_initialized(seen, pod, fresh)),
        *_readiness(pod, fresh, found),
        ("PodScheduled", True, "", ""),
    ]
    for type, is_true, reason, message in wanted:
        extra: Object = {"lastProbeTime": None}
        if "observedGeneration" in fresh:
            extra["observedGeneration"] = fresh["observedGeneration"]
        found = conditions.set_condition(found, type, is_true, reason, message, seen.now, **extra)
    rank = {type: place for place, type in enumerate(_ORDER)}
    return sorted(found, key=lambda one: rank.get(one["type"], len(_ORDER)))


def _initialized(seen: Seen, pod: Object, fresh: Object) -> tuple[bool, str, str]:
    if fresh["phase"] == "Succeeded":
        return True, "PodCompleted", ""
    missing = [
        str(one["name"]) for one in init_containers(pod)
        if not pods.is_initialized(seen, pod, one) and not pods.has_begun(seen, pod)
    ]  # fmt: skip
    if missing:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(missing)}]"
    return True, "", ""


def _readiness(pod: Object, fresh: Object, found: list[Object]) -> list[tuple[str, bool, str, str]]:
    sidecars = {one["name"] for one in init_containers(pod) if is_sidecar(one)}
    rows = [*(row for row in fresh.get("initContainerStatuses", ()) if row["name"] in sidecars),
            *fresh["containerStatuses"]]
    unready = [str(row["name"]) for row in rows if not row["ready"]]
    if fresh["phase"] == "Succeeded":
        told = (False, "PodCompleted", "")
    elif fresh["phase"] == "Failed":
        told = (False, "PodFailed", "")
    elif unready:
        told = (False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    else:
        told = (True, "", "")
    ready = told
    gates = [str(gate.get("conditionType")) for gate in meta.get(pod, "spec", "readinessGates", default=())]
    closed = [gate for gate in gates if not conditions.is_true(found, gate)]
    if told[0] and closed:
        said = "; ".join(f'corresponding condition of pod readiness gate "{gate}" does not exist.' for gate in closed)
        ready = (False, "ReadinessGatesNotReady", said)
    return [("Ready", *ready), ("ContainersReady", *told)]
