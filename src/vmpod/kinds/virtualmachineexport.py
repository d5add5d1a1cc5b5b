"""VirtualMachineExport (KubeVirt)."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model import duration
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, wrong
from vmpod.model.table import NAME

_SOURCES = {  # kind → API group, and the name in messages
    "PersistentVolumeClaim": ("", "PVC"),
    "VirtualMachineSnapshot": ("snapshot.kubevirt.io", "VMSnapshot"),
    "VirtualMachine": ("kubevirt.io", "VM"),
}


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's vmexport webhook."""
    spec = mapping(new.get("spec"))
    if old is not None:
        return [] if spec == mapping(old.get("spec")) else [refused("spec", "spec in immutable after creation")]
    return [*_source_errors(dig(spec, "source")), *_ttl_errors(text(spec, "ttlDuration"))]


def _source_errors(source: Object) -> Iterator[FieldError]:
    if text(source, "kind") not in _SOURCES:
        yield wrong("spec.source.kind", text(source, "kind"), "invalid kind")
        return
    group, called = _SOURCES[text(source, "kind")]
    if not text(source, "name"):
        said = "Virtual Machine" if called == "VM" else called
        yield wrong("spec.source.name", "", f"{said} name must not be empty")
    if text(source, "apiGroup") != group:
        must = f"must be {group}" if group else "must be missing or blank"
        yield wrong("spec.source.APIGroup", text(source, "apiGroup"), f"{called} API group {must}")


def _ttl_errors(given: str) -> Iterator[FieldError]:
    try:
        duration.seconds(given or "0s")
    except ValueError as error:
        yield wrong("spec.ttlDuration", given, str(error))


VIRTUALMACHINEEXPORT = Kind(
    "export.kubevirt.io", "v1", "VirtualMachineExport", "virtualmachineexports", True,
    other_versions=("v1beta1",),
    short_names=("vmexport", "vmexports"),
    categories=("all",),
    columns=(
        NAME,
        cell("SourceKind", lambda obj: dig(obj, "spec", "source").get("kind")),
        cell("SourceName", lambda obj: dig(obj, "spec", "source").get("name")),
        cell("Phase", lambda obj: dig(obj, "status").get("phase")),
    ),
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
    has_generation=True,
)
