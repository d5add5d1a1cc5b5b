"""ObjectTransfer (CDI): a DataVolume or a claim that goes to another namespace, or gets another name."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, required, wrong
from vmpod.model.table import AGE, NAME

MOVED = ("DataVolume", "PersistentVolumeClaim")


def target_of(transfer: Object) -> tuple[str, str]:
    """Namespace and name that the object gets: its own where the transfer says neither."""
    spec = dig(transfer, "spec")
    found = (text(mapping(spec.get("target")), key) or text(mapping(spec.get("source")), key)
             for key in ("namespace", "name"))  # fmt: skip
    where, wanted = found
    return where, wanted


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """CDI's objecttransfer-validate webhook."""
    if old is None:
        return list(_spec_errors(dig(new, "spec")))
    return [] if new.get("spec") == old.get("spec") else [refused("spec", "ObjectTransfer spec is immutable")]


def _spec_errors(spec: Object) -> Iterator[FieldError]:
    target, kind = mapping(spec.get("target")), text(mapping(spec.get("source")), "kind")
    if target.get("namespace") is None and target.get("name") is None:
        yield required("spec.target", "Target namespace and/or target name must be supplied")
    if kind not in MOVED:
        yield wrong("spec.source.kind", kind, f'Unsupported kind "{kind}"')


OBJECTTRANSFER = Kind(
    "cdi.kubevirt.io", "v1beta1", "ObjectTransfer", "objecttransfers", False,
    short_names=("ot", "ots"),
    columns=(NAME, AGE, cell("Phase", lambda obj: dig(obj, "status").get("phase"))),
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
    has_generation=True,
)
