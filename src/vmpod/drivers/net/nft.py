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


def _reject(match: str, *, icmp: str = "port-unreachable") -> list[str]:
    """Refuse at once: a reset for TCP (an ICMP answer may be held back by its rate limit), ICMP for the rest."""
    return [f"{match} meta l4proto tcp reject with tcp reset", f"{match} reject with icmp {icmp}"]


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
    return table("ip", config.table, [
        chain("input", "filter hook input priority filter", _input(config)),
        chain("forward", "filter hook forward priority filter", _forward(config, ways)),
        chain("output", "filter hook output priority filter", _unclaimed(config)),
        chain("postrouting", "nat hook postrouting priority srcnat", _postrouting(config)),
    ])  # fmt: skip


def _input(config: NetworkConfig) -> list[str]:
    ours = f"ip daddr {{ {config.gateway}, {config.dns_address} }}"
    return [
        *_reject(f"{foreign(config)} {ours}"),
        *_only_dns(config),
    ]


def _only_dns(config: NetworkConfig) -> list[str]:
    """The resolver's address is one of the host, where a wildcard listener would answer on its other ports.

    Only what is new: the host asks from this very address, so that answers come to it too.
    """
    match = f"ip daddr {config.dns_address} ct state new"
    return [
        f"{match} tcp dport != 53 reject with tcp reset",
        f"{match} udp dport != 53 reject with icmp port-unreachable",
    ]


def _forward(config: NetworkConfig, ways: Ways) -> list[str]:
    ours = f'iifname "{config.bridge}"'
    outside = f'oifname != "{config.bridge}" oifname != "{config.service_device}"'
    closed = [] if config.egress else _reject(f"{ours} {outside}", icmp="admin-prohibited")
    return [
        *_guard(ways),
        f'iifname != "{config.bridge}" {outside} accept',
        *closed,
        "ct state established,related accept",
        f'{ours} oifname "{config.bridge}" accept',
        *_unclaimed(config),
        *_reject(f'oifname "{config.bridge}"', icmp="admin-prohibited"),
        *_reject(f'oifname {{ "{_BRIDGES}", "{_DEVICES}" }}', icmp="admin-prohibited"),
    ]


def _guard(ways: Ways) -> list[str]:
    """Where forwarding was off before us, strangers still cannot use this machine as their router."""
    return [f'iifname "{device}" ct state new ct status & dnat == 0 drop' for device in ways.uplinks]


def _unclaimed(config: NetworkConfig) -> list[str]:
    """Service addresses nobody claimed are refused, so that no packet for them leaves.

    By address, not by device: what the output hook translates still shows the device of its first route there.
    """
    service = f"ip daddr {{ {config.service_cidr}, {config.loadbalancer_cidr} }}"
    return _reject(f"{service} ip daddr != {config.dns_address}")


def _postrouting(config: NetworkConfig) -> list[str]:
    if not config.egress:
        return []
    return [f'ip saddr {config.pod_cidr} ip daddr != {config.pod_cidr} oifname != "{config.bridge}" masquerade']
