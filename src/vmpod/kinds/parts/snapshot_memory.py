"""Snapshots that hold the memory of their machine too: the annotations that say so."""

from __future__ import annotations

from vmpod.model.meta import Object, uid
from vmpod.model.meta import annotations as annotations_of

WANTED = "vmpod.io/memory"
"""On a VirtualMachineSnapshot and its content"""
RESTORED_BY = "restore.kubevirt.io/lastRestoreUID"
"""On a VirtualMachine: name and uid of its last restore"""
GIVEN = "vmpod.io/memory-of"
"""On a VirtualMachine that was restored: the uid of the content whose memory it shall start with, once"""


def is_wanted(snapshot: Object) -> bool:
    return annotations_of(snapshot).get(WANTED) == "true"


def passed_on(snapshot: Object) -> dict[str, str]:
    """The annotations of the content of a snapshot."""
    return {WANTED: "true"} if is_wanted(snapshot) else {}


def given(content: Object | None) -> dict[str, str | None]:
    """What a restored machine is told of the memory that goes with its disks."""
    return {GIVEN: uid(content) if content is not None and is_wanted(content) else None}
