"""Further networks of pods and machines: switches without any address, in a namespace of the home's own.

The switches do not sit in the host's namespace: no packet on them can reach an address of the host, a route of it,
or its firewall, whatever a guest sends. They go with their last card, all of them with the namespace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import count

from vmpod.base.errors import Problem

DHCP_ADDRESS = "169.254.75.10"  # KubeVirt's address for the DHCP server where the pod's own is gone
_SWITCH_PREFIX = "s"


@dataclass(frozen=True)
class LinkWish:
    """A card asked for: `network` is the definition (namespace/name), `segment` who hears it.

    `pool` is a range to draw an address from (CIDR, first, last); `given` are addresses in CIDR form. With a `tap`
    a machine's card is bridged to it, `uid` owns it, and the machine learns its address by DHCP. `owner` is whom the
    card belongs to where two pods may have it at once, as both ends of a migration do.
    """

    network: str
    segment: str
    interface: str
    mac: str = ""
    mtu: int = 1500
    pool: tuple[str, str, str] | None = None
    given: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    spoof_check: bool = False
    tap: str = ""
    queues: int = 1
    uid: int = 107
    owner: str = ""

    def is_of(self, other: LinkWish) -> bool:
        """Whether both are the same card of one owner."""
        same = (self.owner, self.segment, self.interface) == (other.owner, other.segment, other.interface)
        return bool(self.owner) and same


@dataclass(frozen=True)
class Link:
    """A card as it was made: `switch` and `port` are devices in the home's switch namespace."""

    wish: LinkWish
    mac: str
    addresses: tuple[str, ...]
    switch: str
    port: str

    @property
    def bridge(self) -> str:
        """The bridge between the pod's card and a machine's tap."""
        return f"k6t-{self.wish.interface.removeprefix('pod')}"


def namespace(home_id: str) -> str:
    return f"vmpod-{home_id}-switches"


def describe(
    netns: str, wishes: Iterable[LinkWish], others: Iterable[Link], kept: Iterable[Link] = ()
) -> tuple[Link, ...]:
    """The links that a pod's wishes make beside all `others` of the home; those in use, `kept`, stay as they are.

    Raises Problem when one cannot be.
    """
    there = {one.wish.interface: one for one in kept}
    known, made, ports = [*others, *there.values()], [], {one.port for one in there.values()}
    for wish in wishes:
        if wish.interface in there:
            made.append(there[wish.interface])
            continue
        mac = wish.mac or _drawn_mac(wish.owner or netns, wish.interface)
        if any(one.mac == mac and one.wish.segment == wish.segment and not one.wish.is_of(wish) for one in known):
            raise Problem(f"attach to the network {wish.network}", f"the MAC address {mac} is in use on it",
                          "give the machine another macAddress", "DuplicateMAC")  # fmt: skip
        port = next(name for number in count() if (name := f"p{netns[-12:]}{number:x}") not in ports)
        link = Link(wish, mac, _addresses(wish, known), _switch(wish.segment, known), port)
        known.append(link)
        ports.add(port)
        made.append(link)
    return tuple(made)


def _drawn_mac(owner: str, interface: str) -> str:
    digest = hashlib.sha256(f"{owner} {interface}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def _switch(segment: str, known: Iterable[Link]) -> str:
    names = {one.wish.segment: one.switch for one in known}
    if segment in names:
        return names[segment]
    taken = set(names.values())
    return next(name for number in range(len(taken) + 1) if (name := f"{_SWITCH_PREFIX}{number}") not in taken)


def _addresses(wish: LinkWish, known: list[Link]) -> tuple[str, ...]:
    if own := next((one.addresses for one in known if one.wish.is_of(wish)), ()):
        return own
    taken = {address.partition("/")[0]: one for one in known if one.wish.segment == wish.segment
             for address in one.addresses}
    for address in wish.given:
        if other := taken.get(address.partition("/")[0]):
            raise Problem(f"attach to the network {wish.network}", f"{address} is in use on it by {other.port}",
                          reason="AddressInUse")  # fmt: skip
    if wish.pool is None or wish.given:
        return wish.given
    cidr, first, last = wish.pool
    gateways = {via for _, via in wish.routes} | {str(IPv4Network(cidr)[1])}
    for number in range(int(IPv4Address(first)), int(IPv4Address(last)) + 1):
        address = str(IPv4Address(number))
        if address not in taken and address not in gateways:
            return (f"{address}/{IPv4Network(cidr).prefixlen}",)
    raise Problem(f"attach to the network {wish.network}", f"all addresses from {first} to {last} are in use",
                  reason="NoFreeAddress")  # fmt: skip


def switch_script(link: Link) -> str:
    """A shell script for the switch namespace: no IP of its own, and the switch of this link."""
    return (
        "set -e\n"
        "echo 0 > /proc/sys/net/ipv4/ip_forward\n"
        "for one in all default; do"
        " if [ -e /proc/sys/net/ipv6/conf/$one ]; then echo 1 > /proc/sys/net/ipv6/conf/$one/disable_ipv6; fi; done\n"
        f"ip link show {link.switch} >/dev/null 2>&1 ||"
        f" ip link add {link.switch} mtu {link.wish.mtu} type bridge forward_delay 0 mcast_snooping 0\n"
        f"ip link set {link.switch} up\n"
    )


def cable_batch(link: Link, netns: str, *, plugged: bool = True) -> str:
    """Commands for `ip -batch` inside the switch namespace: the cable from the switch into the pod."""
    w = link.wish
    inner = _cable_mac(link) if w.tap else link.mac
    return (
        f"link add {link.port} mtu {w.mtu} master {link.switch} type veth"
        f" peer name {w.interface} mtu {w.mtu} address {inner} netns {netns}\n"
        f"{plug_line(link, up=plugged)}"
    )


def plug_line(link: Link, *, up: bool) -> str:
    """The command for `ip -batch` that plugs a cable into its switch, or out of it."""
    return f"link set {link.port} {'up' if up else 'down'}\n"


def _cable_mac(link: Link) -> str:
    """The cable's own address: the guest's must be no port's, or the bridge keeps its frames."""
    digest = hashlib.sha256(link.port.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x0A, 0x5B, *digest[:4]))


def inner_script(link: Link) -> str:
    """A shell script for the pod's namespace: the card with its addresses, or the bridge to a machine's tap."""
    links = _tap_links(link) if link.wish.tap else _card_links(link)
    off = (f"if [ -e /proc/sys/net/ipv6/conf/{link.wish.interface} ]; then"
           f" echo 1 > /proc/sys/net/ipv6/conf/{link.wish.interface}/disable_ipv6; fi")
    parts = ["set -e", off, f"ip -batch - <<'END'\n{links}END"]
    if rules := _rules(link):
        parts.append(f"nft -f - <<'END'\n{rules}END")
    return "\n".join(parts) + "\n"


def removal_script(link: Link) -> str:
    """A shell script for the pod's namespace: what of a link does not go with its cable."""
    return "\n".join([
        f"ip link del {link.wish.tap} 2>/dev/null",
        f"ip link del {link.bridge} 2>/dev/null",
        f"nft delete table bridge {_table(link)} 2>/dev/null",
        "true\n",
    ]) if link.wish.tap else "true\n"


def _table(link: Link) -> str:
    return f"vmpod_{link.wish.interface}"


def _card_links(link: Link) -> str:
    card = link.wish.interface
    lines = [f"addr add {address} broadcast + dev {card}" for address in link.addresses]
    lines.append(f"link set {card} up")
    lines += [f"route replace {destination} via {via} dev {card}" for destination, via in link.wish.routes]
    return "\n".join(lines) + "\n"


def _tap_links(link: Link) -> str:
    w = link.wish
    several = " multi_queue" if w.queues > 1 else ""
    served = f"addr add {DHCP_ADDRESS}/32 dev {link.bridge}\n" if link.addresses else ""
    return (
        f"link add {link.bridge} mtu {w.mtu} address 02:00:00:00:00:00 type bridge forward_delay 0 mcast_snooping 0\n"
        f"{served}"
        f"link set {link.bridge} up\n"
        f"tuntap add dev {w.tap} mode tap user {w.uid}{several}\n"
        f"link set {w.tap} mtu {w.mtu} master {link.bridge}\n"
        f"link set {w.tap} up\n"
        f"link set {w.interface} master {link.bridge}\n"
        f"link set {w.interface} up\n"
    )


def _rules(link: Link) -> str:
    """Nothing of the pod's own goes out; DHCP stays inside where we answer; a foreign MAC where that is checked."""
    if not link.wish.tap:
        return ""
    tap, table = link.wish.tap, _table(link)
    forward = [f'iifname "{tap}" udp dport 67 drop'] if link.addresses else []
    forward += [f'iifname "{tap}" ether saddr != {link.mac} drop'] if link.wish.spoof_check else []
    rules = "\n".join(f"    {rule}" for rule in forward)
    return (
        f"table bridge {table}\ndelete table bridge {table}\ntable bridge {table} {{\n"
        f'  chain output {{\n    type filter hook output priority 0\n    oifname "{link.wish.interface}" drop\n  }}\n'
        f"  chain forward {{\n    type filter hook forward priority 0\n{rules}\n  }}\n}}\n"
    )
