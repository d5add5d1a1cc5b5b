"""PersistentVolumeClaim."""

from __future__ import annotations

from copy import deepcopy

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.claims import claim_cells, claim_spec_errors, storage_request
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.pod_defaults import canonical_resources
from vmpod.kinds.parts.reading import dig, fill, mapping, section, text
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused
from vmpod.model.table import AGE, NAME

_IMPORT = "cdi.kubevirt.io/storage.import"
_COPIED = {("", "PersistentVolumeClaim"): "pvc", ("snapshot.storage.k8s.io", "VolumeSnapshot"): "snapshot"}
IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def default(obj: Object) -> Object:
    """Volume mode Filesystem; one writer where the modes are left to the storage (CDI's label)."""
    spec = section(obj, "spec")
    if dig(obj, "metadata", "labels").get("cdi.kubevirt.io/applyStorageProfile") == "true":
        fill(spec, "accessModes", ["ReadWriteOnce"])
    fill(spec, "volumeMode", "Filesystem")
    canonical_resources(spec.get("resources"))
    return obj


def begin(obj: Object) -> Object:
    """A new one waits for its volume; that it is to be a copy is said as a DataVolume says it."""
    obj["status"] = {"phase": "Pending"}
    spec = section(obj, "spec")
    named = mapping(spec.get("dataSourceRef") or spec.get("dataSource"))
    if named:
        spec.setdefault("dataSourceRef", dict(named))
        spec.setdefault("dataSource", {key: value for key, value in named.items() if key != "namespace"})
    source = _COPIED.get((text(named, "apiGroup"), text(named, "kind")))
    if source:
        notes = section(obj, "metadata", "annotations")
        where = f"{named['namespace']}/" if named.get("namespace") else ""
        fill(notes, f"{_IMPORT}.source", source)
        fill(notes, f"{_IMPORT}.endpoint", f"{where}{named.get('name')}")
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    errors = list(claim_spec_errors(mapping(new.get("spec")), "spec"))
    return errors if old is None else [*errors, *_update_errors(new, old)]


def _update_errors(new: Object, old: Object) -> list[FieldError]:
    """A claim may grow, and what the server fills in may be filled in once."""
    after, before = deepcopy(mapping(new.get("spec"))), mapping(old.get("spec"))
    for key in ("volumeName", "storageClassName"):
        if not before.get(key):
            after.pop(key, None)
            if key in before:
                after[key] = before[key]
    wanted, had = storage_request(after), storage_request(before)
    is_bound = dig(old, "status").get("phase") == "Bound"
    if is_bound:
        after["resources"] = before.get("resources")
        after.pop("volumeAttributesClassName", None)
        before = {key: value for key, value in before.items() if key != "volumeAttributesClassName"}
    if after != before:
        return [refused("spec", IMMUTABLE)]
    if is_bound and wanted is not None and had is not None and wanted < had and wanted < _capacity(old):
        return [refused("spec.resources.requests.storage", "field can not be less than status.capacity")]
    return []


def _capacity(obj: Object) -> int:
    given = dig(obj, "status", "capacity").get("storage")
    if isinstance(given, (str, int)) and quantity.is_valid(given):
        return quantity.to_bytes(given)
    return storage_request(mapping(obj.get("spec"))) or 0


PERSISTENTVOLUMECLAIM = Kind(
    "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True,
    short_names=("pvc",),
    columns=(
        NAME,
        *claim_cells(),
        AGE,
        cell("VolumeMode", lambda obj: dig(obj, "spec").get("volumeMode") or "<unset>", wide=True),
    ),
    default=default,
    on_create=begin,
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
)
