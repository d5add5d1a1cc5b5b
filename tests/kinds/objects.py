"""Small valid objects that the tests of kinds change in one place."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from vmpod.kinds import Kind
from vmpod.model.meta import Object


def pod(**spec: Any) -> Object:
    """A pod with one container, its spec extended by the arguments."""
    base: Object = {"containers": [{"name": "main", "image": "nginx:1.27"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"}, "spec": base | spec}


def container(**fields: Any) -> Object:
    """A pod whose only container has these fields."""
    return pod(containers=[{"name": "main", "image": "nginx:1.27"} | fields])


def deployment(**spec: Any) -> Object:
    """A Deployment of one container."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
    base: Object = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    meta = {"name": "web", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": base | spec}


def service(**spec: Any) -> Object:
    """A Service with one port."""
    base: Object = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}, "spec": base | spec,
    }


def machine_spec(**spec: Any) -> Object:
    """The spec of a machine with one container disk."""
    base: Object = {
        "domain": {
            "devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}]},
            "memory": {"guest": "128Mi"},
        },
        "volumes": [{"name": "root", "containerDisk": {"image": "quay.io/disks/alpine:v1"}}],
    }
    return deepcopy(base | spec)


def vm(template: Object | None = None, **spec: Any) -> Object:
    """A VirtualMachine of that machine."""
    body: Object = {"runStrategy": "Always", "template": {"spec": template or machine_spec()}}
    meta = {"name": "vm1", "namespace": "default"}
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": meta, "spec": body | spec}


def vmi(**spec: Any) -> Object:
    """A VirtualMachineInstance of that machine."""
    meta = {"name": "vm1", "namespace": "default"}
    return {
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": meta, "spec": machine_spec(**spec),
    }


def faults(kind: Kind, obj: Object, old: Object | None = None) -> list[str]:
    """What validation says of the defaulted object, as a Status spells it."""
    before = None if old is None else kind.default(deepcopy(old))
    return [str(error) for error in kind.validate(kind.default(deepcopy(obj)), before)]


def line(kind: Kind, obj: Object, now: str, *, wide: bool = False) -> list[object]:
    """The cells of `kubectl get`, as JSON values."""
    from vmpod.base import clock
    from vmpod.model import table

    found = table.render(kind.columns, [obj], clock.parse(now))
    cells = found["rows"][0]["cells"]
    shown = [wide or not column["priority"] for column in found["columnDefinitions"]]
    return [value for value, is_shown in zip(cells, shown, strict=True) if is_shown]


def header(kind: Kind, *, wide: bool = False) -> str:
    """The header line as kubectl prints it."""
    return " ".join(c.name.upper() for c in kind.columns if wide or not c.priority)
