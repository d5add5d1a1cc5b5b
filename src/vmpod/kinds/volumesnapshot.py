"""VolumeSnapshot: the content of a claim at one moment."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, set_keys, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, wrong
from vmpod.model.table import AGE, NAME

PROTECTION = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
SOURCES = ("persistentVolumeClaimName", "volumeSnapshotContentName")


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """What the snapshot CRD says in its rules."""
    return [*_source_errors(mapping(new.get("spec"))), *(_update_errors(new, old) if old else ())]


def _source_errors(spec: Object) -> Iterator[FieldError]:
    given = set_keys(mapping(spec.get("source")), SOURCES)
    if len(given) != 1:
        why = "exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set"
        yield wrong("spec.source", mapping(spec.get("source")), why)
    if spec.get("volumeSnapshotClassName") == "":
        yield wrong("spec.volumeSnapshotClassName", "", "volumeSnapshotClassName must not be the empty string when set")


def _update_errors(new: Object, old: Object) -> Iterator[FieldError]:
    if dig(new, "spec").get("source") != dig(old, "spec").get("source"):
        yield refused("spec.source", "is immutable")


VOLUMESNAPSHOT = Kind(
    "snapshot.storage.k8s.io", "v1", "VolumeSnapshot", "volumesnapshots", True,
    schema="io.k8s.storage.snapshot.v1.VolumeSnapshot",
    short_names=("vs",),
    columns=(
        NAME,
        cell("ReadyToUse", lambda obj: dig(obj, "status").get("readyToUse"), "boolean"),
        cell("SourcePVC", lambda obj: dig(obj, "spec", "source").get("persistentVolumeClaimName")),
        cell("SourceSnapshotContent", lambda obj: dig(obj, "spec", "source").get("volumeSnapshotContentName")),
        cell("RestoreSize", lambda obj: dig(obj, "status").get("restoreSize")),
        cell("SnapshotClass", lambda obj: text(dig(obj, "spec"), "volumeSnapshotClassName")),
        cell("SnapshotContent", lambda obj: dig(obj, "status").get("boundVolumeSnapshotContentName")),
        cell("CreationTime", lambda obj: dig(obj, "status").get("creationTime")),
        AGE,
    ),
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
    has_generation=True,
)
