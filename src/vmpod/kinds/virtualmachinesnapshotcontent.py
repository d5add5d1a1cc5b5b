"""VirtualMachineSnapshotContent (KubeVirt): the machine and the volumes that a snapshot holds."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig
from vmpod.model.table import NAME

PROTECTION = "snapshot.kubevirt.io/vmsnapshotcontent-protection"

VIRTUALMACHINESNAPSHOTCONTENT = Kind(
    "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshotContent", "virtualmachinesnapshotcontents", True,
    other_versions=("v1alpha1",),
    short_names=("vmsnapshotcontent", "vmsnapshotcontents"),
    categories=("all",),
    columns=(
        NAME,
        cell("ReadyToUse", lambda obj: dig(obj, "status").get("readyToUse"), "boolean"),
        cell("CreationTime", lambda obj: dig(obj, "status").get("creationTime")),
        cell("Error", lambda obj: dig(obj, "status", "error").get("message")),
    ),
    validate=metadata_rules(),
    subresources=frozenset({"status"}),
    has_generation=True,
)
