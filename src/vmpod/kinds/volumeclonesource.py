"""VolumeCloneSource (CDI): a claim or a snapshot that the claims which name it are copies of."""

from __future__ import annotations

from vmpod.kinds.datavolume import PREALLOCATION
from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.support import ACTED, Tree, unsupported

_SPEC: Tree = {"source": ACTED, "preallocation": PREALLOCATION}


VOLUMECLONESOURCE = Kind(
    "cdi.kubevirt.io", "v1beta1", "VolumeCloneSource", "volumeclonesources", True,
    validate=metadata_rules(),
    warnings=lambda obj: list(unsupported(obj.get("spec"), _SPEC, "spec")),
    has_generation=True,
)
