"""VirtualMachineClone (KubeVirt)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import cell
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.patches import patch_errors
from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, not_supported, refused, wrong
from vmpod.model.table import NAME

_SOURCES = ("VirtualMachine", "VirtualMachineSnapshot")
_POLICIES = ("RandomizeNames", "PrefixTargetName")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_FILTERS = (
    (("annotationFilters",), "spec.annotations"), (("labelFilters",), "spec.labels"),
    (("template", "annotationFilters"), "spec.template.annotations"),
    (("template", "labelFilters"), "spec.template.labels"),
)  # fmt: skip


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's vmclone webhook."""
    spec = mapping(new.get("spec"))
    if old is not None:
        return [] if spec == mapping(old.get("spec")) else [refused("spec", "spec in immutable after creation")]
    checks = (_filter_errors, _source_errors, _mac_errors, patch_errors, _policy_errors)
    return [error for check in checks for error in check(spec)]


def _filter_errors(spec: Object) -> Iterator[FieldError]:
    for keys, field in _FILTERS:
        for one in dig(spec, *keys[:-1]).get(keys[-1]) or ():
            if one == "!":
                yield wrong(field, one, "a negation character is not a valid filter")
            for where, sign, called, rule in (
                (one[1:], "!", "negation", "NegationChar can be only used at the beginning of the filter"),
                (one[:-1], "*", "wildcard", "WildcardChar can be only at the end of the filter"),
            ):
                if sign in where:
                    said = f"cannot contain a {called} character ({sign}); FilterRules: {rule}"
                    yield wrong(field, one, f"{field} filter {one} is invalid: {said}")


def _source_errors(spec: Object) -> Iterator[FieldError]:
    source, target = dig(spec, "source"), dig(spec, "target")
    if text(source, "kind") not in _SOURCES:
        yield wrong("spec.Source.Kind", text(source, "kind"), "Source kind is not supported")
    if target and text(target, "kind") != "VirtualMachine":
        yield wrong("spec.Target.Kind", text(target, "kind"), "Target kind is not supported")
    if not text(source, "apiGroup"):
        yield wrong("spec.Source.APIGroup", "", "Source's APIGroup cannot be empty")
    if not text(source, "name"):
        yield wrong("spec.Source.Name", "", "Source's name cannot be empty")
    elif text(source, "kind") == text(target, "kind") and text(target, "name") == text(source, "name"):
        told = "Target name cannot be equal to source name when both are VirtualMachines"
        yield wrong("spec.target.name", text(target, "name"), told)


def _mac_errors(spec: Object) -> Iterator[FieldError]:
    for card, mac in dig(spec, "newMacAddresses").items():
        if mac and not _MAC.fullmatch(str(mac)):
            yield wrong(f"spec.newMacAddresses.{card}", mac, f"interface {card} has malformed MAC address ({mac}).")


def _policy_errors(spec: Object) -> Iterator[FieldError]:
    if text(spec, "volumeNamePolicy") not in ("", *_POLICIES):
        yield not_supported("spec.volumeNamePolicy", text(spec, "volumeNamePolicy"), _POLICIES)


def _target(obj: Object) -> str | None:
    return text(dig(obj, "spec", "target"), "name") or dig(obj, "status").get("targetName")


VIRTUALMACHINECLONE = Kind(
    "clone.kubevirt.io", "v1beta1", "VirtualMachineClone", "virtualmachineclones", True,
    other_versions=("v1alpha1",),
    short_names=("vmclone", "vmclones"),
    categories=("all",),
    columns=(
        NAME,
        cell("Phase", lambda obj: dig(obj, "status").get("phase")),
        cell("SourceVirtualMachine", lambda obj: dig(obj, "spec", "source").get("name")),
        cell("TargetVirtualMachine", _target),
    ),
    validate=all_of(metadata_rules(), _rules),
    subresources=frozenset({"status"}),
    has_generation=True,
)
