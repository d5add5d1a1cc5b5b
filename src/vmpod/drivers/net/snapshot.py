"""What the resolver process is told: names and DHCP leases, in one file replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from vmpod.drivers.net.attachments import GUEST_BRIDGE, Attachment, MachineNic, guest_network
from vmpod.drivers.net.config import NetworkConfig
from vmpod.drivers.net.links import DHCP_ADDRESS, Link


@dataclass(frozen=True)
class Guest:
    """What a guest is told by DHCP beyond its address."""

    hostname: str = ""
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """All names of the cluster domain, full names in lower case without the last dot.

    `addresses`: name → addresses of both families; `services`: SRV name → (port, target name); `aliases`: name →
    other name; `pointers`: address → name; `guests`: pod uid → what its guest is told.
    """

    domain: str = "cluster.local"
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    services: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    pointers: Mapping[str, str] = field(default_factory=dict)
    guests: Mapping[str, Guest] = field(default_factory=dict)


def encode(snapshot: Snapshot, config: NetworkConfig, attachments: Iterable[Attachment]) -> bytes:
    """The file's content: the snapshot with the leases of all attached machines. Pure."""
    attached = list(attachments)
    leases = [
        _lease(a, a.bridged, config, snapshot.guests.get(a.pod_uid, Guest())) for a in attached if a.bridged is not None
    ]
    leases += [_link_lease(a, link) for a in attached for link in a.links if link.wish.tap and link.addresses]
    return json.dumps({
        "domain": snapshot.domain, "egress": config.egress, "listen": config.dns_address,
        "reverse": [config.pod_cidr, config.service_cidr, config.loadbalancer_cidr,
                    *(map(str, (config.pods6, config.services6, config.loadbalancers6)) if config.block6 else ())],
        "a": {name: [ip for ip in ips if config.block6 or ":" not in ip] for name, ips in snapshot.addresses.items()},
        "srv": dict(snapshot.services), "cname": dict(snapshot.aliases),
        "ptr": dict(snapshot.pointers), "leases": leases,
    }).encode()  # fmt: skip


def renewed(path: Path, config: NetworkConfig, attachments: Iterable[Attachment]) -> bytes:
    """What the file holds, with settings and leases of now: for an engine that has not learned the names yet."""
    fresh: dict[str, Any] = json.loads(encode(Snapshot(), config, attachments))
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        kept = {}
    told = {lease["mac"]: lease for lease in kept.get("leases", ())}
    for lease in fresh["leases"]:
        before = told.get(lease["mac"], {})
        lease["hostname"] = lease["hostname"] or before.get("hostname", "")
        lease["search"] = lease["search"] or before.get("search", [])
    names = {key: kept[key] for key in ("domain", "a", "srv", "cname", "ptr") if key in kept}
    return json.dumps({**fresh, **names}).encode()


def _lease(a: Attachment, nic: MachineNic, config: NetworkConfig, guest: Guest) -> dict[str, Any]:
    """One machine's lease. The server's own address is the guest's gateway, as in KubeVirt's DHCP server."""
    network: IPv4Network = config.pods if nic.binding == "bridge" else guest_network(nic)
    router = a.gateway if nic.binding == "bridge" else str(network[1])
    # a card that is told its servers is told its domains with them, and there may be none
    search = nic.search if nic.servers else nic.search or guest.search
    return {
        "netns": a.netns_path, "device": GUEST_BRIDGE, "mac": a.guest_mac, "ip": a.guest_ip, "ip6": a.guest_ip6,
        "mask": str(network.netmask), "router": router, "server": router, "dns": config.dns_address,
        "mtu": a.mtu, "hostname": nic.hostname or guest.hostname, "search": list(search),
        "servers": list(nic.servers), "routes": [], "options": [list(option) for option in nic.options],
    }  # fmt: skip


def _link_lease(a: Attachment, link: Link) -> dict[str, Any]:
    """A machine's lease on a further network: an address, the routes of the network, no names of ours."""
    address = IPv4Interface(link.addresses[0])
    return {
        "netns": a.netns_path, "device": link.bridge, "mac": link.mac, "ip": str(address.ip),
        "mask": str(address.netmask), "router": "", "server": DHCP_ADDRESS, "dns": "", "mtu": link.wish.mtu,
        "hostname": "", "search": [], "routes": [list(route) for route in link.wish.routes],
    }  # fmt: skip


def write(path: Path, content: bytes) -> bool:
    """Replace the file in one step; False when it holds this content already."""
    if path.exists() and path.read_bytes() == content:
        return False
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
    return True
