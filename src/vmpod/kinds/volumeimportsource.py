"""VolumeImportSource (CDI): an image for the claims that name it."""

from __future__ import annotations

from vmpod.kinds.datavolume import IMPORTED, import_errors
from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import mapping
from vmpod.kinds.parts.support import unsupported
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """CDI's populator-validate webhook."""
    spec = mapping(new.get("spec"))
    if old is not None and spec != mapping(old.get("spec")):
        return [refused("spec", "Cannot update VolumeImportSource Spec")]
    return list(import_errors(spec))


VOLUMEIMPORTSOURCE = Kind(
    "cdi.kubevirt.io", "v1beta1", "VolumeImportSource", "volumeimportsources", True,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: list(unsupported(obj.get("spec"), IMPORTED, "spec")),
    has_generation=True,
)
