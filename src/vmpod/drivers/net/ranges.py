"""Which addresses a home may take: a block that nothing on this machine routes and no other home claimed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from vmpod.base.errors import Problem

BLOCK_PREFIX = 18
_POOLS = tuple(IPv4Network(pool) for pool in (
    "10.128.0.0/9", "172.16.0.0/12", "100.64.0.0/10", "192.168.0.0/16",
))  # fmt: skip
_NEVER = (IPv4Network("10.0.2.0/24"), IPv4Network("10.88.0.0/16"), IPv4Network("10.244.0.0/16"))


@dataclass(frozen=True)
class Block:
    """The ranges cut out of one /18: 4,094 pods, 4,094 services, 254 LoadBalancer addresses."""

    network: IPv4Network

    @property
    def pods(self) -> IPv4Network:
        return self._slice(0, 20)

    @property
    def services(self) -> IPv4Network:
        return self._slice(1, 20)

    @property
    def loadbalancers(self) -> IPv4Network:
        return IPv4Network((int(self._slice(2, 20).network_address), 24))

    def _slice(self, index: int, prefix: int) -> IPv4Network:
        return IPv4Network((int(self.network.network_address) + index * (1 << (32 - prefix)), prefix))


def candidates(seed: str) -> Iterator[Block]:
    """Every block, those of one pool starting at a place drawn from `seed`, so that homes rarely meet."""
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    for pool in _POOLS:
        count = 1 << (BLOCK_PREFIX - pool.prefixlen)
        for step in range(count):
            offset = (start + step) % count * (1 << (32 - BLOCK_PREFIX))
            yield Block(IPv4Network((int(pool.network_address) + offset, BLOCK_PREFIX)))


def choose(seed: str, taken: Iterable[IPv4Network]) -> Block:
    """The first block that overlaps nothing in `taken`.

    Raises Problem when every private range is in use.
    """
    occupied = (*taken, *_NEVER)
    for block in candidates(seed):
        if not any(block.network.overlaps(network) for network in occupied):
            return block
    raise Problem(
        "choose addresses for pods and services", "every private IPv4 range is routed elsewhere on this machine",
        "remove a route (see: ip route), or another home (vmpod down --all)", "NoFreeRange",
    )


def block6(seed: str) -> IPv6Network:
    """A home's /48 of the unique local addresses (RFC 4193): 40 bits drawn from `seed`, which two homes never share."""
    drawn = hashlib.sha256(f"{seed} IPv6".encode()).digest()[:5]
    return IPv6Network((int.from_bytes(b"\xfd" + drawn + bytes(10)), 48))


def part6(block: str, index: int, prefix: int) -> IPv6Network:
    """The beginning of one of a block's /64 networks."""
    return IPv6Network((int(IPv6Network(block).network_address) + (index << 64), prefix))
