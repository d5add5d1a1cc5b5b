"""ServiceAccount."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import entries
from vmpod.model.table import AGE, NAME

SERVICEACCOUNT = Kind(
    "", "v1", "ServiceAccount", "serviceaccounts", True,
    short_names=("sa",),
    columns=(NAME, cell("Secrets", lambda obj: len(entries(obj, "secrets")), "integer"), AGE),
    validate=metadata_rules(),
)
