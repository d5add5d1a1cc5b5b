"""Service → Endpoints: the older form of EndpointSlices, for clients that still read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.backends import (
    Backend,
    backends,
    by_ports,
    families,
    is_selecting,
    render_ports,
    services_of,
    target_ref,
)
from vmpod.controllers.children import delete
from vmpod.kinds import ENDPOINTS, POD, SERVICE
from vmpod.model import selectors
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Create, Plan, Replace
from vmpod.reconcile.loop import Key, Watch, own

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
_CONTROLLER = "endpoint-controller"
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_HEADLESS = "service.kubernetes.io/headless"
_LIMIT = 1000

KIND = SERVICE
WATCHES = (own(SERVICE), own(ENDPOINTS), Watch(POD, found=services_of))


@dataclass(frozen=True)
class Seen:
    """A Service (None: gone), the pods it selects, and the Endpoints of its name."""

    service: Object | None
    pods: tuple[Object, ...]
    endpoints: Object | None


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    service, found = cache.get(SERVICE, *key), cache.get(ENDPOINTS, *key)
    if service is None or not is_selecting(service):
        return Seen(service, (), found) if found is not None else None
    return Seen(service, tuple(cache.list(POD, key[0], selectors.from_map(service["spec"]["selector"]))), found)


def plan(seen: Seen) -> Plan:
    service, found = seen.service, seen.endpoints
    if service is None or not is_selecting(service):
        is_stale = found is not None and labels(found).get(MANAGED_BY) == _CONTROLLER and service is None
        return Plan((delete(ENDPOINTS, found),)) if found is not None and is_stale else Plan()
    if is_deleting(service):
        return Plan()
    wanted = desired(service, seen.pods)
    if found is None:
        return Plan((Create(ENDPOINTS, wanted),))
    if _told(found) == _told(wanted):
        return Plan()
    meta = {**found["metadata"], "labels": labels(wanted), "annotations": _annotations(found, wanted)}
    return Plan((Replace(ENDPOINTS, {**wanted, "metadata": meta}),))


def _annotations(found: Object, wanted: Object) -> dict[str, str]:
    kept = {key: text for key, text in annotations_of(found).items() if key != _OVER_CAPACITY}
    return kept | annotations_of(wanted)


def _told(endpoints: Object) -> tuple[object, ...]:
    return endpoints.get("subsets") or [], labels(endpoints), annotations_of(endpoints).get(_OVER_CAPACITY)


def desired(service: Object, selected: Sequence[Object]) -> Object:
    """The Endpoints object of a Service; pods on their way out are in it only with publishNotReadyAddresses."""
    publishes = bool(get(service, "spec", "publishNotReadyAddresses"))
    found = [one for one in backends(service, selected, families(service)[0]) if publishes or not one.is_terminating]
    marks = labels(service) | {MANAGED_BY: _CONTROLLER}
    if get(service, "spec", "clusterIP") == "None":
        marks[_HEADLESS] = ""
    meta: Object = {"name": name(service), "namespace": namespace(service), "labels": marks}
    if len(found) > _LIMIT:
        meta["annotations"] = {_OVER_CAPACITY: "truncated"}
    groups = by_ports(found[:_LIMIT])
    made: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
    subsets = [_subset(service, members, publishes) | _ports_of(members) for members in groups.values()]
    return made | ({"subsets": subsets} if subsets else {})


def _ports_of(members: Sequence[Backend]) -> Object:
    ports = [{key: value for key, value in one.items() if value != ""} for one in render_ports(members[0].ports)]
    return {"ports": ports} if ports else {}


def _subset(service: Object, members: Sequence[Backend], publishes: bool) -> Object:
    ready = [_address(service, one) for one in members if one.is_ready or publishes]
    others = [_address(service, one) for one in members if not (one.is_ready or publishes)]
    return {key: found for key, found in (("addresses", ready), ("notReadyAddresses", others)) if found}


def _address(service: Object, one: Backend) -> Object:
    made: Object = {"ip": one.ip, "targetRef": target_ref(service, one)}
    return made | {key: text for key, text in (("nodeName", one.node), ("hostname", one.hostname)) if text}


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: neither kind has a status of ours."""
    return None
