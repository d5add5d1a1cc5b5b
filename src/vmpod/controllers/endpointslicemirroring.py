"""Endpoints written by hand, for a Service without a selector → EndpointSlices, which the network follows.

After kube-controller-manager's endpointslicemirroring controller.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.backends import is_selecting
from vmpod.controllers.children import delete, suffix
from vmpod.kinds import ENDPOINTS, ENDPOINTSLICE, SERVICE
from vmpod.kinds.parts.addresses import family_of
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, owner_reference, uid
from vmpod.reconcile.actions import Action, Create, Plan, Replace
from vmpod.reconcile.loop import Key, own, owned_by

_CONTROLLER = "endpointslicemirroring-controller.k8s.io"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_SERVICE_NAME = "kubernetes.io/service-name"
_SKIP = "endpointslice.kubernetes.io/skip-mirror"

KIND = ENDPOINTS
WATCHES = (own(ENDPOINTS), own(SERVICE), owned_by(ENDPOINTSLICE, ENDPOINTS))


@dataclass(frozen=True)
class Seen:
    """Endpoints, the Service of their name, and the slices that mirror them."""

    endpoints: Object
    service: Object | None
    slices: tuple[Object, ...]


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    endpoints = cache.get(ENDPOINTS, *key)
    if endpoints is None:
        return None
    return Seen(endpoints, cache.get(SERVICE, *key), tuple(cache.owned(ENDPOINTSLICE, uid(endpoints))))


def plan(seen: Seen) -> Plan:
    if is_deleting(seen.endpoints):
        return Plan()
    wanted = {name(one): one for one in desired(seen)}
    found = {name(one): one for one in seen.slices if not is_deleting(one)}
    actions: list[Action] = [delete(ENDPOINTSLICE, one) for key, one in found.items() if key not in wanted]
    for key, one in wanted.items():
        if key not in found:
            actions.append(Create(ENDPOINTSLICE, one))
        elif _told(found[key]) != _told(one):
            head = {**found[key]["metadata"], "labels": labels(one)}
            actions.append(Replace(ENDPOINTSLICE, {**one, "metadata": head}))
    return Plan(tuple(actions))


def _told(one: Object) -> tuple[object, ...]:
    return labels(one), one.get("endpoints") or [], one.get("ports") or []


def desired(seen: Seen) -> list[Object]:
    """One slice for each subset and family; none where pods are selected, or the Endpoints ask not to be mirrored."""
    service = seen.service
    if service is None or is_selecting(service) or labels(seen.endpoints).get(_SKIP) == "true":
        return []
    subsets = enumerate(seen.endpoints.get("subsets") or ())
    return [_slice(seen.endpoints, place, one, family) for place, one in subsets for family in _families(one)]


def _families(subset: Object) -> list[str]:
    """Those of its addresses; a subset without any is mirrored too."""
    found = {_family(one) for key in ("addresses", "notReadyAddresses") for one in subset.get(key) or ()}
    return sorted(found) or ["IPv4"]


def _family(address: Object) -> str:
    return family_of(str(get(address, "ip")))


def _slice(endpoints: Object, place: int, subset: Object, family: str) -> Object:
    marks = labels(endpoints) | {_SERVICE_NAME: name(endpoints), _MANAGED_BY: _CONTROLLER}
    members = [_endpoint(one, ready=key == "addresses") for key in ("addresses", "notReadyAddresses")
               for one in subset.get(key) or () if _family(one) == family]  # fmt: skip
    seed = place if family == "IPv4" else f"{place}.{family}"
    return {
        "apiVersion": ENDPOINTSLICE.api_version, "kind": "EndpointSlice", "addressType": family,
        "metadata": {
            "name": f"{name(endpoints)}-{suffix(uid(endpoints), seed)}", "namespace": namespace(endpoints),
            "generateName": f"{name(endpoints)}-", "labels": marks, "ownerReferences": [owner_reference(endpoints)],
        },
        "endpoints": members,
        "ports": [{"name": one.get("name", ""), "port": one["port"], "protocol": one.get("protocol", "TCP")}
                  for one in subset.get("ports") or ()],
    }  # fmt: skip


def _endpoint(address: Object, *, ready: bool) -> Object:
    made: Object = {"addresses": [str(get(address, "ip"))], "conditions": {"ready": ready}}
    return made | {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}


def status(seen: Seen, plan: Plan) -> Object | None:
    """Nothing: Endpoints have no status."""
    return None
