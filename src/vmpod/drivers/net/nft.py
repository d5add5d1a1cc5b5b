"""The home's base table: who may talk to whom, and the way out. Pure text for `nft -f -`.

Every home protects its own ranges against the bridges of the others, so none has to know them.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmpod.drivers.net.config import NetworkConfig

_BRIDGES = "vp-*"  # every home's bridge
_DEVICES = "vs-*"  # every home's service device


@dataclass(frozen=True)
class Ways:
    """How the host forwards: `uplinks` are the devices on which forwarding is on only because of us."""

    uplinks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """A home's ranges of one family of addresses, and nftables' words for it."""

    word: str
    icmp: str
    pods: str
    services: tuple[str, ...]
    ours: tuple[str, ...]


def four(config: NetworkConfig) -> Family:
    """The home's IPv4."""
    services = (config.service_cidr, config.loadbalancer_cidr)
    return Family("ip", "icmp", config.pod_cidr, services, (config.gateway, config.dns_address))


def six(config: NetworkConfig) -> Family:
    """The home's IPv6, where it has one."""
    services = (str(config.services6), str(config.loadbalancers6))
    return Family("ip6", "icmpv6", str(config.pods6), services, (config.gateway6,))


def families(config: NetworkConfig) -> tuple[Family, ...]:
    """Those that the home has, IPv4 first."""
    return (four(config), six(config)) if config.block6 else (four(config),)


def _reject(match: str, *, icmp: str = "icmp port-unreachable") -> list[str]:
    """Refuse at once: a reset for TCP (an ICMP answer may be held back by its rate limit), ICMP for the rest."""
    return [f"{match} meta l4proto tcp reject with tcp reset", f"{match} reject with {icmp}"]


def chain(name: str, hook: str, rules: list[str]) -> str:
    """A chain; `hook` is empty for one that is only jumped to."""
    lines = [f"    type {hook}; policy accept;"] if hook else []
    return "\n".join([f"  chain {name} {{", *lines, *(f"    {rule}" for rule in rules), "  }"])


def table(family: str, name: str, parts: list[str]) -> str:
    """A whole table that replaces its former self in one transaction."""
    head = f"table {family} {name}\ndelete table {family} {name}\ntable {family} {name} {{"
    return "\n".join([head, *parts, "}"]) + "\n"


def foreign(config: NetworkConfig) -> str:
    """Matches what comes from the pods of other homes."""
    return f'iifname "{_BRIDGES}" iifname != "{config.bridge}"'


def base(config: NetworkConfig, ways: Ways) -> str:
    """Isolation, the refusal of unclaimed addresses, and egress of one home."""
    return _table(config, ways, four(config), _only_dns(config), f"ip daddr != {config.dns_address}")


def base6(config: NetworkConfig, ways: Ways) -> str:
    """The same for IPv6, for a home that has it."""
    return _table(config, ways, six(config), _no_host(config))


def _table(config: NetworkConfig, ways: Ways, family: Family, inward: list[str], kept: str = "") -> str:
    ours = f"{family.word} daddr {{ {', '.join(family.ours)} }}"
    guarded = [*_reject(f"{foreign(config)} {ours}", icmp=f"{family.icmp} port-unreachable"), *inward]
    return table(family.word, config.table, [
        chain("input", "filter hook input priority filter", guarded),
        chain("forward", "filter hook forward priority filter", _forward(config, ways, family, kept)),
        chain("output", "filter hook output priority filter", _unclaimed(family, kept)),
        chain("postrouting", "nat hook postrouting priority srcnat", _postrouting(config, family)),
    ])  # fmt: skip


def _only_dns(config: NetworkConfig) -> list[str]:
    """The resolver's address is one of the host, where a wildcard listener would answer on its other ports.

    Only what is new: the host asks from this very address, so that answers come to it too.
    """
    match = f"ip daddr {config.dns_address} ct state new"
    return [
        f"{match} tcp dport != 53 reject with tcp reset",
        f"{match} udp dport != 53 reject with icmp port-unreachable",
    ]


def _no_host(config: NetworkConfig) -> list[str]:
    """Nothing of the host is for pods by IPv6, whichever of its addresses they ask: only that it is there."""
    match = f'iifname "{config.bridge}"'
    return [
        f"{match} ct state established,related accept",
        f"{match} icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }} accept",
        f"{match} icmpv6 type {{ nd-router-solicit, nd-router-advert, nd-redirect, mld2-listener-report }} drop",
        *_reject(match, icmp="icmpv6 admin-prohibited"),
    ]


def _forward(config: NetworkConfig, ways: Ways, family: Family, kept: str) -> list[str]:
    ours, prohibited = f'iifname "{config.bridge}"', f"{family.icmp} admin-prohibited"
    outside = f'oifname != "{config.bridge}" oifname != "{config.service_device}"'
    closed = [] if config.egress else _reject(f"{ours} {outside}", icmp=prohibited)
    return [
        *_guard(ways),
        f'iifname != "{config.bridge}" {outside} accept',
        *closed,
        "ct state established,related accept",
        f'{ours} oifname "{config.bridge}" accept',
        *_unclaimed(family, kept),
        *_reject(f'oifname "{config.bridge}"', icmp=prohibited),
        *_reject(f'oifname {{ "{_BRIDGES}", "{_DEVICES}" }}', icmp=prohibited),
    ]


def _guard(ways: Ways) -> list[str]:
    """Where forwarding was off before us, strangers still cannot use this machine as their router."""
    return [f'iifname "{device}" ct state new ct status & dnat == 0 drop' for device in ways.uplinks]


def _unclaimed(family: Family, kept: str) -> list[str]:
    """Service addresses nobody claimed are refused, so that no packet for them leaves. `kept` is one of ours.

    By address, not by device: what the output hook translates still shows the device of its first route there.
    """
    service = f"{family.word} daddr {{ {', '.join(family.services)} }}"
    return _reject(f"{service} {kept}".rstrip(), icmp=f"{family.icmp} port-unreachable")


def _postrouting(config: NetworkConfig, family: Family) -> list[str]:
    if not config.egress:
        return []
    word, pods = family.word, family.pods
    return [f'{word} saddr {pods} {word} daddr != {pods} oifname != "{config.bridge}" masquerade']
