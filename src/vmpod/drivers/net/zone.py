"""The cluster domain: what the resolver answers by itself, from the engine's snapshot. Pure.

Follows the Kubernetes DNS specification 1.1.0 (services, headless services, SRV, PTR, pod names by address).
"""

from __future__ import annotations

import socket

from vmpod.drivers.net import dnswire
from vmpod.drivers.net.dnswire import AAAA, ANY, CNAME, NOERROR, NXDOMAIN, PTR, SRV, A, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TTL_S = 5  # as CoreDNS answers for cluster names
_ARPA, _ARPA6 = ".in-addr.arpa", ".ip6.arpa"
_HOPS = 8


class Found:
    """What the zone knows: code, answers, extra addresses, and the outside name that an alias leads to."""

    __slots__ = ("answers", "extras", "follow", "rcode")

    def __init__(self, rcode: int, answers: list[Record], extras: list[Record], follow: str = "") -> None:
        self.rcode, self.answers, self.extras, self.follow = rcode, answers, extras, follow


class Zone:
    """The names of one snapshot."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.domain: str = data.get("domain", "cluster.local")
        self._a: dict[str, list[str]] = data.get("a", {})
        self._srv: dict[str, list[tuple[int, str]]] = data.get("srv", {})
        self._cname: dict[str, str] = data.get("cname", {})
        self._ptr: dict[str, str] = data.get("ptr", {})
        self._reverse = [_range(cidr) for cidr in data.get("reverse", [])]
        self._names = self._all_names()
        self._turn = 0

    def _all_names(self) -> set[str]:
        """Every name that exists, those in between included: they are empty, not unknown."""
        names = {self.domain, f"svc.{self.domain}", f"pod.{self.domain}"}
        for name in (*self._a, *self._srv, *self._cname):
            while name.endswith(self.domain) and name not in names:
                names.add(name)
                name = name.partition(".")[2]
        return names

    def covers(self, name: str) -> bool:
        """Whether nobody but us may answer for this name."""
        if name == self.domain or name.endswith("." + self.domain):
            return True
        ip = _reverse_address(name)
        return bool(ip) and any(_number(ip) & mask == net for net, mask in self._reverse)

    def authority(self) -> Record:
        return dnswire.authority(self.domain, TTL_S)

    def find(self, name: str, qtype: int) -> Found:
        """What there is under a name that the zone covers."""
        if name.endswith((_ARPA, _ARPA6)):
            return self._find_pointer(name, qtype)
        answers: list[Record] = []
        for _ in range(_HOPS):
            target = self._cname.get(name)
            if target is None:
                break
            answers.append(dnswire.alias(name, target, TTL_S))
            if qtype == CNAME:
                return Found(NOERROR, answers, [])
            name = target
            if not self.covers(name):
                return Found(NOERROR, answers, [], follow=name)
        return self._find_here(name, qtype, answers)

    def _find_here(self, name: str, qtype: int, answers: list[Record]) -> Found:
        extras: list[Record] = []
        if qtype in (A, AAAA, ANY):
            answers += [one for one in self._addresses(name) if qtype in (one[1], ANY)]
        if qtype in (SRV, ANY):
            for port, target in self._srv.get(name, ()):
                answers.append(dnswire.service(name, port, target, TTL_S))
                extras += self._addresses(target)
        exists = name in self._names or bool(self._addresses(name))
        return Found(NOERROR if exists or answers else NXDOMAIN, answers, extras)

    def _addresses(self, name: str) -> list[Record]:
        ips = self._a.get(name)
        if ips is None:
            ip = self._pod_address(name)
            ips = [ip] if ip else []
        self._turn += 1
        first = self._turn % len(ips) if ips else 0
        return [dnswire.address(name, ip, TTL_S) for ip in (*ips[first:], *ips[:first])]

    def _pod_address(self, name: str) -> str:
        """`10-1-2-3.NAMESPACE.pod.DOMAIN` is 10.1.2.3, whether or not such a pod runs; `fd00--2` is fd00::2."""
        label, _, rest = name.partition(".")
        if not name.endswith(f".pod.{self.domain}") or rest.count(".") != self.domain.count(".") + 2:
            return ""
        if _is_dashed(label):
            return label.replace("-", ".")
        six = label.replace("-", ":")
        return six if label.count("-") > 1 and _packed6(six) else ""

    def _find_pointer(self, name: str, qtype: int) -> Found:
        target = self._ptr.get(_reverse_address(name))
        if target is None:
            return Found(NXDOMAIN, [], [])
        return Found(NOERROR, [dnswire.pointer(name, target, TTL_S)] if qtype in (PTR, ANY) else [], [])


def _is_dashed(label: str) -> bool:
    parts = label.split("-")
    return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)


def _reverse_address(name: str) -> str:
    """The address in `3.2.1.10.in-addr.arpa`, or in 32 digits of ip6.arpa; empty when the name is no whole one."""
    if name.endswith(_ARPA6):
        digits = name[: -len(_ARPA6)].split(".")[::-1]
        whole = ":".join("".join(digits[at : at + 4]) for at in range(0, len(digits), 4))
        packed = _packed6(whole) if [len(digit) for digit in digits] == [1] * 32 else b""
        return socket.inet_ntop(socket.AF_INET6, packed) if packed else ""
    if not name.endswith(_ARPA):
        return ""
    parts = name[: -len(_ARPA)].split(".")[::-1]
    return ".".join(parts) if _is_dashed("-".join(parts)) else ""


def _packed6(ip: str) -> bytes:
    """An IPv6 address in 16 bytes; none for what is no such address."""
    try:
        return socket.inet_pton(socket.AF_INET6, ip)
    except (OSError, ValueError):
        return b""


def _number(ip: str) -> int:
    return int.from_bytes(_packed6(ip) if ":" in ip else socket.inet_aton(ip), "big")


def _range(cidr: str) -> tuple[int, int]:
    ip, _, prefix = cidr.partition("/")
    mask = -1 << ((128 if ":" in ip else 32) - int(prefix))
    return _number(ip) & mask, mask
