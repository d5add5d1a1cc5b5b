"""MigrationPolicy: how the machines that it selects move."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import mapping, number
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, wrong

_BANDWIDTH = "bandwidthPerMigration"
_TIME = "completionTimeoutPerGiB"


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's webhook for migration policies."""
    spec = mapping(new.get("spec"))
    errors = []
    if (number(spec, _TIME) or 0) < 0:
        errors.append(wrong(f"spec.{_TIME}", spec[_TIME], "must not be negative"))
    bandwidth = spec.get(_BANDWIDTH)
    if bandwidth is not None and quantity.is_valid(bandwidth) and quantity.parse(bandwidth) < 0:
        errors.append(wrong(f"spec.{_BANDWIDTH}", bandwidth, "must not be negative"))
    return errors


def _warnings(obj: Object) -> list[str]:
    spec = mapping(obj.get("spec"))
    why = {
        "allowPostCopy": "a machine is never without half of its memory here: it moves by pre-copy only",
        "allowWorkloadDisruption": "a machine that writes its memory too quickly stays where it was, it is not paused",
    }
    return [f"spec.{key}: {text}" for key, text in why.items() if spec.get(key)]


MIGRATIONPOLICY = Kind(
    "migrations.kubevirt.io", "v1alpha1", "MigrationPolicy", "migrationpolicies", False,
    categories=("all",),
    validate=all_of(metadata_rules(), _rules),
    warnings=_warnings,
    subresources=frozenset({"status"}),
    has_generation=True,
)
