"""VolumeUploadSource (CDI): the claims that name it wait for an upload."""

from __future__ import annotations

from vmpod.kinds.datavolume import PREALLOCATION, content_errors
from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import mapping
from vmpod.kinds.parts.support import ACTED, Tree, unsupported
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused

_SPEC: Tree = {"contentType": ACTED, "preallocation": PREALLOCATION}


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """CDI's populator-validate webhook."""
    spec = mapping(new.get("spec"))
    if old is not None and spec != mapping(old.get("spec")):
        return [refused("spec", "Cannot update VolumeUploadSource Spec")]
    return list(content_errors(spec))


VOLUMEUPLOADSOURCE = Kind(
    "cdi.kubevirt.io", "v1beta1", "VolumeUploadSource", "volumeuploadsources", True,
    validate=all_of(metadata_rules(), _rules),
    warnings=lambda obj: list(unsupported(obj.get("spec"), _SPEC, "spec")),
    has_generation=True,
)
