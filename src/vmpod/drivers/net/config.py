"""A home's own names and ranges, chosen once and recorded in `network/config.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.net import ranges
from vmpod.drivers.net.claims import Claim, Claims

_DNS_OFFSET = 10  # as kubeadm places the cluster DNS in the service range


@dataclass(frozen=True)
class NetworkConfig:
    """Names and ranges of one home's network; addresses in dotted form, ranges as CIDR.

    `gateway` is the bridge's address and so the node's address; `dns_address` lies in the service range, on
    the service device; `table` is the prefix of our nftables tables; `egress` whether pods may reach the outside.
    `block6` is the home's /48 of unique local addresses, empty where pods have IPv4 only.
    """

    home_id: str
    block: str
    bridge: str
    service_device: str
    pod_cidr: str
    service_cidr: str
    loadbalancer_cidr: str
    gateway: str
    dns_address: str
    table: str
    egress: bool = True
    block6: str = ""

    @property
    def pods6(self) -> IPv6Network:
        """A pod has the same number here as in `pods`. Raises ValueError where there is no IPv6."""
        return ranges.part6(self.block6, 0, 64)

    @property
    def services6(self) -> IPv6Network:
        return ranges.part6(self.block6, 1, 112)

    @property
    def loadbalancers6(self) -> IPv6Network:
        return ranges.part6(self.block6, 2, 112)

    @property
    def gateway6(self) -> str:
        return str(self.pods6[1])

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network(self.pod_cidr)

    @property
    def group(self) -> int:
        """The number that all our devices carry (`ip link … group`), so that they can be deleted in one step."""
        return int.from_bytes(hashlib.sha256(self.home_id.encode()).digest()[:4]) >> 1 or 1

    @property
    def services_table(self) -> str:
        return f"{self.table}_services"


def of_block(home_id: str, block: ranges.Block, *, egress: bool = True) -> NetworkConfig:
    """The configuration that follows from a home's id and its block. Device names stay within 15 characters."""
    short = home_id[:8]
    return NetworkConfig(
        home_id=home_id, block=str(block.network), bridge=f"vp-{short}", service_device=f"vs-{short}",
        pod_cidr=str(block.pods), service_cidr=str(block.services), loadbalancer_cidr=str(block.loadbalancers),
        gateway=str(block.pods[1]), dns_address=str(block.services[_DNS_OFFSET]), table=f"vmpod_{short}",
        egress=egress,
    )  # fmt: skip


def read(path: Path) -> NetworkConfig | None:
    """The recorded configuration; None when there is none or it cannot be read."""
    try:
        return NetworkConfig(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(path: Path, config: NetworkConfig) -> None:
    """Record the configuration, replacing the file in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(config), indent=1))
    fresh.replace(path)


def settle(
    path: Path, home_id: str, routed: Iterable[IPv4Network], claims: Claims, *, egress: bool, dual: bool = False
) -> NetworkConfig:
    """The home's configuration: the recorded one, else a free block claimed now.

    A record that was copied from another home (its id differs) is not believed. `dual` gives it IPv6 besides. Raises
    Problem when another home took the recorded block meanwhile, or no block is free.
    """
    with claims.locked():
        others = [claim for claim in claims.living() if claim.home_id != home_id]
        config = read(path)
        if config is None or config.home_id != home_id:
            taken = (*routed, *(claim.network for claim in others))
            config = of_block(home_id, ranges.choose(home_id, taken))
        _refuse_overlap(config, others)
        config = replace(config, egress=egress, block6=str(ranges.block6(home_id)) if dual else "")
        write(path, config)
        claims.write(Claim(home_id, config.block, str(path)))
        return config


def _refuse_overlap(config: NetworkConfig, others: Iterable[Claim]) -> None:
    for claim in others:
        if claim.network.overlaps(IPv4Network(config.block)):
            raise Problem(
                f"open the network {config.block} of this home", f"the home of {claim.record} uses it now",
                "remove that home's network (vmpod down --all there), or make this home anew", "RangeTaken",
            )  # fmt: skip
