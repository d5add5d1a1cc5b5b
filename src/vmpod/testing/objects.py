"""Short ways to write the objects that tests begin with."""

from __future__ import annotations

from typing import Any

from vmpod.base.clock import rfc3339
from vmpod.model.meta import Object
from vmpod.testing.clock import EPOCH


def _object(api_version: str, kind: str, name: str, **rest: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, **rest}


def condition(type: str, status: bool | str = True, **rest: Any) -> Object:
    """A condition that has held since EPOCH."""
    return {"type": type, "status": str(status), "lastTransitionTime": rfc3339(EPOCH), **rest}


def machine(name: str = "orders", *, volumes: tuple[Object, ...] = (), **spec: Any) -> Object:
    """A VirtualMachine; Always unless told otherwise."""
    if "running" not in spec:
        spec.setdefault("runStrategy", "Always")
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"domain": {"memory": {"guest": "256Mi"}, "devices": {}}, "volumes": list(volumes)},
    }
    return _object("kubevirt.io/v1", "VirtualMachine", name, spec={"template": template, **spec})


def instance(name: str = "orders", *, volumes: tuple[Object, ...] = (), **spec: Any) -> Object:
    """A VirtualMachineInstance on its own."""
    domain: Object = {"memory": {"guest": "256Mi"}, "devices": {}}
    spec = {"domain": domain, "volumes": list(volumes), **spec}
    return _object("kubevirt.io/v1", "VirtualMachineInstance", name, spec=spec)


def deployment(name: str = "web", replicas: int = 2, image: str = "web:1", **spec: Any) -> Object:
    """A Deployment of pods labelled `app`."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return _object("apps/v1", "Deployment", name, spec=spec)


def service(name: str = "web", **spec: Any) -> Object:
    """A Service on port 80 for pods labelled `app`."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], **spec}
    return _object("v1", "Service", name, spec=spec)


def pod(name: str = "web-1", app: str = "web", **spec: Any) -> Object:
    """A Pod of one container."""
    made = _object("v1", "Pod", name, spec={"containers": [{"name": app, "image": f"{app}:1"}], **spec})
    made["metadata"]["labels"] = {"app": app}
    return made


def pod_status(ip: str = "10.2.0.1", *, ready: bool = True, phase: str = "Running") -> Object:
    """The status of a pod that runs."""
    found = [condition("PodScheduled"), condition("Ready", ready)]
    return {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "conditions": found}


def node(name: str = "n1", **labels: str) -> Object:
    """A Node without status; see `node_status`."""
    made = {"kubernetes.io/hostname": name, **labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": made}, "spec": {}}


def node_status(memory: str = "8Gi", cpu: str = "4") -> Object:
    """The status of a node that takes pods."""
    return {
        "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}, "conditions": [condition("Ready")],
        "addresses": [{"type": "InternalIP", "address": "10.2.0.254"}],
    }  # fmt: skip
