"""VirtualMachineRestore (KubeVirt)."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.patches import patch_errors
from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, not_supported, refused, wrong
from vmpod.model.table import NAME

READINESS = ("StopTarget", "WaitGracePeriodAndFail", "FailImmediate", "WaitEventually")
OWNERSHIP = ("Vm", "None")
POLICIES = ("RandomizeNames", "PrefixTargetName")


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's vmrestore webhook; what this release does not do is refused by name."""
    spec = mapping(new.get("spec"))
    if old is not None:
        return [] if spec == mapping(old.get("spec")) else [refused("spec", "spec in immutable after creation")]
    target, errors = dig(spec, "target"), []
    if text(target, "apiGroup") != "kubevirt.io":
        errors.append(wrong("spec.target.apiGroup", text(target, "apiGroup"), "invalid apiGroup"))
    elif text(target, "kind") != "VirtualMachine":
        errors.append(wrong("spec.target.kind", text(target, "kind"), "invalid kind"))
    if text(spec, "targetReadinessPolicy") not in ("", *READINESS):
        errors.append(not_supported("spec.targetReadinessPolicy", text(spec, "targetReadinessPolicy"), READINESS))
    policy, ownership = text(spec, "volumeRestorePolicy"), text(spec, "volumeOwnershipPolicy")
    if policy == "InPlace":
        told = "InPlace is not supported yet: use RandomizeNames or PrefixTargetName"
        errors.append(refused("spec.volumeRestorePolicy", told))
    elif policy not in ("", *POLICIES):
        errors.append(not_supported("spec.volumeRestorePolicy", policy, POLICIES))
    if ownership not in ("", *OWNERSHIP):
        errors.append(not_supported("spec.volumeOwnershipPolicy", ownership, OWNERSHIP))
    if spec.get("volumeRestoreOverrides"):
        errors.append(refused("spec.volumeRestoreOverrides", "not supported yet"))
    return [*errors, *patch_errors(spec)]


VIRTUALMACHINERESTORE = Kind(
    "snapshot.kubevirt.io", "v1beta1", "VirtualMachineRestore", "virtualmachinerestores", True,
    other_versions=("v1alpha1",),
    short_names=("vmrestore", "vmrestores"),
    categories=("all",),
    columns=(
        NAME,
        cell("TargetKind", lambda obj: dig(obj, "spec", "target").get("kind")),
        cell("TargetName", lambda obj: dig(obj, "spec", "target").get("name")),
        cell("Complete", lambda obj: dig(obj, "status").get("complete"), "boolean"),
        cell("RestoreTime", lambda obj: dig(obj, "status").get("restoreTime")),
    ),
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
    has_generation=True,
)
