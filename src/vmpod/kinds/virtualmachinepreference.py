"""VirtualMachinePreference: what a guest likes best, by name, for one namespace."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.matchers import GROUP, VERSION
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.preference_rules import rules, warnings

VIRTUALMACHINEPREFERENCE = Kind(
    GROUP, VERSION, "VirtualMachinePreference", "virtualmachinepreferences", True,
    short_names=("vmpref", "vmprefs", "vmp", "vmps"),
    categories=("all",),
    validate=all_of(metadata_rules(), rules),
    warnings=warnings,
    has_generation=True,
)
