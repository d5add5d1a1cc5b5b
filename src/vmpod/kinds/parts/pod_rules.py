"""Rules of pod specs and of their templates: pkg/apis/core/validation and pkg/apis/apps/validation."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.container_rules import container_errors
from vmpod.kinds.parts.metadata import annotation_errors, label_errors
from vmpod.kinds.parts.reading import dig, entries, indexed, mapping, number, text
from vmpod.kinds.parts.volume_rules import volume_errors
from vmpod.model import names, selectors
from vmpod.model.meta import Object
from vmpod.model.status import ApiError, FieldError, not_supported, refused, required, wrong

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
POD_UPDATE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_LONGEST_S = 2**31 - 1


def pod_spec_errors(spec: Object, path: str = "spec") -> Iterator[FieldError]:
    """Every fault of a pod spec."""
    yield from volume_errors(spec, path)
    yield from container_errors(spec, path)
    yield from checks.one_of(spec, "restartPolicy", path, RESTART_POLICIES)
    yield from _dns_errors(spec, path)
    yield from checks.not_negative(spec, ("terminationGracePeriodSeconds",), path)
    deadline = number(spec, "activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _LONGEST_S:
        yield wrong(f"{path}.activeDeadlineSeconds", deadline, f"must be between 1 and {_LONGEST_S}, inclusive")
    yield from label_errors(spec.get("nodeSelector"), f"{path}.nodeSelector")
    yield from _name_errors(spec, path)
    for here, toleration in indexed(spec, "tolerations", path):
        yield from _toleration_errors(toleration, here)


def _dns_errors(spec: Object, path: str) -> Iterator[FieldError]:
    yield from checks.one_of(spec, "dnsPolicy", path, DNS_POLICIES)
    if spec.get("dnsPolicy") != "None":
        return
    if spec.get("dnsConfig") is None:
        yield required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
    elif not dig(spec, "dnsConfig").get("nameservers"):
        told = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield required(f"{path}.dnsConfig.nameservers", told)


def _name_errors(spec: Object, path: str) -> Iterator[FieldError]:
    for key, rule in (
        ("serviceAccountName", names.subdomain_faults), ("nodeName", names.subdomain_faults),
        ("hostname", names.label_faults), ("subdomain", names.label_faults),
    ):
        if text(spec, key):
            yield from checks.by_rule(f"{path}.{key}", text(spec, key), rule)


def _toleration_errors(toleration: Object, path: str) -> Iterator[FieldError]:
    operator, key = text(toleration, "operator"), text(toleration, "key")
    if operator not in ("", "Equal", "Exists"):
        yield not_supported(f"{path}.operator", operator, ("Equal", "Exists"))
    if not key and operator != "Exists":
        told = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield wrong(f"{path}.operator", operator, told)
    if operator == "Exists" and toleration.get("value"):
        yield wrong(f"{path}.operator", toleration.get("value"), "value must be empty when `operator` is 'Exists'")
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        told = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield wrong(f"{path}.effect", toleration.get("effect", ""), told)


def template_errors(obj: Object) -> Iterator[FieldError]:
    """Faults of `spec.selector` and `spec.template` of what makes pods forever (Deployment, ReplicaSet)."""
    spec = mapping(obj.get("spec"))
    template = mapping(spec.get("template"))
    meta = mapping(template.get("metadata"))
    yield from selector_errors(spec.get("selector"), meta.get("labels"))
    yield from label_errors(meta.get("labels"), "spec.template.metadata.labels")
    yield from annotation_errors(meta.get("annotations"), "spec.template.metadata.annotations")
    pod = mapping(template.get("spec"))
    yield from pod_spec_errors(pod, "spec.template.spec")
    if text(pod, "restartPolicy") in ("OnFailure", "Never"):
        yield not_supported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        told = "activeDeadlineSeconds in ReplicaSet is not Supported"
        yield refused("spec.template.spec.activeDeadlineSeconds", told)


def selector_errors(selector: object, labels: object) -> list[FieldError]:
    """A selector that selects something, and the template's labels among it."""
    if selector is None:
        return [required("spec.selector")]
    errors = label_errors(dig(selector, "matchLabels"), "spec.selector.matchLabels")
    try:
        wanted = selectors.from_object(mapping(selector))
    except (ApiError, TypeError, ValueError, AttributeError):
        return [*errors, wrong("spec.selector", selector, "invalid label selector")]
    if wanted.is_empty:
        return [*errors, wrong("spec.selector", selector, "empty selector is invalid for deployment")]
    own = mapping(labels)
    if not wanted.matches({key: str(value) for key, value in own.items()}):
        errors.append(wrong("spec.template.metadata.labels", own, "`selector` does not match template `labels`"))
    return errors


def pod_update_errors(new: Object, old: Object) -> Iterator[FieldError]:
    """A pod is what it was made as: images, deadline and additional tolerations may change."""
    after, before = mapping(new.get("spec")), mapping(old.get("spec"))
    for key in ("containers", "initContainers"):
        if len(entries(after, key)) != len(entries(before, key)):
            yield refused(f"spec.{key}", "pod updates may not add or remove containers")
            return
    added = entries(after, "tolerations")
    if any(toleration not in added for toleration in entries(before, "tolerations")):
        told = "existing toleration can not be modified except its tolerationSeconds"
        yield refused("spec.tolerations", told)
    if _mutable_parts_as(after, before) != before:
        yield refused("spec", POD_UPDATE)


def _mutable_parts_as(after: Object, before: Object) -> Object:
    """The new spec with everything that may change put back as it was; what still differs is the fault."""
    spec = deepcopy(after)
    for key in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _put_back(spec, before, key)
    if not before.get("nodeName"):
        # The scheduler assigns the node by an ordinary write.
        _put_back(spec, before, "nodeName")
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        _put_back(spec, before, "terminationGracePeriodSeconds")
    for key in ("containers", "initContainers"):
        for container, was in zip(entries(spec, key), entries(before, key), strict=True):
            if container.get("image"):
                _put_back(container, was, "image")
    return spec


def _put_back(holder: Object, before: Object, key: str) -> None:
    holder.pop(key, None)
    if key in before:
        holder[key] = before[key]
