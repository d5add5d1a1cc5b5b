"""CDI: the object that says that data volumes are served."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping
from vmpod.kinds.parts.support import NOT_YET
from vmpod.model.meta import Object
from vmpod.model.table import AGE, NAME


def _warnings(obj: Object) -> list[str]:
    """Nothing of the configuration is acted on: the engine is what it is."""
    return [f"spec.{key}: {NOT_YET}" for key, value in mapping(obj.get("spec")).items() if value]


CDI = Kind(
    "cdi.kubevirt.io", "v1beta1", "CDI", "cdis", False,
    short_names=("cdi", "cdis"),
    columns=(NAME, AGE, cell("Phase", lambda obj: dig(obj, "status").get("phase"))),
    validate=metadata_rules(),
    warnings=_warnings,
    subresources=frozenset({"status"}),
    has_generation=True,
)
