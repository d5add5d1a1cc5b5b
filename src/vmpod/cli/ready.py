"""When an object is ready, and if not, what it waits for. Pure: objects in, words out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmpod.model import conditions
from vmpod.model.meta import Object, get, name, namespace


@dataclass(frozen=True)
class Verdict:
    """`why` is empty when the object is ready. `hopeless`: waiting longer does not help."""

    why: str = ""
    hopeless: bool = False

    @property
    def is_ready(self) -> bool:
        return not self.why


READY = Verdict()


def has_life(kind: str) -> bool:
    """Whether objects of a kind become ready some time after they exist."""
    return kind in _JUDGES


def verdict(obj: Object) -> Verdict:
    """Whether an object is ready, by its kind; kinds without a life of their own are ready when they exist."""
    judge = _JUDGES.get(str(obj.get("kind")))
    return judge(obj) if judge else READY


def _deployment(obj: Object) -> Verdict:
    wanted = int(get(obj, "spec", "replicas", default=1))
    if int(get(obj, "status", "observedGeneration", default=0)) < int(get(obj, "metadata", "generation", default=0)):
        return Verdict("waits for the deployment controller")
    updated = int(get(obj, "status", "updatedReplicas", default=0))
    available = int(get(obj, "status", "availableReplicas", default=0))
    if updated < wanted or available < wanted or int(get(obj, "status", "replicas", default=0)) > wanted:
        return Verdict(f"{available} of {wanted} replicas are available")
    return READY


def _replica_set(obj: Object) -> Verdict:
    wanted, there = int(get(obj, "spec", "replicas", default=1)), int(get(obj, "status", "readyReplicas", default=0))
    return READY if there >= wanted else Verdict(f"{there} of {wanted} replicas are ready")


def _pod(obj: Object) -> Verdict:
    phase = get(obj, "status", "phase", default="Pending")
    if phase == "Succeeded" or conditions.is_true(get(obj, "status", "conditions", default=[]), "Ready"):
        return READY
    waiting = [get(one, "state", "waiting", "reason") for one in get(obj, "status", "containerStatuses", default=[])]
    reasons = [reason for reason in waiting if reason]
    return Verdict(", ".join(reasons) or _scheduling(obj) or f"the pod is {phase}", phase == "Failed")


def _scheduling(obj: Object) -> str:
    found = conditions.find(get(obj, "status", "conditions", default=[]), "PodScheduled")
    return str(found.get("message") or "") if found and found.get("status") == "False" else ""


def _machine(obj: Object) -> Verdict:
    """A machine that is told to be off, or to wait for a start request, is as it should be."""
    if get(obj, "spec", "runStrategy") in ("Halted", "Manual") or get(obj, "spec", "running") is False:
        return READY
    return running_machine(obj)


def running_machine(obj: Object) -> Verdict:
    """Whether a VirtualMachine runs and its guest is ready."""
    found = get(obj, "status", "conditions", default=[])
    if int(get(obj, "status", "desiredGeneration", default=0)) < int(get(obj, "metadata", "generation", default=0)):
        return Verdict("waits for the virtual machine controller")
    if conditions.is_true(found, "Ready"):
        return READY
    shown = get(obj, "status", "printableStatus", default="Stopped")
    said = (conditions.find(found, "Ready") or {}).get("message") if shown == "Running" else ""
    idle = "the machine runs, its application does not answer yet" if shown == "Running" else f"the machine is {shown}"
    far = f"; guest: {', '.join(guest_stages(obj))}" if shown == "Running" and guest_stages(obj) else ""
    old = f" ({stale(obj)})" if stale(obj) else ""
    return Verdict(f"{said or idle}{far}{old}")


def guest_stages(obj: Object | None) -> list[str]:
    """How far the guest of a machine or instance has come, such as `init 8 s`; empty when it is off."""
    found = conditions.find(get(obj, "status", "conditions", default=[]), "vmpod.io/GuestStage")
    return str(found.get("message", "")).split(", ") if found else []


def stale(obj: Object) -> str:
    """What to say when a machine runs with an older specification than it has now; empty otherwise."""
    if not conditions.is_true(get(obj, "status", "conditions", default=[]), "RestartRequired"):
        return ""
    space = namespace(obj)
    where = f" -n {space}" if space not in ("", "default") else ""
    return f"it has changes that wait for a restart: vmpod restart {name(obj)}{where}"


def _instance(obj: Object) -> Verdict:
    if conditions.is_true(get(obj, "status", "conditions", default=[]), "Ready"):
        return READY
    phase = get(obj, "status", "phase", default="Pending")
    return Verdict(f"the instance is {phase}", phase == "Failed")


def _data_volume(obj: Object) -> Verdict:
    phase = get(obj, "status", "phase", default="Pending")
    if phase in ("Succeeded", "WaitForFirstConsumer", "PendingPopulation"):
        return READY
    progress = get(obj, "status", "progress", default="")
    running = conditions.find(get(obj, "status", "conditions", default=[]), "Running") or {}
    said = str(running.get("message") or "")
    shown = f"{phase} {progress}".strip() if progress not in ("", "N/A") else str(phase)
    return Verdict(f"{shown}: {said}" if said and phase in ("Failed", "ImportScheduled", "Pending") else shown,
                   phase == "Failed")  # fmt: skip


def _claim(obj: Object) -> Verdict:
    phase = get(obj, "status", "phase", default="Pending")
    return READY if phase == "Bound" else Verdict(f"the claim is {phase}", phase == "Lost")


def _service(obj: Object) -> Verdict:
    if get(obj, "spec", "type") != "LoadBalancer" or get(obj, "status", "loadBalancer", "ingress"):
        return READY
    return Verdict("waits for an address")


_JUDGES: dict[str, Callable[[Object], Verdict]] = {
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Pod": _pod,
    "VirtualMachine": _machine,
    "VirtualMachineInstance": _instance,
    "DataVolume": _data_volume,
    "PersistentVolumeClaim": _claim,
    "Service": _service,
}
