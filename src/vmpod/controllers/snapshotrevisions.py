"""What instance type and preference a snapshot's machine was started with: revisions of the snapshot's own. Pure.

A restored machine has copies of them in its turn, so that neither depends on the other. As in KubeVirt, their names
differ in that of the machine and that of the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass

from vmpod.controllers.children import delete, is_controlled_by, metadata_patch
from vmpod.kinds import CONTROLLERREVISION
from vmpod.kinds.parts.matchers import MATCHERS
from vmpod.model.meta import Object, get, labels, namespace, owner_reference
from vmpod.reconcile.actions import Action, Create

Revisions = Mapping[str, Object | None]
"""By name; None: missing"""


@dataclass(frozen=True)
class Copy:
    """A revision to be kept under another name, for one of a machine's matchers."""

    field: str
    source: str
    name: str


def held(vm: Object) -> dict[str, str]:
    """The revision behind each matcher of a machine: what it asks for, else what its status remembers."""
    found = {one.field: get(vm, "spec", one.field, "revisionName")
             or get(vm, "status", one.status, "controllerRevisionRef", "name") for one in MATCHERS
             if get(vm, "spec", one.field)}  # fmt: skip
    return {field: str(revision) for field, revision in found.items() if revision}


def copies(vm: Object, old: str, new: str) -> tuple[Copy, ...]:
    """What has to be copied for whom the name `new` belongs to; `old` is the name that stands in the present ones."""
    return tuple(Copy(field, revision, revision.replace(old, new, 1)) for field, revision in held(vm).items())


def copied(source: Object, wanted: str, owner: Object | None) -> Object:
    """A revision with the same data under another name; one for a machine that is not there yet is nobody's."""
    meta: Object = {"name": wanted, "namespace": namespace(source), "labels": dict(labels(source))}
    if owner is not None:
        meta["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": CONTROLLERREVISION.api_version, "kind": CONTROLLERREVISION.kind, "metadata": meta,
            "data": deepcopy(source["data"]), "revision": source.get("revision", 0)}  # fmt: skip


def pointed(spec: Object, wanted: tuple[Copy, ...]) -> Object:
    """A machine's spec whose matchers name the copies."""
    for one in wanted:
        spec[one.field] = {**spec[one.field], "revisionName": one.name}
    return spec


def missing(wanted: tuple[Copy, ...], found: Revisions) -> str:
    """The first revision that should be copied and is not there."""
    return next((one.source for one in wanted if found.get(one.source) is None), "")


def made(wanted: tuple[Copy, ...], found: Revisions, owner: Object | None) -> Iterator[Action]:
    """The next steps until each copy is there; what is kept under such a name and differs goes first."""
    for one in wanted:
        copy, source = found.get(one.name), found.get(one.source)
        if copy is None and source is not None:
            yield Create(CONTROLLERREVISION, copied(source, one.name, owner))
        elif copy is not None and source is not None and copy.get("data") != source.get("data"):
            yield delete(CONTROLLERREVISION, copy)


def owned(wanted: tuple[Copy, ...], found: Revisions, owner: Object) -> Iterator[Action]:
    """The copies that were made before their owner become its own."""
    for one in wanted:
        copy = found.get(one.name)
        if copy is not None and one.name != one.source and not is_controlled_by(copy, owner):
            yield metadata_patch(CONTROLLERREVISION, copy, ownerReferences=[owner_reference(owner)])


def names(wanted: tuple[Copy, ...]) -> set[str]:
    return {text for one in wanted for text in (one.source, one.name)}
