"""VirtualMachineInstanceReplicaSet."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.machine_defaults import default_template
from vmpod.kinds.parts.machine_support import machine_warnings
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, section
from vmpod.kinds.parts.replicas import COLUMNS, default_replicas, instance_errors, selector_errors
from vmpod.kinds.parts.versions import DEPRECATED
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required


def default(obj: Object) -> Object:
    """One replica; architecture and machine type of its instances."""
    spec = default_replicas(obj)
    if isinstance(spec.get("template"), dict):
        default_template(section(spec, "template", "spec"))
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(new.get("spec"))
    if not isinstance(spec.get("template"), dict):
        return [required("spec.template", "missing virtual machine template.")]
    errors = list(selector_errors(spec, dig(spec, "template", "metadata").get("labels")))
    return [*errors, *instance_errors(dig(spec, "template"), "spec.template")]


VIRTUALMACHINEINSTANCEREPLICASET = Kind(
    "kubevirt.io", "v1", "VirtualMachineInstanceReplicaSet", "virtualmachineinstancereplicasets", True,
    other_versions=("v1alpha3",),
    deprecated=DEPRECATED,
    short_names=("vmirs", "vmirss"),
    categories=("all",),
    columns=COLUMNS,
    default=default,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: machine_warnings(dig(obj, "spec", "template", "spec"), "spec.template.spec"),
    subresources=frozenset({"status", "scale"}),
    has_generation=True,
)
