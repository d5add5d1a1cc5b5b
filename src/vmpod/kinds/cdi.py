"""CDI: the object that says that data volumes are served."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cdi_support import config_warnings
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping
from vmpod.kinds.parts.support import NOT_YET
from vmpod.model.meta import Object
from vmpod.model.table import AGE, NAME


def _warnings(obj: Object) -> list[str]:
    """Of the spec only what the CDIConfig says as well is acted on: the engine is what it is."""
    spec = mapping(obj.get("spec"))
    others = [f"spec.{key}: {NOT_YET}" for key, value in spec.items() if value and key != "config"]
    return [*others, *config_warnings(spec.get("config"), "spec.config")]


CDI = Kind(
    "cdi.kubevirt.io", "v1beta1", "CDI", "cdis", False,
    short_names=("cdi", "cdis"),
    columns=(NAME, AGE, cell("Phase", lambda obj: dig(obj, "status").get("phase"))),
    validate=metadata_rules(),
    warnings=_warnings,
    subresources=frozenset({"status"}),
    has_generation=True,
)
