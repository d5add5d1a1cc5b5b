"""ConfigMap."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.file_rules import file_errors, frozen_errors
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import mapping
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong
from vmpod.model.table import AGE, NAME


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    data, binary = mapping(new.get("data")), mapping(new.get("binaryData"))
    errors = file_errors(new, "data") + file_errors(new, "binaryData", encoded=True)
    errors += [
        wrong(f"data[{key}]", key, "duplicate of key present in binaryData") for key in data if key in binary
    ]
    return errors + frozen_errors(new, old, ("data", "binaryData"))


CONFIGMAP = Kind(
    "", "v1", "ConfigMap", "configmaps", True,
    short_names=("cm",),
    columns=(
        NAME,
        cell("Data", lambda obj: len(mapping(obj.get("data"))) + len(mapping(obj.get("binaryData"))), "integer"),
        AGE,
    ),
    validate=all_of(metadata_rules(), _rules),
)
