"""VirtualMachinePool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts import checks
from vmpod.kinds.parts.metadata import annotation_errors, label_errors, metadata_rules
from vmpod.kinds.parts.reading import dig, mapping, set_keys
from vmpod.kinds.parts.replicas import COLUMNS, default_replicas, selector_errors
from vmpod.kinds.parts.support import ACTED, Tree, unsupported
from vmpod.kinds.virtualmachine import VIRTUALMACHINE
from vmpod.model import duration, selectors
from vmpod.model.meta import Object
from vmpod.model.status import ApiError, FieldError, required, wrong

_TEMPLATE = "spec.virtualMachineTemplate"
_SELECTION: Tree = {"sortPolicy": ACTED, "selectors": {"labelSelector": ACTED, "nodeSelectorRequirementMatcher": ACTED}}
_SPEC: Tree = {
    "replicas": ACTED, "selector": ACTED, "paused": ACTED, "virtualMachineTemplate": ACTED, "maxUnavailable": ACTED,
    "nameGeneration": {"appendIndexToConfigMapRefs": ACTED, "appendIndexToSecretRefs": ACTED},
    "autohealing": {"startUpFailureThreshold": ACTED, "minFailingToStartDuration": ACTED},
    "updateStrategy": {"unmanaged": ACTED, "opportunistic": ACTED, "proactive": {"selectionPolicy": _SELECTION}},
    "scaleInStrategy": {
        "unmanaged": ACTED, "opportunistic": {"statePreservation": frozenset({"Disabled"})},
        "proactive": {"selectionPolicy": _SELECTION, "statePreservation": ACTED},
    },
}


def default(obj: Object) -> Object:
    """One replica."""
    default_replicas(obj)
    return obj


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    """KubeVirt's vmpool-admitter."""
    spec = mapping(new.get("spec"))
    template = spec.get("virtualMachineTemplate")
    if not isinstance(template, dict):
        return [required(_TEMPLATE, "missing virtual machine template.")]
    meta = mapping(template.get("metadata"))
    errors = [*selector_errors(spec, meta.get("labels")), *_strategy_errors(spec), *_machine_errors(template)]
    errors += label_errors(meta.get("labels"), f"{_TEMPLATE}.metadata.labels")
    errors += annotation_errors(meta.get("annotations"), f"{_TEMPLATE}.metadata.annotations")
    if old is not None and spec.get("selector") != dig(old, "spec").get("selector"):
        errors.append(wrong("spec.selector", spec.get("selector"), "selector is immutable after creation"))
    return errors


def _machine_errors(template: Object) -> Iterator[FieldError]:
    """What is wrong with the machines that would be made, by their paths in the template."""
    machine = {"metadata": {"name": "pool"}, "spec": mapping(template.get("spec"))}
    for error in VIRTUALMACHINE.validate(machine, None):
        told = error.message.replace("spec.template", f"{_TEMPLATE}.spec.template")
        yield replace(error, path=f"{_TEMPLATE}.{error.path}", message=told)


def _strategy_errors(spec: Object) -> Iterator[FieldError]:
    for field in ("updateStrategy", "scaleInStrategy"):
        path, strategy = f"spec.{field}", dig(spec, field)
        if len(set_keys(strategy, ("unmanaged", "opportunistic", "proactive"))) > 1:
            yield wrong(path, strategy, "only one strategy may be set")
        chosen = dig(strategy, "proactive", "selectionPolicy", "selectors")
        wanted = chosen.get("nodeSelectorRequirementMatcher") or []
        for key, selector in (("labelSelector", dig(chosen, "labelSelector")),
                              ("nodeSelectorRequirementMatcher", {"matchExpressions": wanted} if wanted else {})):
            try:
                selectors.from_object(selector)
            except (ApiError, TypeError, ValueError) as error:
                yield wrong(f"{path}.proactive.selectionPolicy.selectors.{key}", chosen.get(key), str(error))
    yield from _healing_errors(spec)
    limit = spec.get("maxUnavailable")
    if isinstance(limit, str) and not (limit.endswith("%") and limit[:-1].isdecimal()):
        yield wrong("spec.maxUnavailable", limit, "must be a whole number or a percentage")
    elif not isinstance(limit, str):
        yield from checks.not_negative(spec, ("maxUnavailable",), "spec")


def _healing_errors(spec: Object) -> Iterator[FieldError]:
    path, healing = "spec.autohealing", dig(spec, "autohealing")
    yield from checks.not_negative(healing, ("startUpFailureThreshold",), path)
    said = healing.get("minFailingToStartDuration")
    try:
        if said is not None and duration.seconds(str(said)) < 0:
            yield wrong(f"{path}.minFailingToStartDuration", said, "must not be negative")
    except ValueError as error:
        yield wrong(f"{path}.minFailingToStartDuration", said, str(error))


def _warnings(obj: Object) -> list[str]:
    machine = {"spec": dig(obj, "spec", "virtualMachineTemplate", "spec")}
    inside = [f"{_TEMPLATE}.{told}" for told in VIRTUALMACHINE.warnings(machine)]
    return [*unsupported(mapping(obj.get("spec")), _SPEC, "spec"), *inside]


VIRTUALMACHINEPOOL = Kind(
    "pool.kubevirt.io", "v1beta1", "VirtualMachinePool", "virtualmachinepools", True,
    other_versions=("v1alpha1",),
    short_names=("vmpool", "vmpools"),
    categories=("all",),
    columns=COLUMNS,
    default=default,
    validate=all_of(metadata_rules(), _rules),
    warnings=_warnings,
    subresources=frozenset({"status", "scale"}),
    has_generation=True,
)
