"""Claims to storage, as PersistentVolumeClaims say them and DataVolumes repeat them."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import access_modes, cell
from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model import names, quantity
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, not_supported, refused, required, wrong
from vmpod.model.table import Column

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def storage_request(spec: Object) -> int | None:
    """Bytes asked for; None when that is not said or no quantity."""
    given = dig(spec, "resources", "requests").get("storage")
    return quantity.to_bytes(given) if isinstance(given, (str, int)) and quantity.is_valid(given) else None


def claim_spec_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Access modes, size, mode and class of a claim."""
    modes = spec.get("accessModes")
    if not isinstance(modes, list) or not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    else:
        yield from access_mode_errors(modes, f"{path}.accessModes")
    yield from storage_errors(spec, path)
    yield from checks.one_of(spec, "volumeMode", path, VOLUME_MODES)
    if text(spec, "storageClassName"):
        yield from checks.by_rule(f"{path}.storageClassName", spec["storageClassName"], names.subdomain_faults)


def access_mode_errors(modes: list[object], path: str) -> Iterator[FieldError]:
    """Only known modes, and ReadWriteOncePod alone."""
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield not_supported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield refused(path, "may not use ReadWriteOncePod with other access modes")


def storage_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """How much is asked for: something."""
    given = dig(spec, "resources", "requests").get("storage")
    here = f"{path}.resources[storage]"
    if given is None:
        yield required(here)
    elif not isinstance(given, (str, int, float)) or not quantity.is_valid(given):
        yield wrong(here, given, quantity.RULE)
    elif quantity.parse(given) <= 0:
        yield wrong(here, str(given), "must be greater than zero")


def claim_cells() -> tuple[Column, ...]:
    """Status to VolumeAttributesClass of `kubectl get pvc`."""
    return (
        cell("Status", _status_cell),
        cell("Volume", lambda obj: text(obj.get("spec"), "volumeName")),
        cell("Capacity", lambda obj: _bound(obj) and str(dig(obj, "status", "capacity").get("storage", "0"))),
        cell("Access Modes", lambda obj: _bound(obj) and access_modes(dig(obj, "status").get("accessModes"))),
        cell("StorageClass", lambda obj: text(obj.get("spec"), "storageClassName")),
        cell("VolumeAttributesClass", lambda obj: text(obj.get("spec"), "volumeAttributesClassName") or "<unset>"),
    )


def _status_cell(obj: Object) -> str:
    return "Terminating" if mapping(obj.get("metadata")).get("deletionTimestamp") else text(obj.get("status"), "phase")


def _bound(obj: Object) -> str:
    """Capacity and modes are shown of claims that have a volume."""
    return text(obj.get("spec"), "volumeName")
