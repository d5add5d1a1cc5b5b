"""Services and EndpointSlices → what the network forwards and which names it answers. Pure.

Forwards follow kube-proxy (ready endpoints, else those still serving while they end); names follow the
Kubernetes DNS specification 1.1.0, with CoreDNS' choice of a dashed address for an endpoint without host name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vmpod.drivers.net.services import Forward
from vmpod.drivers.net.snapshot import Guest, Snapshot
from vmpod.kinds.parts.addresses import family_of
from vmpod.model import meta
from vmpod.model.meta import Object, get, labels, name, namespace

DOMAIN = "cluster.local"
_SERVED_BY = "vmpod.io/served-by"
_SERVICE_NAME = "kubernetes.io/service-name"
_PROTOCOLS = ("TCP", "UDP")

Key = tuple[str, str]  # namespace, name
Slices = Mapping[Key, Sequence[Object]]


@dataclass(frozen=True)
class Translation:
    """What to publish and to announce, and what of a Service cannot be honoured: (Service's key, why)."""

    forwards: tuple[Forward, ...] = ()
    snapshot: Snapshot = field(default_factory=Snapshot)
    warnings: tuple[tuple[Key, str], ...] = ()


def translate(
    services: Iterable[Object], slices: Iterable[Object], *, node_addresses: Sequence[str],
    guests: Mapping[str, Guest] | None = None, domain: str = DOMAIN,
) -> Translation:  # fmt: skip
    """Everything that the Services of a cluster ask of the network."""
    by_service = group(slices)
    forwards: list[Forward] = []
    names = _Names(domain)
    warnings: list[tuple[Key, str]] = []
    for service in sorted(services, key=_key):
        found = by_service.get(_key(service), ())
        if not is_served(service):
            forwards += forwards_of(service, found, node_addresses=node_addresses)
        names.add(service, found)
        warnings += ((_key(service), why) for why in warnings_of(service))
    return Translation(tuple(forwards), names.snapshot(guests or {}), tuple(warnings))


def group(slices: Iterable[Object]) -> dict[Key, list[Object]]:
    """Slices of addresses by the Service they belong to, in order of their names."""
    found: dict[Key, list[Object]] = {}
    for one in sorted(slices, key=_key):
        owner = labels(one).get(_SERVICE_NAME)
        if owner and one.get("addressType", "IPv4") in ("IPv4", "IPv6"):
            found.setdefault((namespace(one), owner), []).append(one)
    return found


def _key(obj: Object) -> Key:
    return namespace(obj), name(obj)


def is_served(service: Object) -> bool:
    """Whether the engine itself answers there: kube-dns is the resolver's own address, which nothing may redirect."""
    return _SERVED_BY in meta.annotations(service)


def is_headless(service: Object) -> bool:
    return bool(get(service, "spec", "clusterIP") == "None")


def is_alias(service: Object) -> bool:
    return bool(get(service, "spec", "type") == "ExternalName")


# Forwards


def forwards_of(service: Object, slices: Sequence[Object], *, node_addresses: Sequence[str]) -> list[Forward]:
    """One forward per address and port of a Service, to endpoints of the same family; without any it refuses."""
    if is_alias(service) or is_headless(service):
        return []
    affinity = get(service, "spec", "sessionAffinity") == "ClientIP"
    found = []
    for port in get(service, "spec", "ports", default=()):
        protocol = port.get("protocol") or "TCP"
        if protocol not in _PROTOCOLS:
            continue
        ends = {family: endpoints_of(port, [one for one in slices if one.get("addressType", "IPv4") == family],
                                     publishes=_publishes(service)) for family in ("IPv4", "IPv6")}  # fmt: skip
        found += [
            Forward(address, protocol, number, ends[family_of(address)], affinity)
            for address, number in _fronts(service, port, node_addresses)
        ]
    return found


def _fronts(service: Object, port: Object, node_addresses: Sequence[str]) -> list[tuple[str, int]]:
    """Where a Service's port is to be reached: (address, port)."""
    fronts = [(address, int(port["port"])) for address in (*_cluster_ips(service), *ingress_ips(service))]
    if port.get("nodePort"):
        families = get(service, "spec", "ipFamilies", default=()) or ("IPv4",)
        fronts += [(one, int(port["nodePort"])) for one in node_addresses if family_of(one) in families]
    return fronts


def _cluster_ips(service: Object) -> list[str]:
    given = get(service, "spec", "clusterIPs") or [get(service, "spec", "clusterIP", default="")]
    return [address for address in given if address]


def ingress_ips(service: Object) -> list[str]:
    """The LoadBalancer addresses that were given to a Service."""
    if get(service, "spec", "type") != "LoadBalancer":
        return []
    entries = get(service, "status", "loadBalancer", "ingress", default=())
    return [entry["ip"] for entry in entries if entry.get("ip")]


def _publishes(service: Object) -> bool:
    return bool(get(service, "spec", "publishNotReadyAddresses"))


def endpoints_of(port: Object, slices: Sequence[Object], *, publishes: bool = False) -> tuple[tuple[str, int], ...]:
    """The endpoints of a Service's port: slices carry it under the same name, with the number it has there."""
    ready: list[tuple[str, int]] = []
    ending: list[tuple[str, int]] = []
    for one in slices:
        for number in _numbers(one, port):
            for endpoint in one.get("endpoints") or ():
                targets = [(address, number) for address in endpoint.get("addresses", ())[:1]]
                if publishes or _condition(endpoint, "ready", default=True):
                    ready += targets
                elif _condition(endpoint, "serving") and _condition(endpoint, "terminating"):
                    ending += targets
    return tuple(dict.fromkeys(ready or ending))


def _numbers(slice_: Object, port: Object) -> list[int]:
    wanted = (port.get("name") or "", port.get("protocol") or "TCP")
    return [
        int(one["port"]) for one in slice_.get("ports") or ()
        if (one.get("name") or "", one.get("protocol") or "TCP") == wanted and one.get("port")
    ]  # fmt: skip


def _condition(endpoint: Object, key: str, *, default: bool = False) -> bool:
    return bool(get(endpoint, "conditions", key, default=default))


# Names


class _Names:
    """The names of all Services as they are added."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._services: dict[str, list[tuple[int, str]]] = {}
        self._aliases: dict[str, str] = {}
        self._pointers: dict[str, str] = {}

    def add(self, service: Object, slices: Sequence[Object]) -> None:
        full = f"{name(service)}.{namespace(service)}.svc.{self._domain}".lower()
        if is_alias(service):
            self._aliases[full] = str(get(service, "spec", "externalName", default="")).rstrip(".").lower()
        elif is_headless(service):
            self._add_headless(full, service, slices)
        else:
            self._add_cluster_ip(full, service)

    def _add_cluster_ip(self, full: str, service: Object) -> None:
        ips = _cluster_ips(service)
        if not ips:
            return
        self._addresses[full] = tuple(ips)
        for ip in ips:
            self._pointers.setdefault(ip, full)
        for port in get(service, "spec", "ports", default=()):
            self._add_service(full, port, int(port["port"]), full)

    def _add_service(self, full: str, port: Object, number: int, target: str) -> None:
        if not port.get("name"):
            return
        key = f"_{port['name']}._{(port.get('protocol') or 'TCP')}.{full}".lower()
        entries = self._services.setdefault(key, [])
        if (number, target) not in entries:
            entries.append((number, target))

    def _add_headless(self, full: str, service: Object, slices: Sequence[Object]) -> None:
        found: dict[str, None] = {}
        for one in slices:
            for endpoint in one.get("endpoints") or ():
                if not (_publishes(service) or _condition(endpoint, "ready", default=True)):
                    continue
                for ip in endpoint.get("addresses", ())[:1]:
                    found[ip] = None
                    self._add_endpoint(full, ip, endpoint.get("hostname") or "", one)
        self._addresses[full] = tuple(found)

    def _add_endpoint(self, full: str, ip: str, hostname: str, slice_: Object) -> None:
        target = f"{hostname or ip.replace('.', '-').replace(':', '-')}.{full}".lower()
        self._addresses[target] = tuple(dict.fromkeys((*self._addresses.get(target, ()), ip)))
        if hostname:
            self._pointers[ip] = target
        else:
            self._pointers.setdefault(ip, target)
        for port in slice_.get("ports") or ():
            self._add_service(full, port, int(port.get("port") or 0), target)

    def snapshot(self, guests: Mapping[str, Guest]) -> Snapshot:
        services = {key: tuple(entries) for key, entries in self._services.items()}
        return Snapshot(self._domain, self._addresses, services, self._aliases, self._pointers, guests)


def warnings_of(service: Object) -> list[str]:
    """What a Service asks for and does not get, by path."""
    found = []
    if get(service, "spec", "externalIPs"):
        found.append("spec.externalIPs: not forwarded; use type LoadBalancer, which has an address of its own here")
    for index, port in enumerate(get(service, "spec", "ports", default=())):
        if (port.get("protocol") or "TCP") not in _PROTOCOLS:
            found.append(f"spec.ports[{index}].protocol: {port['protocol']} is not forwarded, only TCP and UDP are")
    return found


def search_domains(namespace_: str, subdomain: str = "", domain: str = DOMAIN) -> tuple[str, ...]:
    """The search list of a pod or guest, as the kubelet writes it; a VMI's subdomain comes first, as in KubeVirt."""
    own = (f"{subdomain}.{namespace_}.svc.{domain}",) if subdomain else ()
    return (*own, f"{namespace_}.svc.{domain}", f"svc.{domain}", domain)


def guests_of(machines: Iterable[Object], domain: str = DOMAIN) -> dict[str, Guest]:
    """What the guest in each launcher pod is told by DHCP, by pod uid (VMI status.activePods)."""
    found = {}
    for vmi in machines:
        hostname = str(get(vmi, "spec", "hostname") or name(vmi).partition(".")[0])
        guest = Guest(hostname, search_domains(namespace(vmi), str(get(vmi, "spec", "subdomain") or ""), domain))
        found.update(dict.fromkeys(get(vmi, "status", "activePods", default={}), guest))
    return found
