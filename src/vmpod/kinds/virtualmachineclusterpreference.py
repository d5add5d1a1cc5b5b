"""VirtualMachineClusterPreference: what a guest likes best, by name, for all namespaces."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.matchers import GROUP, VERSION
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.preference_rules import rules, warnings

VIRTUALMACHINECLUSTERPREFERENCE = Kind(
    GROUP, VERSION, "VirtualMachineClusterPreference", "virtualmachineclusterpreferences", False,
    short_names=("vmcp", "vmcps"),
    validate=all_of(metadata_rules(), rules),
    warnings=warnings,
    has_generation=True,
)
