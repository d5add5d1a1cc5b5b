"""What a CNI configuration asks for, as far as networks of this machine can be: a switch, and addresses on it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

_SWITCHES = ("bridge", "cnv-bridge", "macvlan")
_CHAINED = ("tuning", "cnv-tuning")  # they set up the card that another plugin made; a bare one asks for nothing
_TUNING = frozenset({"type", "name", "cniVersion"})
_ACTED = frozenset({
    "cniVersion", "name", "type", "bridge", "vlan", "mtu", "master", "mode", "ipam", "macspoofchk", "dns", "plugins",
    "disableCheck", "capabilities", "hairpinMode", "promiscMode", "forceAddress", "preserveDefaultVlan",
    "linkInContainer",
})  # fmt: skip


class Unusable(ValueError):
    """A configuration that nothing can be attached to here; the text says why, naming the field."""


@dataclass(frozen=True)
class Addresses:
    """Where a card's addresses come from: a `pool` (CIDR, first and last) or those `given`; routes as (CIDR, via)."""

    pool: tuple[str, str, str] | None = None
    given: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Network:
    """A network of level 2. Cards with the same `segment` hear each other."""

    segment: str
    mtu: int = 0
    spoof_check: bool = False
    addresses: Addresses = Addresses()


def read(config: str, owner: str) -> Network:
    """The network that the definition `owner` (namespace/name) describes. Raises Unusable, naming what it is."""
    plugin = _plugin(_document(config))
    kind = plugin.get("type")
    if kind not in _SWITCHES:
        raise Unusable(f"the CNI plugin type {kind!r} is not supported (supported: bridge, macvlan)")
    if plugin.get("vlanTrunk"):
        raise Unusable('"vlanTrunk" is not supported')
    return Network(
        _segment(plugin, owner), _number(plugin, "mtu", 65535), bool(plugin.get("macspoofchk")),
        _addresses(plugin.get("ipam")),
    )  # fmt: skip


def idle(config: str) -> list[str]:
    """The keys of a configuration that have no effect here."""
    try:
        plugin = _plugin(_document(config))
    except Unusable:
        return []
    return sorted(key for key, value in plugin.items() if key not in _ACTED and value)


def _document(config: str) -> Mapping[str, Any]:
    try:
        found = json.loads(config or "")
    except ValueError as error:
        raise Unusable(f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unusable("it is not a JSON object")
    return found


def _plugin(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The plugin that makes the card; of a list the first, when the others have nothing to set up."""
    plugins = document.get("plugins")
    if plugins is None:
        return document
    if not isinstance(plugins, list) or not plugins or not all(isinstance(one, dict) for one in plugins):
        raise Unusable('"plugins" is not a list of plugins')
    for one in plugins[1:]:
        if one.get("type") not in _CHAINED or set(one) - _TUNING:
            raise Unusable(f"the chained CNI plugin type {one.get('type')!r} is not supported")
    first: Mapping[str, Any] = plugins[0]
    return first


def _segment(plugin: Mapping[str, Any], owner: str) -> str:
    """Bridges of one name are one switch, as on a node, and each VLAN of it another; a macvlan joins the bridge that
    it names as its master, else it has a switch of its own."""
    vlan = _number(plugin, "vlan", 4094)
    if plugin["type"] != "macvlan":
        name = str(plugin.get("bridge") or "cni0")
    elif master := plugin.get("master"):
        name = str(master)
        vlan = _number({"vlan": name.rpartition(".")[2]}, "vlan", 4094) if "." in name else 0
        name = name.partition(".")[0]
    else:
        return f"macvlan {owner}"
    return f"bridge {name} {vlan}" if vlan else f"bridge {name}"


def _number(plugin: Mapping[str, Any], key: str, largest: int) -> int:
    try:
        found = int(plugin.get(key) or 0)
    except (TypeError, ValueError):
        found = -1
    if not 0 <= found <= largest:
        raise Unusable(f'"{key}": {plugin.get(key)!r} is not a number from 0 to {largest}')
    return found


def _addresses(ipam: Any) -> Addresses:
    if not ipam or not ipam.get("type"):
        return Addresses()
    try:
        if ipam["type"] == "host-local":
            return _host_local(ipam)
        if ipam["type"] == "static":
            given = tuple(str(IPv4Interface(one["address"])) for one in ipam.get("addresses") or ())
            via = next((str(one["gateway"]) for one in ipam.get("addresses") or () if one.get("gateway")), "")
            return Addresses(given=given, routes=_routes(ipam.get("routes"), via))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f'"ipam": {error}') from None
    raise Unusable(f"the IPAM plugin type {ipam['type']!r} is not supported (supported: host-local, static, none)")


def _host_local(ipam: Mapping[str, Any]) -> Addresses:
    ranges = ipam.get("ranges") or [[ipam]]
    if len(ranges) != 1 or len(ranges[0]) != 1:
        raise ValueError("more than one range is not supported")
    one = ranges[0][0]
    subnet = IPv4Network(one["subnet"], strict=False)
    if subnet.prefixlen > 30:
        raise ValueError(f"subnet {subnet} has no room")
    gateway = str(one.get("gateway") or subnet[1])
    first, last = str(one.get("rangeStart") or subnet[1]), str(one.get("rangeEnd") or subnet[-2])
    if IPv4Interface(first).ip not in subnet or IPv4Interface(last).ip not in subnet:
        raise ValueError(f"rangeStart or rangeEnd is not in {subnet}")
    return Addresses((str(subnet), first, last), routes=_routes(ipam.get("routes"), gateway))


def _routes(routes: Iterable[Mapping[str, Any]] | None, gateway: str) -> tuple[tuple[str, str], ...]:
    found = tuple((str(IPv4Network(one["dst"])), str(one.get("gw") or gateway)) for one in routes or ())
    for destination, via in found:
        if not via:
            raise ValueError(f"the route to {destination} has no gateway")
        IPv4Interface(via)
    return found
