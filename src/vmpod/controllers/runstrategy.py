"""When a VirtualMachine starts and stops its instance: runStrategy, start and stop requests, crash-loop back-off.

The behaviour is that of KubeVirt's virt-controller (pkg/virt-controller/watch/vm); the code shares nothing with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vmpod.base.clock import parse, rfc3339
from vmpod.controllers.children import fraction
from vmpod.model.meta import Object, get, is_deleting, uid

_BASE_S = 10  # back-off after the n-th failure in a row: 10 s × n², half of it more at random, at most 300 s
_CAP_S = 300
STEADY_S = 10  # an instance that ran this long is no failed start
_TRIES_AGAIN = frozenset({"Always", "RerunOnFailure"})


@dataclass(frozen=True)
class Decision:
    """What to do with the instance now. `rerun`: remember that it is to be started again once it is gone."""

    start: bool = False
    stop: bool = False
    rerun: bool = False


def strategy(vm: Object) -> str:
    """spec.runStrategy, or what the deprecated spec.running means."""
    spec = vm.get("spec") or {}
    return str(spec.get("runStrategy") or ("Always" if spec.get("running") else "Halted"))


def decide(vm: Object, vmi: Object | None) -> Decision:
    """Whether the instance is to be started or stopped, back-off and volumes not yet considered."""
    return _without_instance(vm) if vmi is None else _with_instance(vm, vmi)


def _without_instance(vm: Object) -> Decision:
    wanted = strategy(vm)
    if wanted in ("Always", "Once") or start_request(vm) is not None:
        return Decision(start=True)
    return Decision(start=wanted == "RerunOnFailure" and get(vm, "status", "runStrategy") != wanted)


def _with_instance(vm: Object, vmi: Object) -> Decision:
    wanted = strategy(vm)
    rerun = wanted == "RerunOnFailure" and get(vmi, "status", "phase") == "Failed" and not is_stop_requested(vm, vmi)
    if is_deleting(vmi):
        return Decision(rerun=rerun)
    if wanted == "Halted" or is_stop_requested(vm, vmi) or rerun:
        return Decision(stop=True, rerun=rerun)
    return Decision(stop=wanted in _TRIES_AGAIN and is_final(vmi))


def is_final(vmi: Object) -> bool:
    """Whether the guest has ended."""
    return get(vmi, "status", "phase") in ("Succeeded", "Failed")


def _requests(vm: Object) -> list[Object]:
    return list(get(vm, "status", "stateChangeRequests", default=[]))


def start_request(vm: Object) -> Object | None:
    """The pending request to start, if there is one."""
    return next((one for one in _requests(vm) if one.get("action") == "Start"), None)


def is_stop_requested(vm: Object, vmi: Object) -> bool:
    """Whether somebody asked to stop this very instance."""
    return any(one.get("action") == "Stop" and one.get("uid") in (None, "", uid(vmi)) for one in _requests(vm))


def pending_requests(vm: Object, vmi: Object | None, *, rerun: bool) -> list[Object]:
    """status.stateChangeRequests without those that are fulfilled."""
    stopping = vmi is not None and is_stop_requested(vm, vmi)
    kept = [one for one in _requests(vm) if _is_pending(one, vmi, stopping=stopping or rerun)]
    if rerun and not any(one.get("action") == "Start" for one in kept):
        kept.append({"action": "Start"})
    return kept


def _is_pending(request: Object, vmi: Object | None, *, stopping: bool) -> bool:
    if request.get("action") == "Stop":
        return vmi is not None and request.get("uid") in (None, "", uid(vmi))
    return vmi is None or stopping or is_deleting(vmi)


def start_failure(vm: Object, vmi: Object | None, now: datetime) -> Object | None:
    """status.startFailure: failures in a row and the moment before which no new start is made.

    A machine that is started by hand only has none: nobody who asks for it waits.
    """
    if strategy(vm) not in _TRIES_AGAIN:
        return None
    found: Object | None = get(vm, "status", "startFailure")
    if vmi is None:
        return found
    if _failed_early(vmi):
        return found if get(found, "lastFailedVMIUID") == uid(vmi) else _one_more(vm, vmi, found, now)
    return None if is_final(vmi) or running_for_s(vmi, now) >= STEADY_S else found


def _one_more(vm: Object, vmi: Object, found: Object | None, now: datetime) -> Object:
    count = int(get(found, "consecutiveFailCount", default=0)) + 1
    retry = now + timedelta(seconds=back_off_s(uid(vm), count))
    return {"consecutiveFailCount": count, "lastFailedVMIUID": uid(vmi), "retryAfterTimestamp": rfc3339(retry)}


def back_off_s(vm_uid: str, count: int) -> float:
    """Seconds to wait after the count-th failure in a row; the same for the same machine and count."""
    return min(_CAP_S, _BASE_S * count * count * (1 + fraction(vm_uid, count) / 2))


def left_s(vm: Object, now: datetime) -> float:
    """Seconds until a start may be tried again; 0 or less when it may be now."""
    text = get(vm, "status", "startFailure", "retryAfterTimestamp")
    return (parse(text) - now).total_seconds() if text else 0.0


def _reached(vmi: Object, *phases: str) -> datetime | None:
    times = [one["phaseTransitionTimestamp"] for one in get(vmi, "status", "phaseTransitionTimestamps", default=())
             if one.get("phase") in phases and one.get("phaseTransitionTimestamp")]
    return parse(times[-1]) if times else None


def _failed_early(vmi: Object) -> bool:
    """Whether it ended before it ran, or crashed within seconds."""
    if not is_final(vmi):
        return False
    started, ended = _reached(vmi, "Running"), _reached(vmi, "Succeeded", "Failed")
    if started is None:
        return True
    crashed = get(vmi, "status", "phase") == "Failed"
    return crashed and ended is not None and (ended - started).total_seconds() < STEADY_S


def running_for_s(vmi: Object, now: datetime) -> float:
    """Seconds since it reached phase Running; 0 when it is not in it."""
    if get(vmi, "status", "phase") != "Running":
        return 0.0
    started = _reached(vmi, "Running")
    return (now - started).total_seconds() if started else float(STEADY_S)
