"""Where objects carry pods, labels and images: the places that kustomize's built-in field specifications name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vmpod.model.meta import Object, get

_TEMPLATE: Final = ("spec", "template")
_JOB: Final = ("spec", "jobTemplate", "spec", "template")
TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Deployment": _TEMPLATE, "ReplicaSet": _TEMPLATE, "ReplicationController": _TEMPLATE, "DaemonSet": _TEMPLATE,
    "StatefulSet": _TEMPLATE, "Job": _TEMPLATE, "CronJob": _JOB,
}  # fmt: skip
_MACHINES: Final[dict[str, tuple[str, ...]]] = {
    "VirtualMachine": _TEMPLATE, "VirtualMachineInstanceReplicaSet": _TEMPLATE, "VirtualMachineInstance": (),
}  # fmt: skip


def pod_spec(obj: Object) -> Object:
    """The specification of the pod that an object is or makes, {} when there is none. It may be changed."""
    kind = str(obj.get("kind"))
    where = () if kind == "Pod" else TEMPLATES.get(kind)
    return _map(get(obj, *where, "spec")) if where is not None else {}


def machine_spec(obj: Object) -> Object:
    """The specification of the machine that an object is or makes, {} when there is none. It may be changed."""
    where = _MACHINES.get(str(obj.get("kind")))
    return _map(get(obj, *where, "spec")) if where is not None else {}


def containers(pod: Object) -> Iterator[Object]:
    """The containers of a pod's specification, of all sorts."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from maps(pod.get(field))


def maps(value: Any) -> Iterator[Object]:
    """The maps of a list; nothing when it is none."""
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def ensure(obj: Object, *path: str) -> Object:
    """The map at a path, made when it is not there."""
    for key in path:
        if not isinstance(obj.get(key), dict):
            obj[key] = {}
        obj = obj[key]
    return obj
