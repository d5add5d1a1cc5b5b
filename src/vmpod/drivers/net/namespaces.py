"""A pod's network namespace: the commands that make it, and the machine's side of it. Pure text.

Two programs make a pod's network: `ip -batch` on the host, and a shell inside the namespace.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from vmpod.drivers.net import nft
from vmpod.drivers.net.attachments import (
    GUEST_BRIDGE,
    Attachment,
    MachineNic,
    guest_network,
    guest_network6,
    outer_mac,
)
from vmpod.drivers.net.config import NetworkConfig

_GUEST_BRIDGE_MAC = "02:00:00:00:00:00"  # the same in every pod: a guest's neighbour table survives a move
_BRIDGE_HELPER = "169.254.75.10/32"  # KubeVirt's address for the DHCP server where the pod's own is gone


def script(attachment: Attachment, config: NetworkConfig) -> str:
    """A shell script for the host: namespace and devices, then what is to be done inside.

    One process to start, not one for each step: the engine stands still while it starts one.
    """
    off = f"/proc/sys/net/ipv6/conf/{attachment.device}/disable_ipv6"
    return "\n".join([
        "set -e", _here("ip -batch -", host_batch(attachment, config)), f"if [ -e {off} ]; then echo 1 > {off}; fi",
        f"nsenter --net={attachment.netns_path} sh -s <<'INSIDE'\n{inner_script(attachment, config)}INSIDE\n",
    ])  # fmt: skip


def host_batch(attachment: Attachment, config: NetworkConfig) -> str:
    """Commands for `ip -batch`: the namespace and the pair of devices that leads into it.

    Hairpin lets a pod reach itself through a service address.
    """
    a, state = attachment, "down" if attachment.standby else "up"
    return (
        f"netns add {a.netns}\n"
        f"link add {a.device} mtu {a.mtu} address {outer_mac(a)} master {config.bridge} group {config.group} type veth"
        f" peer name eth0 mtu {a.mtu} address {_inner_mac(a)} netns {a.netns}\n"
        f"link set {a.device} {state} type bridge_slave hairpin on\n"
    )


def _inner_mac(attachment: Attachment) -> str:
    """eth0's own address: the pod's, but where a guest took that over one that nobody else has."""
    if attachment.nic and attachment.nic.binding == "bridge":
        return "0a:5a" + "".join(f":{byte:02x}" for byte in _packed(attachment.ip))
    return attachment.mac


def _packed(ip: str) -> bytes:
    return bytes(int(part) for part in ip.split("."))


def inner_script(attachment: Attachment, config: NetworkConfig) -> str:
    """A shell script for the inside of the namespace: kernel settings, address, route, and a machine's bridge."""
    nic = attachment.bridged
    parts = ["set -e", _settings(attachment), _here("ip -batch -", _links(attachment, config))]
    if nic and nic.binding == "masquerade":
        table6 = masquerade_table6(attachment, nic) if attachment.guest_ip6 else ""
        parts.append(_here("nft -f -", masquerade_table(attachment, nic) + table6))
    elif nic:
        parts.append(_here("nft -f -", bridge_table(attachment)))
    return "\n".join(parts) + "\n"


def _here(command: str, text: str) -> str:
    return f"{command} <<'END'\n{text}END"


def _settings(attachment: Attachment) -> str:
    nic = attachment.bridged
    v4 = {
        "ip_unprivileged_port_start": "0", "ping_group_range": "0 2147483647",
        "conf/all/accept_redirects": "0", "conf/eth0/accept_redirects": "0",
    }  # fmt: skip
    if nic:
        v4 |= {"ip_forward": "1", "conf/all/route_localnet": "1", "conf/all/rp_filter": "0", "conf/eth0/rp_filter": "0"}
    lines = [f"echo '{value}' > {name}" for name, value in v4.items()]
    return "\n".join(["cd /proc/sys/net/ipv4", *lines, *_settings6(attachment)])


def _settings6(attachment: Attachment) -> list[str]:
    """Nobody on the bridge is a pod's router but the one that it is told of, and its address is known to be alone."""
    if not attachment.ip6:
        return ["if [ -e ../ipv6/conf/eth0 ]; then echo 1 > ../ipv6/conf/eth0/disable_ipv6; fi"]
    own = {"accept_dad": "0", "accept_ra": "0", "accept_redirects": "0", "disable_ipv6": "0"}
    lines = [f"echo {value} > ../ipv6/conf/{device}/{name}" for device in ("default", "eth0")
             for name, value in own.items()]  # fmt: skip
    return [*lines, "echo 0 > ../ipv6/conf/lo/disable_ipv6",
            *(["echo 1 > ../ipv6/conf/all/forwarding"] if attachment.guest_ip6 else [])]  # fmt: skip


def _links(attachment: Attachment, config: NetworkConfig) -> str:
    nic = attachment.bridged
    if nic and nic.binding == "bridge":
        return _bridge_links(attachment, nic)
    plain = (
        "link set lo up\n"
        f"addr add {attachment.ip}/{config.pods.prefixlen} broadcast + dev eth0\n"
        "link set eth0 up\n"
        f"route add default via {attachment.gateway}\n"
    )
    if attachment.ip6:
        plain += (
            f"addr add {attachment.ip6}/64 dev eth0 nodad\n"
            f"route add default via {attachment.gateway6} dev eth0 onlink\n"
        )
    return plain + (_masquerade_links(attachment, nic) if nic else "")


def _guest_links(attachment: Attachment, nic: MachineNic, address: str) -> str:
    return (
        f"link add {GUEST_BRIDGE} mtu {attachment.mtu} address {_GUEST_BRIDGE_MAC}"
        " type bridge forward_delay 0 mcast_snooping 0\n"
        f"addr add {address} dev {GUEST_BRIDGE}\n"
        f"link set {GUEST_BRIDGE} up\n"
        f"tuntap add dev {attachment.tap} mode tap user {nic.uid}{' multi_queue' if nic.queues > 1 else ''}\n"
        f"link set {attachment.tap} mtu {attachment.mtu} master {GUEST_BRIDGE}\n"
        f"link set {attachment.tap} up\n"
    )


def _masquerade_links(attachment: Attachment, nic: MachineNic) -> str:
    network = guest_network(nic)
    made = _guest_links(attachment, nic, f"{network[1]}/{network.prefixlen}")
    if not attachment.guest_ip6:
        return made
    network6 = guest_network6(nic)
    return made + f"addr add {network6[1]}/{network6.prefixlen} dev {GUEST_BRIDGE} nodad\n"


def _bridge_links(attachment: Attachment, nic: MachineNic) -> str:
    """The bridge learns nothing: with hairpin a guest's own broadcasts return, and would move its address."""
    return (
        "link set lo up\n"
        + _guest_links(attachment, nic, _BRIDGE_HELPER)
        + f"link set eth0 master {GUEST_BRIDGE}\n"
        "link set eth0 type bridge_slave learning off\n"
        f"link set {attachment.tap} type bridge_slave learning off\n"
        "link set eth0 up\n"
        f"route add 255.255.255.255/32 dev {GUEST_BRIDGE}\n"
    )


def masquerade_table(attachment: Attachment, nic: MachineNic) -> str:
    """The pod's address stands for the guest: for the listed ports, or for everything when none is listed."""
    guest, network = attachment.guest_ip, guest_network(nic)
    return nft.table("ip", "vmpod", [
        nft.chain("prerouting", "nat hook prerouting priority dstnat", [
            f'iifname "eth0" ip daddr {attachment.ip} {ports}dnat to {guest}' for ports in _port_matches(nic)
        ]),
        nft.chain("output", "nat hook output priority -100", [
            f"ip daddr {{ {attachment.ip}, 127.0.0.1 }} {ports}dnat to {guest}" for ports in _port_matches(nic)
        ]),
        nft.chain("postrouting", "nat hook postrouting priority srcnat", _postrouting(network, guest)),
    ])  # fmt: skip


def masquerade_table6(attachment: Attachment, nic: MachineNic) -> str:
    """The same for IPv6, but for the pod's own loopback address: the kernel lets no packet of that out."""
    guest, word = attachment.guest_ip6, f"ip6 daddr {attachment.ip6}"
    return nft.table("ip6", "vmpod", [
        nft.chain("prerouting", "nat hook prerouting priority dstnat", [
            f'iifname "eth0" {word} {ports}dnat to {guest}' for ports in _port_matches(nic)
        ]),
        nft.chain("output", "nat hook output priority -100", [
            f"{word} {ports}dnat to {guest}" for ports in _port_matches(nic)
        ]),
        nft.chain("postrouting", "nat hook postrouting priority srcnat", [
            f'ip6 saddr {guest} oifname "eth0" masquerade',
        ]),
    ])  # fmt: skip


def _postrouting(network: IPv4Network, guest: str) -> list[str]:
    return [
        f'ip saddr {guest} oifname "eth0" masquerade',
        f'ip saddr 127.0.0.0/8 oifname "{GUEST_BRIDGE}" snat to {network[1]}',
    ]


def _port_matches(nic: MachineNic) -> list[str]:
    by_protocol: dict[str, set[tuple[int, int]]] = {}
    for protocol, first, last in (*nic.ranges, *((protocol, port, port) for protocol, port in nic.ports)):
        by_protocol.setdefault(protocol.lower(), set()).add((first, last))
    if not by_protocol:
        return [""]
    return [f"{protocol} dport {{ {_spans(spans)} }} " for protocol, spans in sorted(by_protocol.items())]


def _spans(spans: set[tuple[int, int]]) -> str:
    """Ports and ranges as nftables takes them: what overlaps is one range."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in joined)


def bridge_table(attachment: Attachment) -> str:
    """Keeps DHCP inside, the guest to its own MAC address, and its own broadcasts from coming back.

    Nobody is a router here: neither the guest for others, nor they for it.
    """
    mac = attachment.guest_mac
    group = "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00"
    return nft.table("bridge", "vmpod", [
        nft.chain("prerouting", "filter hook prerouting priority 0", [
            f'iifname "eth0" ether saddr {mac} {group} drop',
        ]),
        nft.chain("output", "filter hook output priority 0", ['oifname "eth0" drop']),
        nft.chain("forward", "filter hook forward priority 0", [
            f'iifname "{attachment.tap}" udp dport 67 drop',
            f'iifname "{attachment.tap}" ether saddr != {mac} drop',
            "icmpv6 type nd-router-advert drop",
        ]),
    ])  # fmt: skip
