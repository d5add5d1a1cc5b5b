"""KubeVirt: the object that says what is installed."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.kubevirt_config import SUPPORT, config_errors
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping
from vmpod.kinds.parts.support import Tree, unsupported
from vmpod.kinds.parts.versions import DEPRECATED
from vmpod.model.meta import Object
from vmpod.model.status import FieldError
from vmpod.model.table import AGE, NAME

_SPEC: Tree = {"configuration": SUPPORT}


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    return list(config_errors(dig(new, "spec", "configuration"), "spec.configuration"))


def _warnings(obj: Object) -> list[str]:
    """What is said in vain: the engine is what it is."""
    return list(unsupported(mapping(obj.get("spec")), _SPEC, "spec"))


KUBEVIRT = Kind(
    "kubevirt.io", "v1", "KubeVirt", "kubevirts", True,
    other_versions=("v1alpha3",),
    deprecated=DEPRECATED,
    short_names=("kv", "kvs"),
    categories=("all",),
    columns=(NAME, AGE, cell("Phase", lambda obj: dig(obj, "status").get("phase"))),
    validate=all_of(metadata_rules(), _rules),
    warnings=_warnings,
    subresources=frozenset({"status"}),
    has_generation=True,
)
