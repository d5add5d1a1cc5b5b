"""Service → EndpointSlices: the addresses of the pods it selects, at most 100 in one slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.backends import (
    Backend,
    Port,
    backends,
    by_ports,
    families,
    is_selecting,
    render_ports,
    services_of,
    target_ref,
)
from vmpod.controllers.children import delete, suffix
from vmpod.kinds import ENDPOINTSLICE, POD, SERVICE
from vmpod.model import selectors
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, owner_reference, uid
from vmpod.reconcile.actions import Action, Create, Plan, Replace
from vmpod.reconcile.loop import Key, Watch, own, owned_by

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER = "endpointslice-controller.k8s.io"
_HEADLESS = "service.kubernetes.io/headless"
_LIMIT = 100

KIND = SERVICE
WATCHES = (own(SERVICE), owned_by(ENDPOINTSLICE, SERVICE), Watch(POD, found=services_of))


@dataclass(frozen=True)
class Seen:
    """A Service, the pods it selects, and the slices that we wrote for it."""

    service: Object
    pods: tuple[Object, ...]
    slices: tuple[Object, ...]


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    service = cache.get(SERVICE, *key)
    if service is None:
        return None
    owned = cache.owned(ENDPOINTSLICE, uid(service))
    slices = tuple(one for one in owned if labels(one).get(MANAGED_BY) == _CONTROLLER)
    if not is_selecting(service):
        return Seen(service, (), slices)
    return Seen(service, tuple(cache.list(POD, key[0], selectors.from_map(service["spec"]["selector"]))), slices)


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.service):
        return Plan()
    wanted = {name(one): one for one in desired(seen.service, seen.pods)}
    found = {name(one): one for one in seen.slices if not is_deleting(one)}
    actions: list[Action] = [delete(ENDPOINTSLICE, one) for key, one in found.items() if key not in wanted]
    for key, one in wanted.items():
        if key not in found:
            actions.append(Create(ENDPOINTSLICE, one))
        elif _differs(found[key], one):
            meta = {**found[key]["metadata"], "labels": labels(one)}
            actions.append(Replace(ENDPOINTSLICE, {**one, "metadata": meta}))
    return Plan(tuple(actions))


def _differs(found: Object, wanted: Object) -> bool:
    return labels(found) != labels(wanted) or any(
        (found.get(key) or []) != (wanted.get(key) or []) for key in ("addressType", "endpoints", "ports"))


def desired(service: Object, selected: Sequence[Object]) -> list[Object]:
    """The slices that should exist, one without endpoints when nothing is selected; each holds one family."""
    if not is_selecting(service):
        return []
    return [one for family in families(service) for one in _of_family(service, selected, family)]


def _of_family(service: Object, selected: Sequence[Object], family: str) -> list[Object]:
    groups = by_ports(backends(service, selected, family)) or {(): []}
    mark = "" if family == "IPv4" else f".{family}"
    return [
        _slice(service, f"{index}.{start}{mark}", family, ports, members[start : start + _LIMIT])
        for index, (ports, members) in enumerate(groups.items())
        for start in range(0, max(1, len(members)), _LIMIT)
    ]


def _slice(service: Object, place: str, family: str, ports: Iterable[Port], members: Sequence[Backend]) -> Object:
    made = f"{name(service)}-{suffix(uid(service), place)}"
    inherited = {key: text for key, text in labels(service).items() if key != _HEADLESS}
    marks = inherited | {SERVICE_NAME: name(service), MANAGED_BY: _CONTROLLER}
    if get(service, "spec", "clusterIP") == "None":
        marks[_HEADLESS] = ""
    return {
        "apiVersion": ENDPOINTSLICE.api_version, "kind": "EndpointSlice", "addressType": family,
        "metadata": {
            "name": made, "generateName": f"{name(service)}-", "namespace": namespace(service), "labels": marks,
            "ownerReferences": [owner_reference(service)],
        },
        "endpoints": [_endpoint(service, one) for one in members], "ports": render_ports(ports),
    }  # fmt: skip


def _endpoint(service: Object, one: Backend) -> Object:
    publishes = bool(get(service, "spec", "publishNotReadyAddresses"))
    made: Object = {
        "addresses": [one.ip],
        "conditions": {"ready": publishes or (one.is_ready and not one.is_terminating), "serving": one.is_ready,
                       "terminating": one.is_terminating},
        "targetRef": target_ref(service, one),
    }
    made |= {key: text for key, text in (("nodeName", one.node), ("hostname", one.hostname)) if text}
    return made


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: a Service's status belongs to the controller of load balancers."""
    return None
