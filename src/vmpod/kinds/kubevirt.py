"""KubeVirt: the object that says what is installed."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping
from vmpod.kinds.parts.support import NOT_YET
from vmpod.kinds.parts.versions import DEPRECATED
from vmpod.model.meta import Object
from vmpod.model.table import AGE, NAME


def _warnings(obj: Object) -> list[str]:
    """Nothing of the configuration is acted on: the engine is what it is."""
    spec = mapping(obj.get("spec"))
    return [f"spec.{key}: {NOT_YET}" for key, value in spec.items() if value]


KUBEVIRT = Kind(
    "kubevirt.io", "v1", "KubeVirt", "kubevirts", True,
    other_versions=("v1alpha3",),
    deprecated=DEPRECATED,
    short_names=("kv", "kvs"),
    categories=("all",),
    columns=(NAME, AGE, cell("Phase", lambda obj: dig(obj, "status").get("phase"))),
    validate=metadata_rules(),
    warnings=_warnings,
    subresources=frozenset({"status"}),
    has_generation=True,
)
