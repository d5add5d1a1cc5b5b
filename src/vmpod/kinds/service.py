"""Service."""

from __future__ import annotations

from vmpod.kinds.kind import Kind, all_of
from vmpod.kinds.parts.cells import NONE, cell, format_labels
from vmpod.kinds.parts.metadata import metadata_rules
from vmpod.kinds.parts.reading import dig, entries, fill, mapping, section, text
from vmpod.kinds.parts.service_rules import service_errors
from vmpod.kinds.parts.support import ACTED, Tree, unsupported
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.table import AGE, NAME

ON_NODES = ("NodePort", "LoadBalancer")
WITH_CLUSTER_IP = ("ClusterIP", *ON_NODES)
_SPEC: Tree = {
    "type": ACTED, "selector": ACTED, "ports": ACTED, "clusterIP": ACTED, "clusterIPs": ACTED, "ipFamilies": ACTED,
    "ipFamilyPolicy": ACTED, "externalName": ACTED, "publishNotReadyAddresses": ACTED, "internalTrafficPolicy": ACTED,
    "externalTrafficPolicy": ACTED, "allocateLoadBalancerNodePorts": ACTED, "sessionAffinity": ACTED,
    "sessionAffinityConfig": ACTED,
}


def default(obj: Object) -> Object:
    """pkg/apis/core/v1/defaults.go: SetDefaults_Service. Addresses and node ports are drawn by admission."""
    spec = section(obj, "spec")
    fill(spec, "type", "ClusterIP")
    fill(spec, "sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        config = section(spec, "sessionAffinityConfig", "clientIP")
        fill(config, "timeoutSeconds", 10800)
    for port in entries(spec, "ports"):
        fill(port, "protocol", "TCP")
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port")
    if spec["type"] in WITH_CLUSTER_IP:
        fill(spec, "internalTrafficPolicy", "Cluster")
    if spec["type"] in ON_NODES or spec.get("externalIPs"):
        fill(spec, "externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True
    return obj


def keep_allocated(new: Object, old: Object) -> Object:
    """Addresses and node ports that an update leaves out stay as they were drawn (patchAllocatedValues)."""
    spec, before = section(new, "spec"), mapping(old.get("spec"))
    _drop_of_former_type(spec, before)
    if spec.get("type") in WITH_CLUSTER_IP and before.get("type") in WITH_CLUSTER_IP:
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            _copy(spec, before, ("clusterIP", "clusterIPs"))
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if spec.get(key) is None:
                _copy(spec, before, (key,))
    if spec.get("type") in ON_NODES and before.get("type") in ON_NODES:
        drawn = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in entries(before, "ports")}
        for port in entries(spec, "ports"):
            known = drawn.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and known:
                port["nodePort"] = known
    return new


def _drop_of_former_type(spec: Object, before: Object) -> None:
    """What only the former type had, and the update did not touch, goes with it (dropTypeDependentFields)."""
    if spec.get("type") == before.get("type"):
        return
    if spec.get("type") not in ON_NODES and before.get("type") in ON_NODES:
        _forget(spec, before, ("externalTrafficPolicy", "healthCheckNodePort"))
        drawn = {port.get("nodePort") for port in entries(before, "ports")}
        for port in entries(spec, "ports"):
            if port.get("nodePort") in drawn:
                port.pop("nodePort", None)
    if before.get("type") == "LoadBalancer":
        _forget(spec, before, ("allocateLoadBalancerNodePorts", "loadBalancerClass"))
    if spec.get("type") == "ExternalName":
        _forget(spec, before, ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"))


def _forget(spec: Object, before: Object, keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in spec and spec[key] == before.get(key):
            del spec[key]


def _copy(target: Object, source: Object, keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in source:
            target[key] = source[key]


def _cluster_ip_cell(obj: Object) -> str:
    spec = mapping(obj.get("spec"))
    addresses = _listed(spec, "clusterIPs") or [spec.get("clusterIP")]
    return str(addresses[0] or NONE)


def _listed(spec: Object, key: str) -> list[object]:
    """A list field; what is none reads as empty."""
    found = spec.get(key)
    return found if isinstance(found, list) else []


def _external_ip_cell(obj: Object) -> str:
    spec = mapping(obj.get("spec"))
    given = [str(address) for address in _listed(spec, "externalIPs")]
    match text(spec, "type"):
        case "ClusterIP" | "NodePort":
            return ",".join(given) or NONE
        case "LoadBalancer":
            found = entries(dig(obj, "status", "loadBalancer"), "ingress")
            drawn = sorted({text(entry, "ip") or text(entry, "hostname") for entry in found} - {""})
            return ",".join(drawn + given) or "<pending>"
        case "ExternalName":
            return text(spec, "externalName")
    return "<unknown>"


def _ports_cell(obj: Object) -> str:
    shown = []
    for port in entries(obj.get("spec"), "ports"):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node}/{text(port, 'protocol')}")
    return ",".join(shown) or NONE


SERVICE = Kind(
    "", "v1", "Service", "services", True,
    short_names=("svc",),
    categories=("all",),
    columns=(
        NAME,
        cell("Type", lambda obj: text(obj.get("spec"), "type")),
        cell("Cluster-IP", _cluster_ip_cell),
        cell("External-IP", _external_ip_cell),
        cell("Port(s)", _ports_cell),
        AGE,
        cell("Selector", lambda obj: format_labels(dig(obj, "spec").get("selector")), wide=True),
    ),
    default=default,
    validate=all_of(metadata_rules(names.dns1035_faults), service_errors),
    warnings=lambda obj: list(unsupported(obj.get("spec"), _SPEC, "spec")),
    on_update=keep_allocated,
    subresources=frozenset({"status"}),
)
