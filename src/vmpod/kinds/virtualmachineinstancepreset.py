"""VirtualMachineInstancePreset: deprecated by KubeVirt for years, refused here by name."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused

_INSTEAD = "presets are not supported: use a VirtualMachineInstancetype and a VirtualMachinePreference"
_WARNING = "kubevirt.io/{} VirtualMachineInstancePresets is now deprecated and will be removed in v2."


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    return [refused("spec", _INSTEAD)]


VIRTUALMACHINEINSTANCEPRESET = Kind(
    "kubevirt.io", "v1", "VirtualMachineInstancePreset", "virtualmachineinstancepresets", True,
    other_versions=("v1alpha3",),
    deprecated={version: _WARNING.format(version) for version in ("v1", "v1alpha3")},
    short_names=("vmipreset", "vmipresets"),
    categories=("all",),
    validate=all_of(metadata_rules(), _rules),
)
