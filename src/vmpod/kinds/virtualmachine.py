"""VirtualMachine."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell, condition_status
from vmpod.kinds.parts.machine_defaults import default_machine, default_template
from vmpod.kinds.parts.machine_rules import machine_errors
from vmpod.kinds.parts.machine_support import machine_warnings
from vmpod.kinds.parts.matchers import default_matchers, is_matched, matcher_errors
from vmpod.kinds.parts.metadata import annotation_errors, label_errors, metadata_rules
from vmpod.kinds.parts.reading import dig, entries, indexed, mapping, section, text
from vmpod.kinds.parts.support import ACTED, OneOf, Tree, refusals, unsupported
from vmpod.kinds.parts.versions import DEPRECATED
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, required, wrong
from vmpod.model.table import AGE, NAME

RUN_STRATEGIES = ("Halted", "Manual", "Always", "RerunOnFailure", "Once", "WaitAsReceiver")
BOTH = (
    "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy instead"
)
RECEIVER = "WaitAsReceiver is not supported: no machine is received from another cluster"
NEITHER = "One of Running or RunStrategy must be specified"
RUNNING_WARNING = "spec.running is deprecated, please use spec.runStrategy instead."
_SPEC: Tree = {
    "instancetype": ACTED, "preference": ACTED,
    "running": ACTED, "template": ACTED, "runStrategy": ACTED, "dataVolumeTemplates": ACTED,
    "updateVolumesStrategy": OneOf(("Replacement",)),
}


def default(obj: Object) -> Object:
    """Architecture and machine type; the rest is written into the instance when it is made.

    A preference has its say about both before: then the server, which looks it up, writes them.
    """
    spec = section(obj, "spec")
    default_matchers(spec)
    template = spec.get("template")
    if isinstance(template, dict) and not mapping(spec.get("preference")):
        default_template(section(template, "spec"))
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's vms-admitter: the template is judged as the instance that would be made of it."""
    if mapping(new.get("metadata")).get("deletionTimestamp"):
        return []
    spec = mapping(new.get("spec"))
    errors = [*_run_errors(spec), *refusals(spec, _SPEC, "spec"), *matcher_errors(spec, dig(old, "spec"))]
    if not isinstance(spec.get("template"), dict):
        return [*errors, required("spec.template", "missing virtual machine template.")]
    meta = dig(spec, "template", "metadata")
    errors += label_errors(meta.get("labels"), "spec.template.metadata.labels")
    errors += annotation_errors(meta.get("annotations"), "spec.template.metadata.annotations")
    if is_matched(spec):  # the server judges it with what its instance type and preference say
        return [*errors, *_data_volume_errors(spec)]
    machine = deepcopy(dig(spec, "template", "spec"))
    default_machine(machine, text(mapping(new.get("metadata")), "name"))
    return [*errors, *machine_errors(machine, "spec.template.spec"), *_data_volume_errors(spec)]


def _run_errors(spec: Object) -> Iterator[FieldError]:
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is not None and strategy is not None:
        yield wrong("spec.running", running, BOTH)
    if running is None and strategy is None:
        yield wrong("spec.running", None, NEITHER)
    if strategy is not None and strategy not in RUN_STRATEGIES:
        yield wrong("spec.runStrategy", strategy, f"Invalid RunStrategy ({strategy})")
    if strategy == "WaitAsReceiver":
        yield wrong("spec.runStrategy", strategy, RECEIVER)


def _data_volume_errors(spec: Object) -> Iterator[FieldError]:
    """Each template has a name and a volume that uses it."""
    volumes = entries(dig(spec, "template", "spec"), "volumes")
    used = {text(dig(volume, "persistentVolumeClaim"), "claimName") for volume in volumes}
    used |= {text(dig(volume, "dataVolume"), "name") for volume in volumes}
    for here, template in indexed(spec, "dataVolumeTemplates", "spec"):
        name = text(mapping(template.get("metadata")), "name")
        if not name:
            yield required(f"{here}.name", f"'name' field must not be empty for DataVolumeTemplate entry {here}.")
        elif name not in used:
            told = f"DataVolumeTemplate entry {here} must be referenced in the VMI template's 'volumes' list"
            yield required(here, told)


def _warnings(obj: Object) -> list[str]:
    spec = mapping(obj.get("spec"))
    deprecated = [RUNNING_WARNING] if spec.get("running") is not None else []
    ignored = machine_warnings(dig(spec, "template", "spec"), "spec.template.spec")
    return [*deprecated, *unsupported(spec, _SPEC, "spec"), *ignored]


VIRTUALMACHINE = Kind(
    "kubevirt.io", "v1", "VirtualMachine", "virtualmachines", True,
    other_versions=("v1alpha3",),
    deprecated=DEPRECATED,
    short_names=("vm", "vms"),
    categories=("all",),
    columns=(
        NAME,
        AGE,
        cell("Status", lambda obj: dig(obj, "status").get("printableStatus")),
        cell("Ready", lambda obj: condition_status(obj, "Ready")),
    ),
    default=default,
    validate=all_of(metadata_rules(), _rules),
    warnings=_warnings,
    subresources=frozenset({"status"}),
    has_generation=True,
)
