"""Service of type LoadBalancer → addresses of its own from the home's pools, kept until the type changes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from vmpod.client.cache import Cache
from vmpod.controllers.backends import families
from vmpod.controllers.children import fraction
from vmpod.controllers.config import ControllerConfig
from vmpod.kinds import SERVICE
from vmpod.kinds.parts.addresses import version_of
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Note, Plan
from vmpod.reconcile.loop import Key, own

KIND = SERVICE
WATCHES = (own(SERVICE),)
_REQUESTS = ("vmpod.io/loadbalancer-ip", "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs")
_PENDING = "vmpod.io/LoadBalancerPending"
_MAKE = {"IPv4": ipaddress.IPv4Address, "IPv6": ipaddress.IPv6Address}
_LOOK_AGAIN_S = 10.0  # until another Service gives an address back


@dataclass(frozen=True)
class Seen:
    """A Service, the addresses that others hold, and the pool of each family."""

    service: Object
    taken: frozenset[str]
    pools: Mapping[str, str]
    now: datetime


def gather(key: Key, cache: Cache, now: datetime, config: ControllerConfig) -> Seen | None:
    service = cache.get(SERVICE, *key)
    if service is None:
        return None
    pools = {"IPv4": config.loadbalancer_cidr} | ({"IPv6": cidr} if (cidr := config.loadbalancer_cidr6) else {})
    asks = _is_ours(service) and len(_addresses(service)) < len(families(service))
    others = cache.list(SERVICE) if asks else []
    taken = frozenset(ip for one in others if uid(one) != uid(service) for ip in _addresses(one))
    return Seen(service, taken, pools, now)


def _is_ours(service: Object) -> bool:
    return get(service, "spec", "type") == "LoadBalancer" and not get(service, "spec", "loadBalancerClass")


def _addresses(service: Object) -> list[str]:
    found = get(service, "status", "loadBalancer", "ingress", default=())
    return [str(one["ip"]) for one in found if one.get("ip")]


def _requested(service: Object) -> list[str]:
    texts = [get(service, "spec", "loadBalancerIP", default=""),
             *(annotations_of(service).get(key, "") for key in _REQUESTS)]  # fmt: skip
    chosen = next((str(text) for text in texts if text), "")
    return [ip for part in chosen.split(",") if (ip := part.strip())]


def choose(seen: Seen) -> tuple[list[str], str]:
    """One address of each family, the Service's first one first, or none and why not."""
    wanted = {f"IPv{version_of(ip)}": ip for ip in reversed(_requested(seen.service))}
    if "IPv0" in wanted:
        return [], f"the requested address {wanted['IPv0']!r} is no IP address"
    found = []
    for family in [one for one in families(seen.service) if one in seen.pools] or ["IPv4"]:
        address, why = _choose(seen, family, wanted.get(family, ""))
        if why:
            return [], why
        found.append(address)
    return found, ""


def _choose(seen: Seen, family: str, wanted: str) -> tuple[str, str]:
    """The search starts at a place given by the name, to find the same address again."""
    held = next((ip for ip in _addresses(seen.service) if f"IPv{version_of(ip)}" == family), "")
    if held and (not wanted or wanted == held):
        return held, ""
    pool = ipaddress.ip_network(seen.pools[family])
    if wanted:
        return _reserve(seen, pool, wanted)
    first, count = int(pool.network_address), pool.num_addresses
    edges = 1 if count > 2 else 0  # the pool's own network and broadcast addresses
    room = count - 2 * edges
    start = int(fraction(namespace(seen.service), name(seen.service)) * room)
    for step in range(room):
        candidate = str(_MAKE[family](first + edges + (start + step) % room))
        if candidate not in seen.taken:
            return candidate, ""
    return "", f"all {room} addresses of the pool {pool} are taken"


def _reserve(seen: Seen, pool: ipaddress.IPv4Network | ipaddress.IPv6Network, wanted: str) -> tuple[str, str]:
    if ipaddress.ip_address(wanted) not in pool:
        return "", f"the requested address {wanted} is not in the pool {pool}"
    return ("", f"the requested address {wanted} is held by another Service") if wanted in seen.taken else (wanted, "")


def plan(seen: Seen) -> Plan:
    if not _is_ours(seen.service) or is_deleting(seen.service):
        return Plan()
    addresses, why = choose(seen)
    if why:
        known = conditions.find(get(seen.service, "status", "conditions"), _PENDING) or {}
        note = Note("Warning", "SyncLoadBalancerFailed", f"Error syncing load balancer: {why}", seen.service)
        return Plan((), _LOOK_AGAIN_S, () if known.get("message") == why else (note,))
    if addresses == _addresses(seen.service):
        return Plan()
    return Plan(events=(Note("Normal", "EnsuredLoadBalancer", "Ensured load balancer", seen.service),))


def status(seen: Seen, plan: Plan) -> Object | None:
    old = seen.service.get("status") or {}
    rest = conditions.without(old.get("conditions"), _PENDING)
    if is_deleting(seen.service) or get(seen.service, "spec", "loadBalancerClass"):
        return None
    if not _is_ours(seen.service):
        return _status(old, [], rest) if _addresses(seen.service) else None
    addresses, why = choose(seen)
    if why:
        known = [one for one in old.get("conditions") or () if one.get("type") == _PENDING]
        rest += conditions.set_condition(known, _PENDING, True, "NoAddress", why, seen.now)
    return _status(old, addresses, rest)


def _status(old: Object, addresses: list[str], found: list[Object]) -> Object:
    fresh = {key: value for key, value in old.items() if key != "conditions"}
    fresh["loadBalancer"] = {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in addresses]} if addresses else {}
    return fresh | ({"conditions": found} if found else {})
