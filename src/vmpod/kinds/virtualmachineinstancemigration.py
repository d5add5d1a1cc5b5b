"""VirtualMachineInstanceMigration: the wish that a running machine moves to another launcher."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.migration import MACHINE
from vmpod.kinds.parts.reading import dig, mapping, section, text
from vmpod.kinds.parts.support import NOT_YET
from vmpod.kinds.parts.versions import DEPRECATED
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, required
from vmpod.model.table import NAME

FINALIZER = "kubevirt.io/migrationJobFinalize"
_ELSEWHERE = ("sendTo", "receive")


def begin(obj: Object) -> Object:
    """The label by which the migrations of an instance are found, and the finalizer that lets a deletion cancel it."""
    section(obj, "metadata", "labels")[MACHINE] = text(dig(obj, "spec"), "vmiName")
    held = section(obj, "metadata").setdefault("finalizers", [])
    if FINALIZER not in held:
        held.append(FINALIZER)
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(new.get("spec"))
    if old is not None:
        is_same = spec == mapping(old.get("spec"))
        return [] if is_same else [refused("spec", "update of Migration object's spec is restricted")]
    if not text(spec, "vmiName"):
        return [required("spec.vmiName", "vmiName is missing")]
    return [refused(f"spec.{key}", "a machine moves between the nodes of this machine only")
            for key in _ELSEWHERE if key in spec]  # fmt: skip


def _warnings(obj: Object) -> list[str]:
    return [f"spec.priority: {NOT_YET}"] if dig(obj, "spec").get("priority") else []


VIRTUALMACHINEINSTANCEMIGRATION = Kind(
    "kubevirt.io", "v1", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations", True,
    other_versions=("v1alpha3",),
    deprecated=DEPRECATED,
    short_names=("vmim", "vmims"),
    categories=("all",),
    columns=(
        NAME,
        cell("Phase", lambda obj: dig(obj, "status").get("phase")),
        cell("VMI", lambda obj: dig(obj, "spec").get("vmiName")),
    ),
    on_create=begin,
    validate=all_of(metadata_rules(), _rules),
    warnings=_warnings,
    subresources=frozenset({"status"}),
    has_generation=True,
)
