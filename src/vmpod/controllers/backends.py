"""The pods behind a Service, as EndpointSlices and Endpoints both tell them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from vmpod.client.cache import Cache
from vmpod.controllers import pods
from vmpod.kinds import SERVICE
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, uid
from vmpod.reconcile.loop import Key


@dataclass(frozen=True, order=True)
class Port:
    """A port of a Service as one pod answers it."""

    name: str
    port: int
    protocol: str
    app_protocol: str = ""


@dataclass(frozen=True)
class Backend:
    """One pod behind a Service. `hostname` is its name below a headless Service, empty for none."""

    ip: str
    pod: str
    uid: str
    node: str
    hostname: str
    is_ready: bool
    is_terminating: bool
    ports: tuple[Port, ...]


def is_selecting(service: Object) -> bool:
    """Whether endpoints of this Service are ours to write."""
    return bool(get(service, "spec", "selector")) and get(service, "spec", "type") != "ExternalName"


def families(service: Object) -> tuple[str, ...]:
    """The families of addresses that a Service has, the first one first."""
    return tuple(get(service, "spec", "ipFamilies", default=())) or ("IPv4",)


def backends(service: Object, selected: Iterable[Object], family: str) -> list[Backend]:
    """The pods that have an address of a family and have not ended, sorted by name; pods that lack every port are
    left out."""
    found = [_backend(service, pod, ip) for pod in selected
             if (ip := pods.pod_ip_of(pod, family)) and not pods.is_terminal(pod)]  # fmt: skip
    wants_ports = bool(get(service, "spec", "ports"))
    return sorted((one for one in found if one.ports or not wants_ports), key=lambda one: one.pod)


def _backend(service: Object, pod: Object, ip: str) -> Backend:
    hostname = str(get(pod, "spec", "hostname", default=""))
    is_named = hostname and get(pod, "spec", "subdomain") == name(service)
    return Backend(
        ip, name(pod), uid(pod), str(get(pod, "spec", "nodeName", default="")),
        hostname if is_named else "", pods.is_ready(pod), is_deleting(pod), tuple(_ports(service, pod)),
    )


def _ports(service: Object, pod: Object) -> Iterable[Port]:
    for one in get(service, "spec", "ports", default=()):
        protocol = str(one.get("protocol") or "TCP")
        target = one.get("targetPort") or one["port"]
        number = target if isinstance(target, int) else _named_port(pod, str(target), protocol)
        if number:
            yield Port(str(one.get("name") or ""), number, protocol, str(one.get("appProtocol") or ""))


def _named_port(pod: Object, wanted: str, protocol: str) -> int:
    containers = [*get(pod, "spec", "initContainers", default=()), *get(pod, "spec", "containers", default=())]
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("name") == wanted and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return int(wanted) if wanted.isdecimal() else 0


def by_ports(found: Sequence[Backend]) -> dict[tuple[Port, ...], list[Backend]]:
    """Backends that answer the same ports, together."""
    groups: dict[tuple[Port, ...], list[Backend]] = {}
    for one in found:
        groups.setdefault(one.ports, []).append(one)
    return dict(sorted(groups.items()))


def render_ports(ports: Iterable[Port]) -> list[Object]:
    """Ports as both kinds write them."""
    return [
        {"name": port.name, "port": port.port, "protocol": port.protocol}
        | ({"appProtocol": port.app_protocol} if port.app_protocol else {})
        for port in ports
    ]


def target_ref(service: Object, one: Backend) -> Object:
    """The pod that an endpoint stands for."""
    return {"kind": "Pod", "name": one.pod, "namespace": namespace(service), "uid": one.uid}


_Index = dict[str, list[tuple[Key, dict[str, str]]]]
_INDEXES: WeakKeyDictionary[Cache, tuple[int, _Index]] = WeakKeyDictionary()


def services_of(pod: Object, cache: Cache) -> list[Key]:
    """The Services that select a pod by its labels."""
    marks = labels(pod).items()
    return [key for key, wanted in _index(cache).get(namespace(pod), ()) if wanted.items() <= marks]


def _index(cache: Cache) -> _Index:
    """Selectors by namespace, made once for each state of the Services: pods change far more often."""
    revision = cache.revision(SERVICE)
    known = _INDEXES.get(cache)
    if known is None or known[0] != revision:
        known = revision, _selectors(cache)
        _INDEXES[cache] = known
    return known[1]


def _selectors(cache: Cache) -> _Index:
    index: _Index = {}
    for service in cache.list(SERVICE):
        if is_selecting(service):
            entry = (namespace(service), name(service)), dict(service["spec"]["selector"])
            index.setdefault(namespace(service), []).append(entry)
    return index
