"""CDIConfig: where the upload proxy is, among other things."""

from __future__ import annotations

from vmpod.kinds.kind import Kind
from vmpod.kinds.parts.cdi_support import config_warnings
from vmpod.kinds.parts.metadata import metadata_rules

CDICONFIG = Kind(
    "cdi.kubevirt.io", "v1beta1", "CDIConfig", "cdiconfigs", False,
    validate=metadata_rules(),
    warnings=lambda obj: list(config_warnings(obj.get("spec"), "spec")),
    subresources=frozenset({"status"}),
    has_generation=True,
)
