"""Services as nftables maps: `address . protocol . port [. random] → endpoint`. Pure rendering and differences.

One map per number of endpoints: with n endpoints a service has n keys, the last part a number below n, so each
endpoint gets the same share whatever n is, and there is one rule per map instead of one per service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from vmpod.drivers.net.config import NetworkConfig
from vmpod.drivers.net.nft import chain, foreign, table

_KEY = "ip daddr . meta l4proto . th dport"
_PLAIN = "ipv4_addr . inet_proto . inet_service"
_SEED = 0x76706F64  # the same endpoint for the same client after every replacement


@dataclass(frozen=True)
class Forward:
    """One port of one service address and where its connections go. No endpoints: refused at once.

    `affinity` sends a client always to the same endpoint (by a hash of its address).
    """

    address: str
    protocol: str
    port: int
    endpoints: tuple[tuple[str, int], ...]
    affinity: bool = False

    @property
    def key(self) -> str:
        return f"{self.address} . {self.protocol.lower()} . {self.port}"


@dataclass(frozen=True)
class Rules:
    """What the services table should hold: elements by map or set name, and the chains of services with affinity."""

    elements: Mapping[str, frozenset[str]] = field(default_factory=dict)
    affine: Mapping[str, str] = field(default_factory=dict)


def rules(forwards: Iterable[Forward]) -> Rules:
    """The rules that carry out the forwards; of several for one address, protocol and port the first counts."""
    elements: dict[str, set[str]] = {"dead": set(), "affine": set(), "hairpin": set(), "n1": set()}
    affine: dict[str, str] = {}
    for forward in _first_of_each(forwards):
        endpoints = sorted(set(forward.endpoints), key=lambda pair: (IPv4Address(pair[0]), pair[1]))
        elements["hairpin"].update(f"{ip} . {ip}" for ip, _ in endpoints)
        if forward.affinity and len(endpoints) > 1:
            name = _affine_name(forward)
            affine[name] = _affine_rule(forward, endpoints)
            elements["affine"].add(f"{forward.key} : goto {name}")
        else:
            place, entries = _spread(forward, endpoints)
            elements.setdefault(place, set()).update(entries)
    return Rules({name: frozenset(entries) for name, entries in elements.items()}, affine)


def _first_of_each(forwards: Iterable[Forward]) -> list[Forward]:
    seen: dict[str, Forward] = {}
    for forward in forwards:
        seen.setdefault(forward.key, forward)
    return list(seen.values())


def _spread(forward: Forward, endpoints: Sequence[tuple[str, int]]) -> tuple[str, list[str]]:
    """The map a service belongs to and its elements."""
    if not endpoints:
        return "dead", [forward.key]
    if len(endpoints) == 1:
        (ip, port), = endpoints
        return "n1", [f"{forward.key} : {ip} . {port}"]
    count = len(endpoints)
    return f"n{count}", [f"{forward.key} . {i} : {ip} . {port}" for i, (ip, port) in enumerate(endpoints)]


def _affine_name(forward: Forward) -> str:
    return f"affine_{int(IPv4Address(forward.address)):08x}_{forward.protocol.lower()}_{forward.port}"


def _affine_rule(forward: Forward, endpoints: Sequence[tuple[str, int]]) -> str:
    """Written out per service: a map typed by a hash cannot be listed again by nft 1.0.6 (it crashes)."""
    pairs = ", ".join(f"{i} : {ip} . {port}" for i, (ip, port) in enumerate(endpoints))
    choice = f"jhash ip saddr mod {len(endpoints)} seed {_SEED:#x}"
    return f"meta l4proto {forward.protocol.lower()} dnat ip to {choice} map {{ {pairs} }}"


def whole(config: NetworkConfig, desired: Rules, *, bridge_filter: bool) -> str:
    """The complete table in one transaction. `bridge_filter`: frames between two pods pass nftables (br_netfilter)."""
    pick = [_pick(name) for name in _counted(desired)]
    return table("ip", config.services_table, [
        *(_container(name, desired.elements[name]) for name in sorted(desired.elements)),
        *(chain(name, "", [rule]) for name, rule in sorted(desired.affine.items())),
        chain("pick", "", [*pick, f"{_KEY} vmap @affine"]),
        chain("prerouting", "nat hook prerouting priority dstnat - 10", [
            f"{foreign(config)} return",  # untranslated, the base table refuses them at once
            "jump pick",
        ]),
        chain("output", "nat hook output priority -110", ["jump pick"]),
        chain("postrouting", "nat hook postrouting priority srcnat - 10", [_back(config, bridge_filter)]),
        chain("input", "filter hook input priority filter", [
            f"meta l4proto tcp {_KEY} @dead reject with tcp reset", f"{_KEY} @dead reject",
        ]),
    ])  # fmt: skip


def _counted(desired: Rules) -> list[str]:
    return sorted((name for name in desired.elements if _modulus(name)), key=_modulus)


def _modulus(name: str) -> int:
    return int(name[1:]) if name[0] == "n" and name[1:].isdigit() else 0


def _container(name: str, elements: Iterable[str]) -> str:
    listed = ",\n      ".join(sorted(elements))
    body = f"    {_type(name)}\n" + (f"    elements = {{ {listed} }}\n" if listed else "")
    return f"  {_noun(name)} {name} {{\n{body}  }}"


def _noun(name: str) -> str:
    return "set" if name in ("dead", "hairpin") else "map"


def _type(name: str) -> str:
    count = _modulus(name)
    if count > 1:
        return f"typeof {_KEY} . numgen random mod {count} : ip daddr . th dport"
    return {
        "dead": f"type {_PLAIN}", "hairpin": "type ipv4_addr . ipv4_addr",
        "affine": f"type {_PLAIN} : verdict", "n1": f"type {_PLAIN} : ipv4_addr . inet_service",
    }[name]  # fmt: skip


def _pick(name: str) -> str:
    count = _modulus(name)
    draw = f" . numgen random mod {count}" if count > 1 else ""
    return f"dnat ip to {_KEY}{draw} map @{name}"


def _back(config: NetworkConfig, bridge_filter: bool) -> str:
    """Which connections must return through the host to be translated back.

    With br_netfilter only those of a pod to itself; without it every connection that stays on the bridge.
    """
    if bridge_filter:
        return "ct status dnat ip saddr . ip daddr @hairpin masquerade"
    pods: IPv4Network = config.pods
    return f"ct status dnat ip saddr {pods} ip daddr {pods} masquerade"


def difference(config: NetworkConfig, old: Rules, new: Rules) -> str | None:
    """The commands that turn a table holding `old` into `new`: empty when equal, None when to replace it whole."""
    if old.affine != new.affine or set(new.elements) - set(old.elements):
        return None
    lines: list[str] = []
    for name in sorted(old.elements):
        before, after = old.elements[name], new.elements.get(name, frozenset())
        lines += _element_command("delete", config, name, (_without_data(e) for e in before - after))
        lines += _element_command("add", config, name, after - before)
    return "".join(lines)


def _without_data(element: str) -> str:
    return element.partition(" : ")[0]


def _element_command(verb: str, config: NetworkConfig, name: str, elements: Iterable[str]) -> list[str]:
    listed = ", ".join(sorted(elements))
    return [f"{verb} element ip {config.services_table} {name} {{ {listed} }}\n"] if listed else []
