"""What to do next about a VirtualMachineSnapshotContent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from vmpod.base.clock import rfc3339
from vmpod.base.errors import Problem
from vmpod.kinds import VIRTUALMACHINESNAPSHOTCONTENT
from vmpod.kinds.virtualmachinesnapshotcontent import PROTECTION
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.node.translate import claim as claims
from vmpod.reconcile.actions import Note, Patch

KIND = VIRTUALMACHINESNAPSHOTCONTENT
_RETRY_S = 2.0


@dataclass(frozen=True)
class Disk:
    """The disk of one volume: its claim, what that is bound to, and the names of the pods that use it."""

    volume: str
    claim: str
    size_bytes: int
    bound: Object | None
    users: tuple[str, ...]
    is_busy: bool
    plugged_into: str = ""  # another running machine that has it as a hotplugged disk
    mark: str = ""  # what its layer is named by, where that is not the volume
    is_state: bool = False  # the files with what UEFI and the TPM store

    @property
    def key(self) -> str:
        """What its layer is named by."""
        return self.mark or self.volume


@dataclass(frozen=True)
class Seen:
    """A content, its disks, and the machine: the pod it runs in and whether its QEMU answers."""

    content: Object
    disks: tuple[Disk, ...]
    launcher: str
    is_up: bool
    now: datetime


@dataclass(frozen=True)
class Take:
    """Freeze the disks, in the running machine where it uses them."""

    seen: Seen


@dataclass(frozen=True)
class LetGo:
    """Give the layers of a content up that is being deleted, then the content."""

    content: Object


@dataclass(frozen=True)
class ContentPlan:
    """The next steps for one content."""

    actions: tuple[Take | LetGo | Patch, ...] = ()
    again_in: float | None = None
    events: tuple[Note, ...] = ()


def plan(seen: Seen) -> ContentPlan:
    """Take what is asked for once; a content that is deleted gives its layers up."""
    if is_deleting(seen.content):
        is_held = PROTECTION in get(seen.content, "metadata", "finalizers", default=())
        return ContentPlan((LetGo(seen.content),) if is_held else ())
    if get(seen.content, "status", "creationTime"):
        return ContentPlan()
    if why := obstacle(seen):
        return ContentPlan(failure(seen, why), _RETRY_S)
    return ContentPlan((Take(seen),), _RETRY_S)


def obstacle(seen: Seen) -> str:
    """Why it cannot be taken now; empty when it can."""
    for disk in seen.disks:
        if disk.bound is None:
            return f"the claim {disk.claim} is gone or not bound"
        if not claims.is_ours(disk.bound):
            return f"the claim {disk.claim} is bound to {name(disk.bound)}, which is no volume of {claims.PROVISIONER}"
        if others := [one for one in disk.users if one != seen.launcher]:
            return f"the claim {disk.claim} is in use by the pod {others[0]}"
        if disk.plugged_into:
            return f"the claim {disk.claim} is plugged into the running machine {disk.plugged_into}"
        if disk.is_busy:
            return f"another snapshot of the claim {disk.claim} is being taken"
        if disk.users and not seen.is_up:
            return "the machine is starting or stopping"
    return ""


def failure(seen: Seen, why: str) -> tuple[Patch, ...]:
    """The patch that tells why it is not taken; none when that is told already."""
    if get(seen.content, "status", "error", "message") == why:
        return ()
    return (_patch(seen.content, {"readyToUse": False, "error": {"message": why, "time": rfc3339(seen.now)}}),)


def success(content: Object, now: datetime) -> Patch:
    """The patch that tells that it is taken."""
    moment = rfc3339(now)
    volumes = [{"volumeSnapshotName": one["volumeSnapshotName"], "creationTime": moment, "readyToUse": True}
               for one in backups(content)]  # fmt: skip
    return _patch(content, {"readyToUse": True, "creationTime": moment, "error": None, "volumeSnapshotStatus": volumes})


def _patch(content: Object, status: Object) -> Patch:
    return Patch(KIND, namespace(content), name(content), {"status": status}, "status")


def backups(content: Object) -> list[Object]:
    return list(get(content, "spec", "volumeBackups", default=()))


def layer_of(content: Object, volume: str) -> str:
    """The layer that holds a volume of this very content; nobody but the API can choose a uid."""
    return sha256(f"{uid(content)}/{volume}".encode()).hexdigest()[:32]


def layers_of(content: Object) -> list[str]:
    return [layer_of(content, one["volumeName"]) for one in backups(content)]


def source_layer(contents: Iterable[Object], wanted: str) -> str:
    """The layer behind a volume snapshot, by the contents of its namespace. Raises Problem while there is none."""
    for content in contents:
        for one in backups(content):
            if one.get("volumeSnapshotName") == wanted and get(content, "status", "readyToUse") is True:
                return layer_of(content, one["volumeName"])
    why = f'no VirtualMachineSnapshotContent here that is ready holds "{wanted}"'
    raise Problem("fill a claim from a snapshot", why, "kubectl get vmsnapshotcontents", "NotFound")
