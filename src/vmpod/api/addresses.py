"""Addresses and node ports of Services: who holds which, and the next free one."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator

_API_OFFSET = 1
_DNS_OFFSET = 10
_SAMPLES = 64

Holder = tuple[str, str]  # namespace, name of the Service
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ServiceAddresses:
    """What is taken of the service range and of the node ports.

    Held in memory only: the Services in the store are the truth, read once at the start.
    """

    def __init__(self, cidr: str, ports: tuple[int, int], *, cidr6: str = "", rng: random.Random | None = None) -> None:
        self.network = ipaddress.IPv4Network(cidr)
        self.networks: dict[str, _Network] = {"IPv4": self.network}
        if cidr6:
            self.networks["IPv6"] = ipaddress.IPv6Network(cidr6)
        self.ports = ports
        self._rng = rng or random.Random()
        self._ips: dict[str, Holder] = {}
        self._ports: dict[tuple[str, int], Holder] = {}

    @property
    def families(self) -> tuple[str, ...]:
        """The families of addresses that there are, the first one being the default."""
        return tuple(self.networks)

    @property
    def reserved(self) -> dict[str, Holder]:
        """The addresses that only one Service each may take."""
        return {
            str(self.network[_API_OFFSET]): ("default", "kubernetes"),
            str(self.network[_DNS_OFFSET]): ("kube-system", "kube-dns"),
        }

    def take_ip(self, ip: str, holder: Holder) -> str:
        """Why the address cannot be had; empty when it now is the holder's."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return "must be a valid IP address, (e.g. 10.9.8.7)"
        network = self.networks.get(f"IPv{address.version}", self.network)
        if address not in network or address in (network[0], network[-1]):
            return (
                f"failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. "
                f"The range of valid IPs is {network}"
            )
        ip = str(address)
        if self._ips.get(ip, holder) != holder:
            return f"failed to allocate IP {ip}: provided IP is already allocated"
        self._ips[ip] = holder
        return ""

    def next_ip(self, holder: Holder, family: str = "IPv4") -> str:
        """A free address of a family that there is, now the holder's; empty when the range is full.

        The reserved ones are left alone, except to those that they are reserved for.
        """
        for ip, owner in self.reserved.items():
            if family == "IPv4" and owner == holder and ip not in self._ips:
                self._ips[ip] = holder
                return ip
        for ip in self._candidates(self.networks[family]):
            if ip not in self._ips and ip not in self.reserved:
                self._ips[ip] = holder
                return ip
        return ""

    def _candidates(self, network: _Network) -> Iterator[str]:
        """Some addresses at random, then all: random so that a freed one is not soon somebody else's."""
        size: int = network.num_addresses
        for _ in range(_SAMPLES):
            yield str(network[self._rng.randrange(1, size - 1)])
        for offset in range(1, size - 1):
            yield str(network[offset])

    def take_port(self, protocol: str, port: int, holder: Holder) -> str:
        """Why the node port cannot be had; empty when it now is the holder's."""
        low, high = self.ports
        if not low <= port <= high:
            return f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
        if self._ports.get((protocol, port), holder) != holder:
            return "provided port is already allocated"
        self._ports[protocol, port] = holder
        return ""

    def next_port(self, protocols: set[str], holder: Holder) -> int:
        """A node port free in every protocol, now the holder's; 0 when none is left."""
        low, high = self.ports
        drawn = [self._rng.randint(low, high) for _ in range(_SAMPLES)]
        for port in (*drawn, *range(low, high + 1)):
            if not any((protocol, port) in self._ports for protocol in protocols):
                self._ports.update({(protocol, port): holder for protocol in protocols})
                return int(port)
        return 0

    def keep(self, holder: Holder, ips: set[str], ports: set[tuple[str, int]]) -> None:
        """State what a Service now has; everything else of it is free again."""
        self._ips = {ip: who for ip, who in self._ips.items() if who != holder} | dict.fromkeys(ips, holder)
        others = {port: who for port, who in self._ports.items() if who != holder}
        self._ports = others | dict.fromkeys(ports, holder)
