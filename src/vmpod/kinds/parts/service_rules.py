"""Rules of Services: pkg/apis/core/validation.ValidateService."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.addresses import RULE, version_of
from vmpod.kinds.parts.metadata import label_errors
from vmpod.kinds.parts.reading import indexed, mapping, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, duplicate, not_supported, refused, required, wrong

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
EXTERNAL = ("NodePort", "LoadBalancer")
FAMILIES = ("IPv4", "IPv6")


def service_errors(new: Object, old: Object | None) -> list[FieldError]:
    """Every fault of a Service."""
    spec = mapping(new.get("spec"))
    errors = [
        *checks.one_of(spec, "type", "spec", TYPES),
        *checks.one_of(spec, "sessionAffinity", "spec", ("ClientIP", "None")),
        *label_errors(spec.get("selector"), "spec.selector"),
        *_ports_errors(spec),
        *_type_errors(spec),
        *_address_errors(spec),
        *_family_errors(spec),
    ]
    return errors if old is None else [*errors, *_update_errors(spec, mapping(old.get("spec")))]


def _family_errors(spec: Object) -> Iterator[FieldError]:
    """What holds on any cluster; which families this one has is known to admission."""
    if spec.get("type") == "ExternalName":
        return
    yield from checks.one_of(spec, "ipFamilyPolicy", "spec", ("PreferDualStack", "RequireDualStack", "SingleStack"))
    families = _listed(spec, "ipFamilies")
    for number, family in enumerate(families):
        if family not in FAMILIES:
            yield not_supported(f"spec.ipFamilies[{number}]", family, FAMILIES)
        elif family in families[:number]:
            yield duplicate(f"spec.ipFamilies[{number}]", family)
    if len(families) > len(FAMILIES):
        yield wrong("spec.ipFamilies", families, "may only hold up to 2 values")
    for number, (family, address) in enumerate(zip(families, _listed(spec, "clusterIPs"), strict=False)):
        if version_of(address) and family in FAMILIES and family != f"IPv{version_of(address)}":
            told = f"expected an {family} value as indicated by `ipFamilies[{number}]`"
            yield wrong(f"spec.clusterIPs[{number}]", address, told)


def _listed(spec: Object, key: str) -> list[Any]:
    found = spec.get(key)
    return found if isinstance(found, list) else []


def _is_headless(spec: Object) -> bool:
    return spec.get("clusterIP") == "None"


def _ports_errors(spec: Object) -> Iterator[FieldError]:
    ports = list(indexed(spec, "ports", "spec"))
    if not ports and not _is_headless(spec) and spec.get("type") != "ExternalName":
        yield required("spec.ports")
    seen: set[tuple[object, object]] = set()
    for path, port in ports:
        yield from _port_errors(port, path, spec, needs_name=len(ports) > 1)
        key = (port.get("port"), port.get("protocol"))
        if key in seen:
            yield duplicate(path, {"port": key[0], "protocol": key[1]})
        seen.add(key)
    yield from checks.duplicates((f"{path}.name", text(port, "name")) for path, port in ports)


def _port_errors(port: Object, path: str, spec: Object, *, needs_name: bool) -> Iterator[FieldError]:
    name = text(port, "name")
    if name:
        yield from checks.by_rule(f"{path}.name", name, names.label_faults)
    elif needs_name:
        yield required(f"{path}.name")
    yield from checks.port_errors(port.get("port"), f"{path}.port")
    yield from checks.one_of(port, "protocol", path, checks.PROTOCOLS)
    if port.get("targetPort") != port.get("port"):
        yield from checks.port_or_name_errors(port.get("targetPort"), f"{path}.targetPort")
    if port.get("nodePort") and spec.get("type") not in EXTERNAL:
        yield refused(f"{path}.nodePort", f"may not be used when `type` is '{spec.get('type')}'")
    elif port.get("nodePort"):
        yield from checks.port_errors(port["nodePort"], f"{path}.nodePort")


def _type_errors(spec: Object) -> Iterator[FieldError]:
    match text(spec, "type"):
        case "ExternalName":
            yield from _external_name_errors(spec)
        case "LoadBalancer" | "NodePort" if _is_headless(spec):
            told = f"may not be set to 'None' for {spec['type']} services"
            yield wrong("spec.clusterIPs[0]", "None", told)
    if spec.get("allocateLoadBalancerNodePorts") is not None and spec.get("type") != "LoadBalancer":
        told = "may only be used when `type` is 'LoadBalancer'"
        yield refused("spec.allocateLoadBalancerNodePorts", told)
    policy = spec.get("externalTrafficPolicy")
    if policy and spec.get("type") not in EXTERNAL and not spec.get("externalIPs"):
        told = "may only be set for externally-accessible services"
        yield wrong("spec.externalTrafficPolicy", policy, told)
    elif policy and policy not in ("Cluster", "Local"):
        yield not_supported("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    yield from checks.one_of(spec, "internalTrafficPolicy", "spec", ("Cluster", "Local"))


def _external_name_errors(spec: Object) -> Iterator[FieldError]:
    target = text(spec, "externalName").removesuffix(".")
    if not target:
        yield required("spec.externalName")
    else:
        yield from checks.by_rule("spec.externalName", target, names.subdomain_faults)
    if spec.get("clusterIP") or spec.get("clusterIPs"):
        told = "may not be set when `type` is 'ExternalName'"
        yield refused("spec.clusterIPs", told)


def _address_errors(spec: Object) -> Iterator[FieldError]:
    given = spec.get("clusterIPs") or [spec.get("clusterIP")]
    addresses = given if isinstance(given, list) else [given]
    for index, address in enumerate(addresses):
        if address and address != "None" and not version_of(address):
            yield wrong(f"spec.clusterIPs[{index}]", address, RULE)
    if spec.get("clusterIP") and addresses[0] != spec["clusterIP"]:
        yield wrong("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    if len(addresses) > len(FAMILIES):
        yield wrong("spec.clusterIPs", addresses, "may only hold up to 2 values")
    elif len(addresses) > 1 and len({version_of(address) for address in addresses} - {0}) < len(addresses):
        yield wrong("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family")
    external = spec.get("externalIPs")
    for index, address in enumerate(external if isinstance(external, list) else []):
        if not version_of(address):
            yield wrong(f"spec.externalIPs[{index}]", address, RULE)


def _update_errors(after: Object, before: Object) -> Iterator[FieldError]:
    """The cluster address stays, unless the Service gives it up by becoming an ExternalName."""
    if "ExternalName" in (after.get("type"), before.get("type")):
        return
    if before.get("clusterIP") and after.get("clusterIP") != before["clusterIP"]:
        given = after.get("clusterIPs") or [after.get("clusterIP")]
        yield wrong("spec.clusterIPs[0]", given, "may not change once set")
    for key in ("clusterIPs", "ipFamilies"):
        for number, (new, old) in enumerate(zip(_listed(after, key), _listed(before, key), strict=False)):
            if new != old and (key, number) != ("clusterIPs", 0):
                yield wrong(f"spec.{key}[{number}]", _listed(after, key), "may not change once set")
