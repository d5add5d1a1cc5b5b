"""What VirtualMachineInstanceReplicaSets and VirtualMachinePools share: replicas, a selector, a template."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.machine_defaults import default_machine
from vmpod.kinds.parts.machine_rules import machine_errors
from vmpod.kinds.parts.metadata import annotation_errors, label_errors
from vmpod.kinds.parts.reading import dig, mapping, number, section, strings
from vmpod.model import selectors
from vmpod.model.meta import Object
from vmpod.model.status import ApiError, FieldError, wrong
from vmpod.model.table import AGE, NAME

COLUMNS = (
    NAME,
    cell("Desired", lambda obj: number(obj.get("spec"), "replicas") or 0, "integer"),
    cell("Current", lambda obj: number(obj.get("status"), "replicas") or 0, "integer"),
    cell("Ready", lambda obj: number(obj.get("status"), "readyReplicas") or 0, "integer"),
    AGE,
)


def default_replicas(obj: Object) -> Object:
    """One replica; the spec."""
    spec = section(obj, "spec")
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    return spec


def selector_errors(spec: Object, labels: object) -> Iterator[FieldError]:
    """A count, and a selector that the template's labels match."""
    yield from checks.not_negative(spec, ("replicas",), "spec")
    try:
        wanted = selectors.from_object(mapping(spec.get("selector")))
    except (ApiError, TypeError, ValueError) as error:
        yield wrong("spec.selector", spec.get("selector"), str(error))
        return
    if not wanted.matches(strings({"labels": labels}, "labels")):
        yield wrong("spec.selector", spec.get("selector"), "selector does not match labels.")


def instance_errors(template: Object, path: str) -> Iterator[FieldError]:
    """Faults of the instances that a template makes."""
    meta, machine = dig(template, "metadata"), deepcopy(dig(template, "spec"))
    yield from label_errors(meta.get("labels"), f"{path}.metadata.labels")
    yield from annotation_errors(meta.get("annotations"), f"{path}.metadata.annotations")
    default_machine(machine, "")
    yield from machine_errors(machine, f"{path}.spec")
