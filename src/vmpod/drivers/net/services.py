"""Services as nftables maps: `address . protocol . port [. random] → endpoint`. Pure rendering and differences.

One map per number of endpoints: with n endpoints a service has n keys, the last part a number below n, so each
endpoint gets the same share whatever n is, and there is one rule per map instead of one per service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from vmpod.drivers.net.config import NetworkConfig
from vmpod.drivers.net.nft import Family, chain, foreign, table

_SEED = 0x76706F64  # the same endpoint for the same client after every replacement


@dataclass(frozen=True)
class Forward:
    """One port of one service address and where its connections go, to addresses of the same family. No endpoints:
    refused at once.

    `affinity` sends a client always to the same endpoint (by a hash of its address).
    """

    address: str
    protocol: str
    port: int
    endpoints: tuple[tuple[str, int], ...]
    affinity: bool = False

    @property
    def word(self) -> str:
        """nftables' word for the family of its addresses."""
        return "ip6" if ":" in self.address else "ip"

    @property
    def key(self) -> str:
        return f"{self.address} . {self.protocol.lower()} . {self.port}"


@dataclass(frozen=True)
class Rules:
    """What the services table should hold: elements by map or set name, and the chains of services with affinity."""

    elements: Mapping[str, frozenset[str]] = field(default_factory=dict)
    affine: Mapping[str, str] = field(default_factory=dict)


def rules(forwards: Iterable[Forward]) -> Rules:
    """The rules that carry out the forwards, all of one family.

    Of several for one address, protocol and port the first counts.
    """
    elements: dict[str, set[str]] = {"dead": set(), "affine": set(), "hairpin": set(), "n1": set()}
    affine: dict[str, str] = {}
    for forward in _first_of_each(forwards):
        endpoints = sorted(set(forward.endpoints), key=lambda pair: (int(ip_address(pair[0])), pair[1]))
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
    return f"affine_{int(ip_address(forward.address)):08x}_{forward.protocol.lower()}_{forward.port}"


def _affine_rule(forward: Forward, endpoints: Sequence[tuple[str, int]]) -> str:
    """Written out per service: a map typed by a hash cannot be listed again by nft 1.0.6 (it crashes)."""
    pairs = ", ".join(f"{i} : {ip} . {port}" for i, (ip, port) in enumerate(endpoints))
    choice = f"jhash {forward.word} saddr mod {len(endpoints)} seed {_SEED:#x}"
    return f"meta l4proto {forward.protocol.lower()} dnat {forward.word} to {choice} map {{ {pairs} }}"


def _key(family: Family) -> str:
    return f"{family.word} daddr . meta l4proto . th dport"


def whole(config: NetworkConfig, family: Family, desired: Rules, *, bridge_filter: bool) -> str:
    """The complete table in one transaction. `bridge_filter`: frames between two pods pass nftables (br_netfilter)."""
    pick, key = [_pick(family, name) for name in _counted(desired)], _key(family)
    return table(family.word, config.services_table, [
        *(_container(family, name, desired.elements[name]) for name in sorted(desired.elements)),
        *(chain(name, "", [rule]) for name, rule in sorted(desired.affine.items())),
        chain("pick", "", [*pick, f"{key} vmap @affine"]),
        chain("prerouting", "nat hook prerouting priority dstnat - 10", [
            f"{foreign(config)} return",  # untranslated, the base table refuses them at once
            "jump pick",
        ]),
        chain("output", "nat hook output priority -110", ["jump pick"]),
        chain("postrouting", "nat hook postrouting priority srcnat - 10", [_back(family, bridge_filter)]),
        chain("input", "filter hook input priority filter", [
            f"meta l4proto tcp {key} @dead reject with tcp reset", f"{key} @dead reject",
        ]),
    ])  # fmt: skip


def _counted(desired: Rules) -> list[str]:
    return sorted((name for name in desired.elements if _modulus(name)), key=_modulus)


def _modulus(name: str) -> int:
    return int(name[1:]) if name[0] == "n" and name[1:].isdigit() else 0


def _container(family: Family, name: str, elements: Iterable[str]) -> str:
    listed = ",\n      ".join(sorted(elements))
    body = f"    {_type(family, name)}\n" + (f"    elements = {{ {listed} }}\n" if listed else "")
    return f"  {_noun(name)} {name} {{\n{body}  }}"


def _noun(name: str) -> str:
    return "set" if name in ("dead", "hairpin") else "map"


def _type(family: Family, name: str) -> str:
    count, address = _modulus(name), "ipv6_addr" if family.word == "ip6" else "ipv4_addr"
    plain = f"{address} . inet_proto . inet_service"
    if count > 1:
        return f"typeof {_key(family)} . numgen random mod {count} : {family.word} daddr . th dport"
    return {
        "dead": f"type {plain}", "hairpin": f"type {address} . {address}",
        "affine": f"type {plain} : verdict", "n1": f"type {plain} : {address} . inet_service",
    }[name]  # fmt: skip


def _pick(family: Family, name: str) -> str:
    count = _modulus(name)
    draw = f" . numgen random mod {count}" if count > 1 else ""
    return f"dnat {family.word} to {_key(family)}{draw} map @{name}"


def _back(family: Family, bridge_filter: bool) -> str:
    """Which connections must return through the host to be translated back.

    With br_netfilter only those of a pod to itself; without it every connection that stays on the bridge.
    """
    if bridge_filter:
        return f"ct status dnat {family.word} saddr . {family.word} daddr @hairpin masquerade"
    return f"ct status dnat {family.word} saddr {family.pods} {family.word} daddr {family.pods} masquerade"


def difference(config: NetworkConfig, family: Family, old: Rules, new: Rules) -> str | None:
    """The commands that turn a table holding `old` into `new`: empty when equal, None when to replace it whole."""
    if old.affine != new.affine or set(new.elements) - set(old.elements):
        return None
    lines: list[str] = []
    for name in sorted(old.elements):
        before, after = old.elements[name], new.elements.get(name, frozenset())
        place = f"{family.word} {config.services_table} {name}"
        lines += _element_command("delete", place, (_without_data(e) for e in before - after))
        lines += _element_command("add", place, after - before)
    return "".join(lines)


def _without_data(element: str) -> str:
    return element.partition(" : ")[0]


def _element_command(verb: str, place: str, elements: Iterable[str]) -> list[str]:
    listed = ", ".join(sorted(elements))
    return [f"{verb} element {place} {{ {listed} }}\n"] if listed else []
