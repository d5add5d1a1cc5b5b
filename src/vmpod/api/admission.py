"""What the server adds to objects and refuses beyond what a kind can tell by itself: it needs other objects.

After k8s.io/kubernetes' plugin/pkg/admission (namespace lifecycle, storage default class, default tolerations,
service account) and pkg/registry/core/service/storage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from vmpod.api import families, instancetypes, migrations, podaccounts
from vmpod.api.call import Backend, Call
from vmpod.kinds import (
    DATAVOLUME,
    NAMESPACE,
    OBJECTTRANSFER,
    PERSISTENTVOLUMECLAIM,
    POD,
    SERVICE,
    STORAGECLASS,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCEMIGRATION,
    Kind,
)
from vmpod.kinds.objecttransfer import target_of
from vmpod.model import meta, status
from vmpod.model.meta import Object

_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_TOLERATION_S = 300


def check_namespace(call: Call) -> None:
    """Nothing is made in a namespace that is missing (404) or being deleted (403)."""
    if not call.kind.namespaced:
        return
    record = call.store.get(NAMESPACE.resource, "", call.namespace)
    if record is None:
        raise status.not_found(NAMESPACE.resource, call.namespace)
    if b'"deletionTimestamp"' in record.value and meta.is_deleting(orjson.loads(record.value)):
        raise _terminating(call)


def _terminating(call: Call) -> status.ApiError:
    error = status.forbidden(
        call.kind.resource, call.name,
        f"unable to create new content in namespace {call.namespace} because it is being terminated",
    )
    error.details["causes"] = [{
        "reason": "NamespaceTerminating",
        "message": f"namespace {call.namespace} is being terminated",
        "field": "metadata.namespace",
    }]
    return error


def admit_create(call: Call, obj: Object) -> None:
    """Complete a new object in place. Raises ApiError when it may not be."""
    if complete := _ON_CREATE.get(call.kind.resource):
        complete(call, obj)


def admit_update(call: Call, new: Object, old: Object) -> None:
    """Complete a changed object in place. Raises ApiError when it may not be."""
    if call.kind is SERVICE:
        _keep_allocations(new, old)
        _allocate(call, new)
    elif call.kind is VIRTUALMACHINE:
        instancetypes.admit(call, new, old)


def settle(backend: Backend, kind: Kind, namespace: str, name: str) -> None:
    """After a write worked or failed: what the stored Service names is taken, all else of it is free."""
    if kind is not SERVICE:
        return
    record = backend.store.get(kind.resource, namespace, name)
    spec = (orjson.loads(record.value).get("spec") or {}) if record else {}
    ips = {ip for ip in (spec.get("clusterIP"), *(spec.get("clusterIPs") or ())) if ip and ip != families.HEADLESS}
    ports = {(_protocol(port), port["nodePort"]) for port in _ports(spec) if port.get("nodePort")}
    backend.addresses.keep((namespace, name), ips, ports)


def settle_all(backend: Backend) -> None:
    """Read once, at the start, what all Services hold."""
    for record in backend.store.list(SERVICE.resource)[0]:
        settle(backend, SERVICE, record.namespace, record.name)


def _allocate(call: Call, obj: Object) -> None:
    """Give a Service the cluster address and the node ports that its type wants."""
    spec = obj.setdefault("spec", {})
    kind = spec.get("type") or "ClusterIP"
    faults: list[status.FieldError] = []
    if kind != "ExternalName":
        faults += _allocate_ip(call, spec)
    if kind in _WITH_NODE_PORTS and spec.get("allocateLoadBalancerNodePorts") is not False:
        faults += _allocate_ports(call, spec)
    if faults:
        raise status.invalid("Service", call.name, faults)


def _allocate_ip(call: Call, spec: dict[str, Any]) -> list[status.FieldError]:
    known, holder = call.backend.addresses, (call.namespace, call.name)
    if faults := families.settle(spec, known.families):
        return faults
    ips = families.addresses_of(spec)
    if ips[:1] == [families.HEADLESS]:
        spec["clusterIP"], spec["clusterIPs"] = families.HEADLESS, [families.HEADLESS]
        return []
    for ip in ips:
        if fault := known.take_ip(ip, holder):
            return [status.wrong("spec.clusterIPs", [ip], fault)]
    for family in spec["ipFamilies"][len(ips):]:
        if not (ip := known.next_ip(holder, family) if family in known.families else ""):
            raise status.internal("failed to allocate a serviceIP: range is full")
        ips.append(ip)
    spec["clusterIP"], spec["clusterIPs"] = ips[0], ips
    return []


def _allocate_ports(call: Call, spec: dict[str, Any]) -> list[status.FieldError]:
    faults = []
    holder, addresses = (call.namespace, call.name), call.backend.addresses
    for position, port in enumerate(_ports(spec)):
        if not port.get("nodePort"):
            port["nodePort"] = addresses.next_port({_protocol(port)}, holder)
            if not port["nodePort"]:
                raise status.internal("failed to allocate a nodePort: range is full")
        elif fault := addresses.take_port(_protocol(port), port["nodePort"], holder):
            faults.append(status.wrong(f"spec.ports[{position}].nodePort", port["nodePort"], fault))
    return faults


def _ports(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The ports of a Service; what stands among them and is none is left to validation."""
    return [port for port in spec.get("ports") or () if isinstance(port, dict)]


def _protocol(port: dict[str, Any]) -> str:
    return str(port.get("protocol") or "TCP")


def _keep_allocations(new: Object, old: Object) -> None:
    """What a client leaves out of an update stays as it was given (Service registry, patchAllocatedValues)."""
    spec, stored = new.setdefault("spec", {}), old.get("spec") or {}
    kind, before = spec.get("type") or "ClusterIP", stored.get("type") or "ClusterIP"
    families.trim(spec, stored)
    if kind == "ExternalName":
        if before != kind and spec.get("clusterIP") == stored.get("clusterIP"):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
    elif before != "ExternalName" and not spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIP"], spec["clusterIPs"] = stored.get("clusterIP", ""), stored.get("clusterIPs", [])
    given = {(_protocol(port), port.get("port")): port.get("nodePort") for port in _ports(stored)}
    for port in _ports(spec):
        held = given.get((_protocol(port), port.get("port")))
        if kind in _WITH_NODE_PORTS and held and not port.get("nodePort"):
            port["nodePort"] = held
        elif kind not in _WITH_NODE_PORTS and held and port.get("nodePort") == held:
            port.pop("nodePort")


def _claim(call: Call, obj: Object) -> None:
    """A claim that names no class gets the default one; `""` means none on purpose."""
    spec = obj.setdefault("spec", {})
    if spec.get("storageClassName") is None and (name := default_storage_class(call.backend)):
        spec["storageClassName"] = name


def default_storage_class(backend: Backend) -> str:
    """The newest StorageClass that is marked as the default, else empty."""
    found = []
    for record in backend.store.list(STORAGECLASS.resource)[0]:
        obj = orjson.loads(record.value)
        if any(meta.annotations(obj).get(key) == "true" for key in _DEFAULT_CLASS):
            found.append((meta.metadata(obj).get("creationTimestamp", ""), record.name))
    return max(found)[1] if found else ""


def _pod(call: Call, obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    podaccounts.admit(call, obj)
    for condition in ("not-ready", "unreachable"):
        _tolerate(spec.setdefault("tolerations", []), f"node.kubernetes.io/{condition}")


def _transfer(call: Call, obj: Object) -> None:
    """Nothing is moved to where something of its kind is already (CDI's objecttransfer-validate webhook)."""
    kind = DATAVOLUME if meta.get(obj, "spec", "source", "kind") == DATAVOLUME.kind else PERSISTENTVOLUMECLAIM
    where, wanted = target_of(obj)
    if wanted and call.store.get(kind.resource, where, wanted) is not None:
        told = f'ObjectTransfer target "{where}/{wanted}" already exists'
        raise status.invalid(call.kind.qualified, meta.name(obj), [status.refused("spec.target", told)])


def _tolerate(tolerations: list[dict[str, Any]], key: str) -> None:
    """Stay for five minutes on a node with the taint, unless the pod says something of its own about it."""
    own = [one for one in tolerations if isinstance(one, dict) and one.get("key") in (key, None, "")]
    if any(one.get("effect") in (None, "", "NoExecute") for one in own):
        return
    tolerations.append(
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_S}
    )


_ON_CREATE: dict[str, Callable[[Call, Object], None]] = {
    SERVICE.resource: _allocate,
    PERSISTENTVOLUMECLAIM.resource: _claim,
    POD.resource: _pod,
    OBJECTTRANSFER.resource: _transfer,
    VIRTUALMACHINE.resource: lambda call, obj: instancetypes.admit(call, obj, None),
    VIRTUALMACHINEINSTANCEMIGRATION.resource: migrations.admit,
}
