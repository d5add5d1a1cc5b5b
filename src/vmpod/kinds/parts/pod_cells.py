"""Cells of `kubectl get pods`: printPod of pkg/printers/internalversion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vmpod.kinds.parts.cells import NONE, cell, condition_status
from vmpod.kinds.parts.reading import dig, entries, mapping, number, text
from vmpod.model.meta import Object
from vmpod.model.table import AGE, NAME, Column, age


@dataclass(frozen=True)
class Summary:
    """What one line says of a pod. `restarted_at` is the end of the container that was last started again."""

    ready: int
    total: int
    reason: str
    restarts: int
    restarted_at: str


@dataclass
class _Count:
    """Restarts, and the latest of their times."""

    restarts: int = 0
    restarted_at: str = ""

    def add(self, status: Object) -> None:
        self.restarts += number(status, "restartCount") or 0
        ended = text(dig(status, "lastState", "terminated"), "finishedAt")
        self.restarted_at = max(self.restarted_at, ended)


def summarize(pod: Object) -> Summary:
    """The one line."""
    spec, status = mapping(pod.get("spec")), mapping(pod.get("status"))
    sidecars = {text(c, "name") for c in entries(spec, "initContainers") if c.get("restartPolicy") == "Always"}
    total = len(entries(spec, "containers")) + len(sidecars)
    ready, count, sidecar_count, initializing = _init_state(status, spec, sidecars)
    reason = initializing or _phase(status)
    if not initializing or condition_status(pod, "Initialized") == "True":
        count = sidecar_count
        running, reason = _container_state(status, reason, count)
        ready += running
        if reason == "Completed" and running:
            reason = "Running" if condition_status(pod, "Ready") == "True" else "NotReady"
    return Summary(ready, total, _ending(pod, status) or reason, count.restarts, count.restarted_at)


def _phase(status: Object) -> str:
    for condition in entries(status, "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return text(status, "reason") or text(status, "phase")


def _init_state(status: Object, spec: Object, sidecars: set[str]) -> tuple[int, _Count, _Count, str]:
    """Ready sidecars, restarts of all and of sidecars, and the reason while initialization goes on."""
    ready, count, sidecar_count = 0, _Count(), _Count()
    for index, container in enumerate(entries(status, "initContainerStatuses")):
        is_sidecar = text(container, "name") in sidecars
        count.add(container)
        if is_sidecar:
            sidecar_count.add(container)
        ended = dig(container, "state").get("terminated")
        if isinstance(ended, dict) and not ended.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        return ready, count, sidecar_count, _init_reason(container, index, len(entries(spec, "initContainers")))
    return ready, count, sidecar_count, ""


def _init_reason(container: Object, index: int, total: int) -> str:
    ended = dig(container, "state").get("terminated")
    waiting = text(dig(container, "state", "waiting"), "reason")
    if isinstance(ended, dict):
        return f"Init:{_end_reason(ended)}"
    if waiting and waiting != "PodInitializing":
        return f"Init:{waiting}"
    return f"Init:{index}/{total}"


def _end_reason(ended: Object) -> str:
    if text(ended, "reason"):
        return text(ended, "reason")
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _container_state(status: Object, reason: str, count: _Count) -> tuple[int, str]:
    """How many containers run and are ready, and the reason of the first that does not."""
    running = 0
    for container in reversed(entries(status, "containerStatuses")):
        count.add(container)
        state = mapping(container.get("state"))
        waiting = text(mapping(state.get("waiting")), "reason")
        if waiting:
            reason = waiting
        elif isinstance(state.get("terminated"), dict):
            reason = _end_reason(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            running += 1
    return running, reason


def _ending(pod: Object, status: Object) -> str:
    if not mapping(pod.get("metadata")).get("deletionTimestamp"):
        return ""
    if text(status, "reason") == "NodeLost":
        return "Unknown"
    return "" if text(status, "phase") in ("Succeeded", "Failed") else "Terminating"


def _ready_cell(pod: Object) -> str:
    line = summarize(pod)
    return f"{line.ready}/{line.total}"


def _restarts_cell(pod: Object, now: datetime) -> str:
    line = summarize(pod)
    if line.restarts and line.restarted_at:
        return f"{line.restarts} ({age(line.restarted_at, now)} ago)"
    return str(line.restarts)


def _ip_cell(pod: Object) -> str:
    addresses = entries(pod.get("status"), "podIPs")
    first = text(addresses[0], "ip") if addresses else text(mapping(pod.get("status")), "podIP")
    return first or NONE


def _gates_cell(pod: Object) -> str:
    gates = [text(gate, "conditionType") for gate in entries(pod.get("spec"), "readinessGates")]
    met = sum(condition_status(pod, gate) == "True" for gate in gates)
    return f"{met}/{len(gates)}" if gates else NONE


POD_COLUMNS: tuple[Column, ...] = (
    NAME,
    cell("Ready", _ready_cell),
    cell("Status", lambda pod: summarize(pod).reason),
    Column("Restarts", value=_restarts_cell),
    AGE,
    cell("IP", _ip_cell, wide=True),
    cell("Node", lambda pod: text(pod.get("spec"), "nodeName") or NONE, wide=True),
    cell("Nominated Node", lambda pod: text(pod.get("status"), "nominatedNodeName") or NONE, wide=True),
    cell("Readiness Gates", _gates_cell, wide=True),
)
