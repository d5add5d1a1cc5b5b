"""Whose turn it is to use a claim's disk. Pure.

An image that two machines write is soon destroyed, and QEMU's own lock would let the second one crash over and over.
So it waits: for a machine that runs, and for one that came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vmpod.model.meta import Object, controller_of, get, labels, name, uid

_ENDED = ("Succeeded", "Failed")


def blocked_by(
    claim: str, pod: Object, launchers: Iterable[Object], instance_of: Callable[[Object], Object | None]
) -> str:
    """The name of the machine that `pod`'s must wait for before it uses the claim's disk; empty when it need not.

    Machines that only read it (volumes `ephemeral` and read-only ones) do not wait for each other.
    """
    mine = instance_of(pod)
    for other in launchers:
        if uid(other) == uid(pod) or get(other, "status", "phase") in _ENDED:
            continue
        theirs = instance_of(other)
        if mine and theirs and uid(mine) and uid(mine) == uid(theirs):  # it moves from one to the other
            continue
        if claim not in _claims(other) and not _writes_plugged(theirs, claim):
            continue
        if (_writes(mine, claim) or _writes(theirs, claim)) and is_first(other, pod):
            return name(theirs) if theirs is not None else name(other)
    return ""


def sole_user(claim: Object, pod: Object, pods: Iterable[Object]) -> str:
    """The pod that has a ReadWriteOncePod claim, so that `pod` must wait; empty when it need not.

    The launchers of one instance, while it moves from one to the other, are one user.
    """
    is_shared = "ReadWriteOncePod" not in get(claim, "spec", "accessModes", default=())
    if is_shared or get(pod, "status", "phase") == "Running":
        return ""
    mine = (controller_of(pod) or {}).get("uid")
    for other in pods:
        if uid(other) == uid(pod) or get(other, "status", "phase") in _ENDED:
            continue
        is_same = mine is not None and (controller_of(other) or {}).get("uid") == mine and _is_launcher(pod)
        if name(claim) in _claims(other) and not is_same and is_first(other, pod):
            return name(other)
    return ""


def _is_launcher(pod: Object) -> bool:
    return labels(pod).get("kubevirt.io") == "virt-launcher"


def _claims(launcher: Object) -> list[str]:
    return [str(get(volume, "persistentVolumeClaim", "claimName", default=""))
            for volume in get(launcher, "spec", "volumes", default=())]  # fmt: skip


def _writes_plugged(vmi: Object | None, claim: str) -> bool:
    """Whether it was plugged in later: the launcher was made without it."""
    return vmi is not None and _writes(vmi, claim)


def is_first(other: Object, pod: Object) -> bool:
    """Whether `other` may use what only one can: it runs, or came before."""
    return get(other, "status", "phase") == "Running" or _age(other) < _age(pod)


def _age(pod: Object) -> tuple[str, str]:
    return str(get(pod, "metadata", "creationTimestamp", default="")), uid(pod)


def _writes(vmi: Object | None, claim: str) -> bool:
    """Whether a machine writes the claim; one that is gone may still do so until its launcher is."""
    if vmi is None:
        return True
    for volume in get(vmi, "spec", "volumes", default=()):
        named = get(volume, "persistentVolumeClaim", default={})
        written = "" if named.get("readOnly") else named.get("claimName")
        if claim in (written, get(volume, "dataVolume", "name")):
            return True
    return False
