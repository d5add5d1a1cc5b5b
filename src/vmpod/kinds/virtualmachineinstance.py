"""VirtualMachineInstance."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell, condition_status
from vmpod.kinds.parts.hotplug import plug_faults, steady
from vmpod.kinds.parts.machine_defaults import default_machine
from vmpod.kinds.parts.machine_rules import machine_errors
from vmpod.kinds.parts.machine_support import machine_warnings
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, entries, mapping, section, text
from vmpod.kinds.parts.versions import DEPRECATED
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, wrong
from vmpod.model.table import AGE, NAME

IMMUTABLE = "update of VMI object is restricted"


def default(obj: Object) -> Object:
    """All that KubeVirt's webhook writes into the spec of an instance."""
    default_machine(section(obj, "spec"), text(mapping(obj.get("metadata")), "name"))
    return obj


def begin(obj: Object) -> Object:
    """The phase, topology and memory that KubeVirt's webhook writes into a new instance's status."""
    cpu, guest = dig(obj, "spec", "domain", "cpu"), dig(obj, "spec", "domain", "memory").get("guest")
    obj["status"] = {
        "phase": "Pending",
        "currentCPUTopology": {key: cpu.get(key, 1) for key in ("cores", "sockets", "threads")},
    }
    if guest:
        obj["status"]["memory"] = {"guestAtBoot": guest, "guestCurrent": guest, "guestRequested": guest}
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    if mapping(new.get("metadata")).get("deletionTimestamp"):
        return []
    spec = mapping(new.get("spec"))
    if old is not None and spec == mapping(old.get("spec")):
        return []
    plugged = plug_faults(mapping(old.get("spec")), spec).items() if old is not None else ()
    return [*machine_errors(spec, "spec"), *(wrong("spec.volumes", name, fault) for name, fault in plugged)]


def _guard(new: Object, old: Object | None) -> list[FieldError]:
    """A running machine is changed through its VirtualMachine; only volumes may come and go."""
    if old is None or mapping(new.get("metadata")).get("deletionTimestamp"):
        return []
    same = steady(mapping(new.get("spec"))) == steady(mapping(old.get("spec")))
    return [] if same else [refused("spec", IMMUTABLE)]


def _address_cell(obj: Object) -> str | None:
    interfaces = entries(obj.get("status"), "interfaces")
    return text(interfaces[0], "ipAddress") or None if interfaces else None


VIRTUALMACHINEINSTANCE = Kind(
    "kubevirt.io", "v1", "VirtualMachineInstance", "virtualmachineinstances", True,
    other_versions=("v1alpha3",),
    deprecated=DEPRECATED,
    short_names=("vmi", "vmis"),
    categories=("all",),
    columns=(
        NAME,
        AGE,
        cell("Phase", lambda obj: dig(obj, "status").get("phase")),
        cell("IP", _address_cell),
        cell("NodeName", lambda obj: dig(obj, "status").get("nodeName")),
        cell("Ready", lambda obj: condition_status(obj, "Ready")),
        cell("Live-Migratable", lambda obj: condition_status(obj, "LiveMigratable"), wide=True),
        cell("Paused", lambda obj: condition_status(obj, "Paused"), wide=True),
    ),
    default=default,
    on_create=begin,
    validate=all_of(metadata_rules(), _rules),
    guard=_guard,
    warnings=lambda obj: machine_warnings(mapping(obj.get("spec")), "spec"),
    internal_status=True,
    has_generation=True,
)
