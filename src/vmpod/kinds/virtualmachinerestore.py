"""VirtualMachineRestore (KubeVirt)."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.patches import patch_errors
from vmpod.kinds.parts.reading import dig, entries, mapping, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, not_supported, refused, required, wrong
from vmpod.model.table import NAME

READINESS = ("StopTarget", "WaitGracePeriodAndFail", "FailImmediate", "WaitEventually")
OWNERSHIP = ("Vm", "None")
POLICIES = ("InPlace", "RandomizeNames", "PrefixTargetName")


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's vmrestore webhook."""
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
    if policy not in ("", *POLICIES):
        errors.append(wrong("spec.volumeRestorePolicy", policy, f'volume restore policy "{policy}" doesn\'t exist'))
    if ownership not in ("", *OWNERSHIP):
        told = f'volume ownership policy "{ownership}" doesn\'t exist'
        errors.append(wrong("spec.volumeOwnershipPolicy", ownership, told))
    return [*errors, *_override_errors(spec), *patch_errors(spec)]


def _override_errors(spec: Object) -> Iterator[FieldError]:
    """What is said of single volumes names one, and says something of it."""
    for number, one in enumerate(entries(spec, "volumeRestoreOverrides")):
        path = f"spec.volumeRestoreOverrides[{number}]"
        if not text(one, "volumeName"):
            yield required(f"{path}.volumeName", "must provide a volume name")
        if not any(one.get(key) for key in ("restoreName", "annotations", "labels")):
            yield required(path, "must provide at least one overriden field")


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
