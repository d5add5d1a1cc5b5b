"""Admission of machines that leave things to an instance type or a preference: inferred, looked up, judged whole.

After KubeVirt's pkg/instancetype (infer, webhooks/vm), with its texts.
"""

from __future__ import annotations

import orjson

from vmpod.api.call import Call
from vmpod.kinds import VIRTUALMACHINE, find
from vmpod.kinds.parts.instancetypes import expanded
from vmpod.kinds.parts.machine_defaults import default_template
from vmpod.kinds.parts.matched import Get, Match, instancetype_of, matches, preference_of
from vmpod.kinds.parts.matchers import GROUP, MATCHERS, Matcher, default_matchers, is_matched, matcher_errors
from vmpod.kinds.parts.preference_rules import requirement_errors
from vmpod.kinds.parts.preferences import apply_platform, apply_storage_class
from vmpod.kinds.parts.reading import dig, entries, mapping, section, text
from vmpod.model import meta, status
from vmpod.model.meta import Object


def admit(call: Call, vm: Object, old: Object | None) -> None:
    """Complete a machine by what its matchers lead to. Raises ApiError when that cannot be."""
    spec = mapping(vm.get("spec"))
    if not is_matched(spec) or meta.is_deleting(vm) or list(matcher_errors(spec, dig(old, "spec"))):
        return  # what is wrong with a matcher by itself, validation tells
    if not isinstance(spec.get("template"), dict):
        return
    _infer(call, spec)
    found = matches(vm, _reader(call))
    if faults := [_missing(one) for one in found if one.problem]:
        raise status.invalid(VIRTUALMACHINE.qualified, call.name, faults)
    _complete(spec, preference_of(found))
    _judge(call, vm, found)


def _reader(call: Call) -> Get:
    """Reads objects of the store for the pure part."""

    def read(resource: tuple[str, str, str], namespace: str, name: str) -> Object | None:
        kind = find(*resource)
        record = call.store.get(kind.resource, namespace, name) if kind is not None else None
        return orjson.loads(record.value) if record else None

    return read


def _missing(one: Match) -> status.FieldError:
    told = f"Failure to find {one.matcher.field}: {one.problem}"
    return status.FieldError(f"spec.{one.matcher.field}", status.NOT_FOUND, told, text(one.wanted, "name"))


def _complete(spec: Object, preference: Object | None) -> None:
    """What is written into the machine itself, because it must not change when it is started again."""
    inside = section(spec, "template", "spec")
    if preference is not None:
        apply_platform(preference, inside)
        apply_storage_class(preference, spec)
    default_template(inside)


def _judge(call: Call, vm: Object, found: tuple[Match, ...]) -> None:
    """Every fault of the machine as it will run."""
    instancetype, preference = instancetype_of(found), preference_of(found)
    whole, faults = expanded(vm, instancetype, preference)
    if not faults and preference is not None:
        faults = list(requirement_errors(instancetype, preference, dig(whole, "spec", "template", "spec")))
    faults = faults or VIRTUALMACHINE.validate(whole, None)
    if faults:
        raise status.invalid(VIRTUALMACHINE.qualified, call.name, faults)
    told = VIRTUALMACHINE.warnings(vm)
    call.warnings.extend(one for one in VIRTUALMACHINE.warnings(whole) if one not in told)


def expand(call: Call, vm: Object) -> Object:
    """The machine that says itself what its matchers lead to. Raises ApiError."""
    if not is_matched(vm.get("spec")):
        return vm
    found = matches(vm, _reader(call))
    for one in found:
        if one.problem:
            raise status.ApiError(404, "NotFound", one.problem)
    whole, faults = expanded(vm, instancetype_of(found), preference_of(found))
    if faults:
        named = ", ".join(fault.path for fault in faults)
        raise status.bad_request(f"VM field(s) {named} conflicts with selected instance type")
    return whole


# --- what a volume says of itself ---


_CLAIMS = ("", "v1", "persistentvolumeclaims")
_DATAVOLUMES = ("cdi.kubevirt.io", "v1beta1", "datavolumes")
_DATASOURCES = ("cdi.kubevirt.io", "v1beta1", "datasources")


class _Unsaid(Exception):
    """A volume that does not say it; a policy may ignore that."""


def _infer(call: Call, spec: Object) -> None:
    """Replace `inferFromVolume` by what the volume's labels name."""
    for matcher in MATCHERS:
        wanted = mapping(spec.get(matcher.field))
        source, ignores = text(wanted, "inferFromVolume"), wanted.get("inferFromVolumeFailurePolicy") == "Ignore"
        if not source:
            continue
        try:
            named = _Inference(call, matcher).of_volume(spec, source)
        except _Unsaid as why:
            if not ignores:
                raise status.bad_request(str(why)) from None
            del spec[matcher.field]
            continue
        if ignores and matcher.field == "instancetype":
            section(spec, "template", "spec", "domain").pop("memory", None)
        spec[matcher.field] = named
    default_matchers(spec)


class _Inference:
    """Follows one volume of a machine to the labels that name its defaults."""

    def __init__(self, call: Call, matcher: Matcher) -> None:
        self._call, self._read = call, _reader(call)
        self._label = f"{GROUP}/default-{matcher.field}"

    def of_volume(self, spec: Object, name: str) -> Object:
        for volume in entries(dig(spec, "template", "spec"), "volumes"):
            if text(volume, "name") != name:
                continue
            if claim := text(dig(volume, "persistentVolumeClaim"), "claimName"):
                return self._of_claim(self._call.namespace, claim)
            if volume.get("dataVolume") is not None:
                return self._of_datavolume(spec, text(dig(volume, "dataVolume"), "name"))
            raise _Unsaid(f"unable to infer defaults from volume {name} as type is not supported")
        raise status.bad_request(f"unable to find volume {name} to infer defaults")

    def _named(self, obj: Object) -> Object | None:
        held = meta.labels(obj)
        if self._label not in held:
            return None
        kind = held.get(f"{self._label}-kind")
        return {"name": held[self._label]} | ({"kind": kind} if kind else {})

    def _of_claim(self, namespace: str, name: str) -> Object:
        found = self._read(_CLAIMS, namespace, name)
        if found is None:
            raise status.bad_request(f'persistentvolumeclaims "{name}" not found')
        named = self._named(found)
        if named is None:
            raise _Unsaid(f"unable to find required {self._label} label on the volume")
        return named

    def _of_datavolume(self, spec: Object, name: str) -> Object:
        for template in entries(spec, "dataVolumeTemplates"):
            if meta.name(template) == name:
                return self._of_source(dig(template, "spec"))
        found = self._read(_DATAVOLUMES, self._call.namespace, name)
        if found is None:  # collected after its import: the claim has its name
            return self._of_claim(self._call.namespace, name)
        return self._named(found) or self._of_source(dig(found, "spec"))

    def _of_source(self, spec: Object) -> Object:
        claim, reference = dig(spec, "source", "pvc"), mapping(spec.get("sourceRef"))
        if claim:
            return self._of_claim(text(claim, "namespace") or self._call.namespace, text(claim, "name"))
        if not reference:
            raise _Unsaid("unable to infer defaults from DataVolumeSpec as DataVolumeSource is not supported")
        if (kind := text(reference, "kind")) != "DataSource":
            raise _Unsaid(f"unable to infer defaults from DataVolumeSourceRef as Kind {kind} is not supported")
        return self._of_datasource(text(reference, "namespace") or self._call.namespace, text(reference, "name"))

    def _of_datasource(self, namespace: str, name: str) -> Object:
        found = self._read(_DATASOURCES, namespace, name)
        if found is None:
            raise status.bad_request(f'datasources.cdi.kubevirt.io "{name}" not found')
        if named := self._named(found):
            return named
        claim = dig(found, "spec", "source", "pvc")
        if not claim:
            raise _Unsaid("unable to infer defaults from DataSource that doesn't provide DataVolumeSourcePVC")
        return self._of_claim(text(claim, "namespace"), text(claim, "name"))
