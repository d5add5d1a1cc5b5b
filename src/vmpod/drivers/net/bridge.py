"""The home's two devices: the bridge that pods hang on, and the device that service addresses are routed to.

The service device is a bridge without ports: unlike a dummy device every kernel that can run pods has it. It is
never left by a packet: what nobody claimed is refused by the home's table, and dropped here should that be gone.
"""

from __future__ import annotations

from vmpod.base import proc
from vmpod.drivers.net import hostnet
from vmpod.drivers.net.attachments import mac_of
from vmpod.drivers.net.config import NetworkConfig

_WHAT = "set up the network devices of this home"
_FIX = "run the engine as root (or: vmpod doctor)"


def batch(config: NetworkConfig, *, add: tuple[str, ...]) -> str:
    """Commands for `ip -batch`; `add` names the devices that are missing. Pure."""
    lines = [
        f"link add {device} address {mac_of(address)} group {config.group} type bridge forward_delay 0 mcast_snooping 0"
        for device, address in _devices(config) if device in add
    ]  # fmt: skip
    return "\n".join([
        *lines,
        f"addr replace {config.gateway}/{config.pods.prefixlen} broadcast + dev {config.bridge}",
        f"addr replace {config.dns_address}/32 dev {config.service_device}",
        f"link set {config.bridge} up",
        f"link set {config.service_device} arp off up",
        *(
            f"route replace {cidr} dev {config.service_device} src {config.gateway}"
            for cidr in (config.service_cidr, config.loadbalancer_cidr)
        ),
    ]) + "\n"  # fmt: skip


def _devices(config: NetworkConfig) -> tuple[tuple[str, str], ...]:
    return (config.bridge, config.gateway), (config.service_device, config.dns_address)


def _batch6(config: NetworkConfig) -> str:
    return f"addr replace {config.gateway6}/{config.pods6.prefixlen} dev {config.bridge} nodad\n" + "".join(
        f"route replace {cidr} dev {config.service_device} src {config.gateway6}\n"
        for cidr in (config.services6, config.loadbalancers6)
    )


async def ensure(config: NetworkConfig) -> None:
    """Make both devices, or complete what is there. Raises Problem when the host refuses."""
    missing = tuple(device for device, _ in _devices(config) if not hostnet.exists(device))
    await proc.run(["ip", "-batch", "-"], stdin=batch(config, add=missing).encode(), what=_WHAT, fix=_FIX)
    hostnet.write_bridge(config.bridge, "nf_call_iptables", "1")
    for device, _ in _devices(config):
        for name, value in _settings6(config):
            hostnet.write_setting(f"ipv6/conf/{device}/{name}", value)
        hostnet.write_setting(f"ipv4/conf/{device}/forwarding", "1")
        hostnet.write_setting(f"ipv4/conf/{device}/send_redirects", "0")
        hostnet.write_setting(f"ipv4/conf/{device}/rp_filter", "0")
    if config.block6:
        hostnet.write_bridge(config.bridge, "nf_call_ip6tables", "1")
        await proc.run(["ip", "-batch", "-"], stdin=_batch6(config).encode(), what=_WHAT, fix=_FIX)


def _settings6(config: NetworkConfig) -> tuple[tuple[str, str], ...]:
    """No pod is this host's router, and addresses are known to be alone: they need not be asked for first."""
    if not config.block6:
        return (("disable_ipv6", "1"),)
    return (("accept_ra", "0"), ("accept_dad", "0"), ("accept_redirects", "0"), ("disable_ipv6", "0"),
            ("force_forwarding", "1"))
