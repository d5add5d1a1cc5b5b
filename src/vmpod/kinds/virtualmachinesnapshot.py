"""VirtualMachineSnapshot (KubeVirt)."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, fill, mapping, section, text
from vmpod.model import duration
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, wrong
from vmpod.model.table import NAME

DEADLINE = "5m"


def default(obj: Object) -> Object:
    """Five minutes to be taken in, and the data go with the snapshot."""
    fill(section(obj, "spec"), "failureDeadline", DEADLINE)
    fill(section(obj, "spec"), "deletionPolicy", "Delete")
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's vmsnapshot webhook."""
    spec = mapping(new.get("spec"))
    if old is not None:
        return [] if spec == mapping(old.get("spec")) else [refused("spec", "spec in immutable after creation")]
    source = dig(spec, "source")
    if text(source, "apiGroup") != "kubevirt.io":
        return [wrong("spec.source.apiGroup", text(source, "apiGroup"), "invalid apiGroup")]
    if text(source, "kind") != "VirtualMachine":
        return [wrong("spec.source.kind", text(source, "kind"), "invalid kind")]
    try:
        duration.seconds(text(spec, "failureDeadline") or DEADLINE)
    except ValueError as error:
        return [wrong("spec.failureDeadline", spec.get("failureDeadline"), str(error))]
    return []


VIRTUALMACHINESNAPSHOT = Kind(
    "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshot", "virtualmachinesnapshots", True,
    other_versions=("v1alpha1",),
    short_names=("vmsnapshot", "vmsnapshots"),
    categories=("all",),
    columns=(
        NAME,
        cell("SourceKind", lambda obj: dig(obj, "spec", "source").get("kind")),
        cell("SourceName", lambda obj: dig(obj, "spec", "source").get("name")),
        cell("Phase", lambda obj: dig(obj, "status").get("phase")),
        cell("ReadyToUse", lambda obj: dig(obj, "status").get("readyToUse"), "boolean"),
        cell("CreationTime", lambda obj: dig(obj, "status").get("creationTime")),
        cell("Error", lambda obj: dig(obj, "status", "error").get("message")),
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
    has_generation=True,
)
