"""`spec.instancetype` and `spec.preference` of a VirtualMachine: what they name, and the rules for changing them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmpod.kinds.parts.reading import fill, mapping, text
from vmpod.model.meta import Object
from vmpod.model.status import NOT_FOUND, FieldError, wrong

GROUP, VERSION = "instancetype.kubevirt.io", "v1beta1"
FAILURE_POLICIES = ("Ignore", "Reject")


@dataclass(frozen=True)
class Matcher:
    """One of the two matchers: its field, where the status remembers it, and the kinds that it may name."""

    field: str
    status: str
    title: str
    singular: str
    cluster_singular: str
    annotation: str

    @property
    def kinds(self) -> dict[str, str]:
        """The plural for each way to write the kind."""
        plain, cluster = self.singular, self.cluster_singular
        return {plain: f"{plain}s", f"{plain}s": f"{plain}s", cluster: f"{cluster}s", f"{cluster}s": f"{cluster}s"}

    def plural(self, kind: str) -> str | None:
        """The plural of what a matcher's `kind` names; a kind that is not said is the cluster's."""
        return self.kinds.get(kind.lower() or self.cluster_singular)

    def annotated(self, kind: str) -> str:
        """The annotation by which an instance tells what it was made with."""
        scope = "cluster-" if self.plural(kind) == f"{self.cluster_singular}s" else ""
        return f"kubevirt.io/{scope}{self.annotation}-name"


INSTANCETYPE = Matcher(
    "instancetype", "instancetypeRef", "InstancetypeMatcher", "virtualmachineinstancetype",
    "virtualmachineclusterinstancetype", "instancetype",
)
PREFERENCE = Matcher(
    "preference", "preferenceRef", "PreferenceMatcher", "virtualmachinepreference", "virtualmachineclusterpreference",
    "preference",
)
MATCHERS = (INSTANCETYPE, PREFERENCE)


def is_matched(spec: object) -> bool:
    """Whether the spec of a VirtualMachine leaves something to an instance type or a preference."""
    return any(mapping(mapping(spec).get(matcher.field)) for matcher in MATCHERS)


def default_matchers(spec: Object) -> None:
    """A matcher that names something without its kind means the cluster's."""
    for matcher in MATCHERS:
        wanted = mapping(spec.get(matcher.field))
        if text(wanted, "name"):
            fill(wanted, "kind", matcher.cluster_singular)


def matcher_errors(spec: Object, old: Object) -> Iterator[FieldError]:
    """KubeVirt's rules for both matchers, alone and after a change."""
    for matcher in MATCHERS:
        if isinstance(spec.get(matcher.field), dict):
            yield from _one_errors(spec[matcher.field], matcher.field)
            yield from _change_errors(spec[matcher.field], mapping(old.get(matcher.field)), matcher.field)


def _one_errors(wanted: Object, field: str) -> Iterator[FieldError]:
    path, source = f"spec.{field}", text(wanted, "inferFromVolume")
    if not text(wanted, "name") and not source:
        told = f"Either Name or InferFromVolume should be provided within the {field} matcher"
        yield FieldError(path, NOT_FOUND, told, wanted)
    for key in ("name", "kind"):
        if source and text(wanted, key):
            told = f"{key.title()} should not be provided when InferFromVolume is used within the {field} matcher"
            yield FieldError(f"{path}.{key}", NOT_FOUND, told, wanted[key])
    policy = wanted.get("inferFromVolumeFailurePolicy")
    if policy is not None and policy not in FAILURE_POLICIES:
        told = f"Invalid value '{policy}' for InferFromVolumeFailurePolicy"
        yield wrong(f"{path}.inferFromVolumeFailurePolicy", policy, told)


def _change_errors(new: Object, old: Object, field: str) -> Iterator[FieldError]:
    """A revision belongs to one object: who names another one drops it."""
    revision = text(old, "revisionName")
    if revision and text(new, "name") != text(old, "name") and text(new, "revisionName") == revision:
        told = "the Matcher Name has been updated without updating the RevisionName"
        yield wrong(f"spec.{field}.revisionName", revision, told)
