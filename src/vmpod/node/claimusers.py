"""Whose turn it is to use a claim's disk. Pure.

An image that two write is soon destroyed, and QEMU's own lock would let the second one crash over and over. So it
waits: for a machine that runs, or a pod to which the disk is shown, and for one that came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from vmpod.model.meta import Object, controller_of, get, labels, name, uid

ENDED = ("Succeeded", "Failed")


def blocked_by(
    claim: str, pod: Object, pods: Iterable[Object], instance_of: Callable[[Object], Object | None],
    *, holders: Collection[str] = (), read_only: bool = False,
) -> str:
    """What `pod` must wait for before it uses the claim's disk, as "the machine NAME"; empty when it need not.

    The disk concerns machines, and pods to which it is shown: `holders` are their uids. Who only reads it (volumes
    `ephemeral` and read-only ones; everybody, where it is `read_only` for all) does not wait for others that do.
    """
    mine = instance_of(pod)
    is_written = partial(_writes, claim=claim, read_only=read_only)
    for other in pods:
        if uid(other) == uid(pod) or get(other, "status", "phase") in ENDED:
            continue
        if not _is_launcher(other) and uid(other) not in holders:
            continue
        theirs = instance_of(other)
        if mine and theirs and uid(mine) and uid(mine) == uid(theirs):  # it moves from one to the other
            continue
        if claim not in _claims(other) and not _writes_plugged(theirs, claim):
            continue
        is_before = uid(other) in holders or is_first(other, pod)
        if is_before and (is_written(pod, mine) or is_written(other, theirs)):
            return f"the machine {name(theirs)}" if theirs is not None else f"the pod {name(other)}"
    return ""


def is_read_only(claim: Object) -> bool:
    """Whether nobody writes a claim: its only access mode is ReadOnlyMany."""
    return bool(get(claim, "spec", "accessModes") == ["ReadOnlyMany"])


def elsewhere(claim: Object, pod: Object, pods: Iterable[Object]) -> str:
    """The pod on another node that has a claim of one node (ReadWriteOnce), so that `pod` must wait.

    A machine that moves between nodes is one user.
    """
    modes, where = get(claim, "spec", "accessModes", default=()), get(pod, "spec", "nodeName")
    if "ReadWriteOnce" not in modes or len(modes) > 1 or get(pod, "status", "phase") == "Running":
        return ""
    others = (one for one in _rivals(claim, pod, pods) if get(one, "spec", "nodeName") not in (None, where))
    return next((name(one) for one in others), "")


def sole_user(claim: Object, pod: Object, pods: Iterable[Object]) -> str:
    """The pod that has a ReadWriteOncePod claim, so that `pod` must wait; empty when it need not.

    The launchers of one instance, while it moves from one to the other, are one user.
    """
    is_shared = "ReadWriteOncePod" not in get(claim, "spec", "accessModes", default=())
    if is_shared or get(pod, "status", "phase") == "Running":
        return ""
    return next((name(one) for one in _rivals(claim, pod, pods)), "")


def _rivals(claim: Object, pod: Object, pods: Iterable[Object]) -> Iterator[Object]:
    """The other pods that have a claim, or had their turn before `pod`."""
    mine = (controller_of(pod) or {}).get("uid")
    for other in pods:
        if uid(other) == uid(pod) or get(other, "status", "phase") in ENDED:
            continue
        is_same = mine is not None and (controller_of(other) or {}).get("uid") == mine and _is_launcher(pod)
        if name(claim) in _claims(other) and not is_same and is_first(other, pod):
            yield other


def _is_launcher(pod: Object) -> bool:
    return labels(pod).get("kubevirt.io") == "virt-launcher"


def _claims(launcher: Object) -> list[str]:
    return [str(get(volume, "persistentVolumeClaim", "claimName", default=""))
            for volume in get(launcher, "spec", "volumes", default=())]  # fmt: skip


def _writes_plugged(vmi: Object | None, claim: str) -> bool:
    """Whether it was plugged in later: the launcher was made without it."""
    return vmi is not None and _machine_writes(vmi, claim)


def is_first(other: Object, pod: Object) -> bool:
    """Whether `other` may use what only one can: it runs, or came before."""
    return get(other, "status", "phase") == "Running" or _age(other) < _age(pod)


def _age(pod: Object) -> tuple[str, str]:
    return str(get(pod, "metadata", "creationTimestamp", default="")), uid(pod)


def _writes(pod: Object, vmi: Object | None, claim: str, read_only: bool) -> bool:
    """Whether a pod writes the claim; a machine that is gone may still do so until its launcher is."""
    if vmi is None:
        return _is_launcher(pod) or (not read_only and writes(pod, claim))
    return not read_only and _machine_writes(vmi, claim)


def writes(pod: Object, claim: str) -> bool:
    """Whether a pod that is no machine's may write the claim: in a volume, or in a mount, that is not read-only."""
    named = {str(one["name"]) for one in get(pod, "spec", "volumes", default=())
             if get(one, "persistentVolumeClaim", "claimName") == claim
             and not get(one, "persistentVolumeClaim", "readOnly")}  # fmt: skip
    containers = (*get(pod, "spec", "initContainers", default=()), *get(pod, "spec", "containers", default=()))
    mounts = [one for each in containers for one in (*each.get("volumeMounts", ()), *each.get("volumeDevices", ()))]
    return any(one.get("name") in named and not one.get("readOnly") for one in mounts)


def _machine_writes(vmi: Object, claim: str) -> bool:
    for volume in get(vmi, "spec", "volumes", default=()):
        named = get(volume, "persistentVolumeClaim", default={})
        written = "" if named.get("readOnly") else named.get("claimName")
        if claim in (written, get(volume, "dataVolume", "name")):
            return True
    return False
