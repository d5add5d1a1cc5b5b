"""PersistentVolume."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import access_modes, cell
from vmpod.kinds.parts.claims import VOLUME_MODES, access_mode_errors
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.pod_defaults import canonical_quantities
from vmpod.kinds.parts.reading import dig, fill, mapping, section, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required
from vmpod.model.table import AGE, NAME

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")


def default(obj: Object) -> Object:
    """Kept after release, a file system."""
    spec = section(obj, "spec")
    fill(spec, "persistentVolumeReclaimPolicy", "Retain")
    fill(spec, "volumeMode", "Filesystem")
    canonical_quantities(spec.get("capacity"))
    if isinstance(spec.get("hostPath"), dict) and spec["hostPath"].get("type") is None:
        spec["hostPath"]["type"] = ""
    return obj


def begin(obj: Object) -> Object:
    """A new one waits for its claim."""
    obj["status"] = {"phase": "Pending"}
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(new.get("spec"))
    modes = spec.get("accessModes")
    errors = [*checks.needed(spec, "capacity", "spec"), *checks.needed(spec, "accessModes", "spec")]
    if isinstance(modes, list):
        errors += access_mode_errors(modes, "spec.accessModes")
    capacity = dig(spec, "capacity")
    if capacity and "storage" not in capacity:
        errors.append(required("spec.capacity[storage]"))
    for name, value in capacity.items():
        errors += checks.quantity_errors(value, f"spec.capacity[{name}]")
    errors += checks.one_of(spec, "persistentVolumeReclaimPolicy", "spec", RECLAIM_POLICIES)
    return errors + checks.one_of(spec, "volumeMode", "spec", VOLUME_MODES)


def _status_cell(obj: Object) -> str:
    return "Terminating" if mapping(obj.get("metadata")).get("deletionTimestamp") else text(obj.get("status"), "phase")


def _claim_cell(obj: Object) -> str:
    claim = dig(obj, "spec", "claimRef")
    return f"{text(claim, 'namespace')}/{text(claim, 'name')}" if claim else ""


PERSISTENTVOLUME = Kind(
    "", "v1", "PersistentVolume", "persistentvolumes", False,
    short_names=("pv",),
    columns=(
        NAME,
        cell("Capacity", lambda obj: str(dig(obj, "spec", "capacity").get("storage", "0"))),
        cell("Access Modes", lambda obj: access_modes(dig(obj, "spec").get("accessModes"))),
        cell("Reclaim Policy", lambda obj: text(obj.get("spec"), "persistentVolumeReclaimPolicy")),
        cell("Status", _status_cell),
        cell("Claim", _claim_cell),
        cell("StorageClass", lambda obj: text(obj.get("spec"), "storageClassName")),
        cell("VolumeAttributesClass", lambda obj: text(obj.get("spec"), "volumeAttributesClassName") or "<unset>"),
        cell("Reason", lambda obj: text(obj.get("status"), "reason")),
        AGE,
        cell("VolumeMode", lambda obj: text(obj.get("spec"), "volumeMode") or "<unset>", wide=True),
    ),
    default=default,
    on_create=begin,
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
)
