"""ReplicaSet."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import cell, template_columns
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.pod_defaults import default_pod_spec
from vmpod.kinds.parts.pod_rules import template_errors
from vmpod.kinds.parts.pod_support import pod_warnings
from vmpod.kinds.parts.reading import dig, mapping, number, section
from vmpod.model.meta import Object
from vmpod.model.status import FieldError
from vmpod.model.table import AGE, NAME


def default(obj: Object) -> Object:
    """One replica, and the defaults of the pod template."""
    spec = section(obj, "spec")
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    default_pod_spec(section(spec, "template", "spec"))
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(new.get("spec"))
    errors = [*template_errors(new), *checks.not_negative(spec, ("replicas", "minReadySeconds"), "spec")]
    if old is not None:
        errors += checks.immutable(spec, old.get("spec"), ("selector",), "spec")
    return errors


REPLICASET = Kind(
    "apps", "v1", "ReplicaSet", "replicasets", True,
    short_names=("rs",),
    categories=("all",),
    columns=(
        NAME,
        cell("Desired", lambda obj: number(obj.get("spec"), "replicas") or 0, "integer"),
        cell("Current", lambda obj: number(obj.get("status"), "replicas") or 0, "integer"),
        cell("Ready", lambda obj: number(obj.get("status"), "readyReplicas") or 0, "integer"),
        AGE,
        *template_columns(),
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: pod_warnings(dig(obj, "spec", "template", "spec"), "spec.template.spec"),
    subresources=frozenset({"status", "scale"}),
    has_generation=True,
    selectable=("status.replicas",),
)
