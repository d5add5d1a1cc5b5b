"""VirtualMachineInstancetype: a size of machines by name, for one namespace."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.instancetypes import rules, warnings
from vmpod.kinds.parts.matchers import GROUP, VERSION
from vmpod.kinds.parts.metadata import metadata_rules

VIRTUALMACHINEINSTANCETYPE = Kind(
    GROUP, VERSION, "VirtualMachineInstancetype", "virtualmachineinstancetypes", True,
    short_names=("vminstancetype", "vminstancetypes", "vmf", "vmfs"),
    categories=("all",),
    validate=all_of(metadata_rules(), rules),
    warnings=warnings,
    has_generation=True,
)
