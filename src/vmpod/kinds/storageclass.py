"""StorageClass."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, fill, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused
from vmpod.model.table import AGE, NAME, Column

DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
_BETA_ANNOTATION = "storageclass.beta.kubernetes.io/is-default-class"


def is_default(obj: Object) -> bool:
    """Whether claims that name no class get this one."""
    notes = dig(obj, "metadata", "annotations")
    return "true" in (notes.get(DEFAULT_ANNOTATION), notes.get(_BETA_ANNOTATION))


def default(obj: Object) -> Object:
    """Volumes go with their claim and are bound at once."""
    fill(obj, "reclaimPolicy", "Delete")
    fill(obj, "volumeBindingMode", "Immediate")
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    errors = [
        *checks.needed(new, "provisioner", ""),
        *checks.one_of(new, "reclaimPolicy", "", ("Delete", "Retain")),
        *checks.one_of(new, "volumeBindingMode", "", ("Immediate", "WaitForFirstConsumer")),
    ]
    if text(new, "provisioner"):
        errors += checks.by_rule("provisioner", text(new, "provisioner").lower(), names.label_key_faults)
    errors = [FieldError(e.path.removeprefix("."), e.type, e.message, e.value) for e in errors]
    return errors if old is None else [*errors, *_update_errors(new, old)]


def _update_errors(new: Object, old: Object) -> Iterator[FieldError]:
    for key in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(key) or {}) != (old.get(key) or {}):
            yield refused(key, f"updates to {key} are forbidden.")
    yield from checks.immutable(new, old, ("volumeBindingMode",))


STORAGECLASS = Kind(
    "storage.k8s.io", "v1", "StorageClass", "storageclasses", False,
    short_names=("sc",),
    columns=(
        Column(
            "Name", format="name", description=NAME.description,
            value=lambda obj, now: text(obj["metadata"], "name") + (" (default)" if is_default(obj) else ""),
        ),
        cell("Provisioner", lambda obj: text(obj, "provisioner")),
        cell("ReclaimPolicy", lambda obj: text(obj, "reclaimPolicy") or "Delete"),
        cell("VolumeBindingMode", lambda obj: text(obj, "volumeBindingMode") or "Immediate"),
        cell("AllowVolumeExpansion", lambda obj: str(bool(obj.get("allowVolumeExpansion"))).lower()),
        AGE,
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
)
