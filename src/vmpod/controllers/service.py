"""Service of type LoadBalancer → an address of its own from the home's pool, kept until the type changes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.children import fraction
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import SERVICE
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Note, Plan
from vmpod.reconcile.loop import Key, own

KIND = SERVICE
WATCHES = (own(SERVICE),)
_REQUESTS = ("vmpod.io/loadbalancer-ip", "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs")
_PENDING = "vmpod.io/LoadBalancerPending"
_LOOK_AGAIN_S = 10.0  # until another Service gives an address back


@dataclass(frozen=True)
class Seen:
    """A Service, the addresses that others hold, and the pool."""

    service: Object
    taken: frozenset[str]
    pool: str
    now: datetime


def gather(key: Key, cache: Cache, now: datetime, config: ControllerConfig) -> Seen | None:
    service = cache.get(SERVICE, *key)
    if service is None:
        return None
    asks = _is_ours(service) and not _address(service)
    others = cache.list(SERVICE) if asks else []
    taken = frozenset(_address(one) for one in others if uid(one) != uid(service)) - {""}
    return Seen(service, taken, config.loadbalancer_cidr, now)


def _is_ours(service: Object) -> bool:
    return get(service, "spec", "type") == "LoadBalancer" and not get(service, "spec", "loadBalancerClass")


def _address(service: Object) -> str:
    return str(get(service, "status", "loadBalancer", "ingress", 0, "ip", default=""))


def _requested(service: Object) -> str:
    found = (annotations_of(service).get(key, "").split(",")[0].strip() for key in _REQUESTS)
    return str(get(service, "spec", "loadBalancerIP", default="")) or next((ip for ip in found if ip), "")


def choose(seen: Seen) -> tuple[str, str]:
    """(address, "") or ("", why there is none). The search starts at a place given by the name, to find it again."""
    held, wanted = _address(seen.service), _requested(seen.service)
    if held and (not wanted or wanted == held):
        return held, ""
    pool = ipaddress.ip_network(seen.pool)
    if wanted:
        return _reserve(seen, pool, wanted)
    first, count = int(pool.network_address), pool.num_addresses
    edges = 1 if count > 2 else 0  # the pool's own network and broadcast addresses
    room = count - 2 * edges
    start = int(fraction(namespace(seen.service), name(seen.service)) * room)
    for step in range(room):
        candidate = str(ipaddress.ip_address(first + edges + (start + step) % room))
        if candidate not in seen.taken:
            return candidate, ""
    return "", f"all {room} addresses of the pool {seen.pool} are taken"


def _reserve(seen: Seen, pool: ipaddress.IPv4Network | ipaddress.IPv6Network, wanted: str) -> tuple[str, str]:
    try:
        inside = ipaddress.ip_address(wanted) in pool
    except ValueError:
        return "", f"the requested address {wanted!r} is no IP address"
    if not inside:
        return "", f"the requested address {wanted} is not in the pool {seen.pool}"
    return ("", f"the requested address {wanted} is held by another Service") if wanted in seen.taken else (wanted, "")


def plan(seen: Seen) -> Plan:
    if not _is_ours(seen.service) or is_deleting(seen.service):
        return Plan()
    address, why = choose(seen)
    if why:
        known = conditions.find(get(seen.service, "status", "conditions"), _PENDING) or {}
        note = Note("Warning", "SyncLoadBalancerFailed", f"Error syncing load balancer: {why}", seen.service)
        return Plan((), _LOOK_AGAIN_S, () if known.get("message") == why else (note,))
    if address == _address(seen.service):
        return Plan()
    return Plan(events=(Note("Normal", "EnsuredLoadBalancer", "Ensured load balancer", seen.service),))


def status(seen: Seen, plan: Plan) -> Object | None:
    old = seen.service.get("status") or {}
    rest = conditions.without(old.get("conditions"), _PENDING)
    if is_deleting(seen.service) or get(seen.service, "spec", "loadBalancerClass"):
        return None
    if not _is_ours(seen.service):
        return _status(old, "", rest) if _address(seen.service) else None
    address, why = choose(seen)
    if why:
        known = [one for one in old.get("conditions") or () if one.get("type") == _PENDING]
        rest += conditions.set_condition(known, _PENDING, True, "NoAddress", why, seen.now)
    return _status(old, address, rest)


def _status(old: Object, address: str, found: list[Object]) -> Object:
    fresh = {key: value for key, value in old.items() if key != "conditions"}
    fresh["loadBalancer"] = {"ingress": [{"ip": address, "ipMode": "VIP"}]} if address else {}
    return fresh | ({"conditions": found} if found else {})
