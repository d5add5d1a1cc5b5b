"""VolumeSnapshotClass: who takes snapshots, and what becomes of them."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError
from vmpod.model.table import AGE, NAME

DEFAULT_ANNOTATION = "snapshot.storage.kubernetes.io/is-default-class"


def is_default(obj: Object) -> bool:
    """Whether snapshots that name no class are of this one."""
    return dig(obj, "metadata", "annotations").get(DEFAULT_ANNOTATION) == "true"


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    return [*checks.needed(new, "driver", ""), *checks.one_of(new, "deletionPolicy", "", ("Delete", "Retain"))]


VOLUMESNAPSHOTCLASS = Kind(
    "snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass", "volumesnapshotclasses", False,
    schema="io.k8s.storage.snapshot.v1.VolumeSnapshotClass",
    short_names=("vsclass", "vsclasses"),
    columns=(
        NAME,
        cell("Driver", lambda obj: text(obj, "driver")),
        cell("DeletionPolicy", lambda obj: text(obj, "deletionPolicy")),
        AGE,
    ),
    validate=all_of(metadata_rules(), _rules),
)
