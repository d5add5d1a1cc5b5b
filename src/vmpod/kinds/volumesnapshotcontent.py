"""VolumeSnapshotContent: what holds the data of a VolumeSnapshot."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig
from vmpod.model.table import AGE, NAME

PROTECTION = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"

VOLUMESNAPSHOTCONTENT = Kind(
    "snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent", "volumesnapshotcontents", False,
    schema="io.k8s.storage.snapshot.v1.VolumeSnapshotContent",
    short_names=("vsc", "vscs"),
    columns=(
        NAME,
        cell("ReadyToUse", lambda obj: dig(obj, "status").get("readyToUse"), "boolean"),
        cell("RestoreSize", lambda obj: dig(obj, "status").get("restoreSize"), "integer"),
        cell("DeletionPolicy", lambda obj: dig(obj, "spec").get("deletionPolicy")),
        cell("Driver", lambda obj: dig(obj, "spec").get("driver")),
        cell("VolumeSnapshotClass", lambda obj: dig(obj, "spec").get("volumeSnapshotClassName")),
        cell("VolumeSnapshot", lambda obj: dig(obj, "spec", "volumeSnapshotRef").get("name")),
        cell("VolumeSnapshotNamespace", lambda obj: dig(obj, "spec", "volumeSnapshotRef").get("namespace")),
        AGE,
    ),
    validate=metadata_rules(),
    subresources=frozenset({"status"}),
    has_generation=True,
)
