"""VirtualMachineClusterInstancetype: a size of machines by name, for all namespaces."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.instancetypes import rules, warnings
from vmpod.kinds.parts.matchers import GROUP, VERSION
from vmpod.kinds.parts.metadata import metadata_rules

VIRTUALMACHINECLUSTERINSTANCETYPE = Kind(
    GROUP, VERSION, "VirtualMachineClusterInstancetype", "virtualmachineclusterinstancetypes", False,
    short_names=("vmclusterinstancetype", "vmclusterinstancetypes", "vmcf", "vmcfs"),
    validate=all_of(metadata_rules(), rules),
    warnings=warnings,
    has_generation=True,
)
