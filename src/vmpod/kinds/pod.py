"""Pod."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.pod_cells import POD_COLUMNS
from vmpod.kinds.parts.pod_defaults import default_live_pod, default_pod_spec, qos_class
from vmpod.kinds.parts.pod_rules import pod_spec_errors, pod_update_errors
from vmpod.kinds.parts.pod_support import pod_warnings
from vmpod.kinds.parts.reading import dig, mapping, section
from vmpod.model.meta import Object
from vmpod.model.status import FieldError


def default(pod: Object) -> Object:
    """The constants of a pod."""
    default_pod_spec(section(pod, "spec"))
    default_live_pod(pod)
    return pod


def begin(pod: Object) -> Object:
    """The status it starts with."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod.get("spec"))}
    return pod


def _rules(new: Object, old: Object | None) -> list[FieldError]:
    errors = list(pod_spec_errors(mapping(new.get("spec"))))
    return errors if old is None else [*errors, *pod_update_errors(new, old)]


def _warnings(pod: Object) -> list[str]:
    """Nothing about launchers: what their machines ask for is told of these."""
    if dig(pod, "metadata", "labels").get("kubevirt.io") == "virt-launcher":
        return []
    return pod_warnings(mapping(pod.get("spec")), "spec")


POD = Kind(
    "", "v1", "Pod", "pods", True,
    short_names=("po",),
    categories=("all",),
    columns=POD_COLUMNS,
    default=default,
    validate=all_of(metadata_rules(), _rules),
    on_create=begin,
    warnings=_warnings,
    subresources=frozenset({"status", "log", "exec", "attach", "portforward"}),
    has_generation=True,
    selectable=(
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
)
