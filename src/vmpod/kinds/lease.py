"""Lease."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, number, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong
from vmpod.model.table import AGE, NAME


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    spec, errors = dig(new, "spec"), []
    duration, transitions = number(spec, "leaseDurationSeconds"), number(spec, "leaseTransitions")
    if duration is not None and duration <= 0:
        errors.append(wrong("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        errors.append(wrong("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return errors


LEASE = Kind(
    "coordination.k8s.io", "v1", "Lease", "leases", True,
    columns=(NAME, cell("Holder", lambda obj: text(dig(obj, "spec"), "holderIdentity")), AGE),
    validate=all_of(metadata_rules(), _rules),
)
