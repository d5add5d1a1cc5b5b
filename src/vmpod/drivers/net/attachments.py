"""What is attached: one record per pod in the home, so that a new engine knows every address again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.net.config import NetworkConfig
from vmpod.drivers.net.links import Link, LinkWish

GUEST_BRIDGE = "k6t-eth0"  # KubeVirt's names inside a launcher pod: tools that look into one expect them
TAP = "tap0"
_MARKS, _OUTER = ("", "m", "n", "o"), ("59", "5c", "5d", "5e")  # which of the pods that share an address
_RESERVED = 16  # the first addresses of the pod range stay free: .1 is the gateway
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


@dataclass(frozen=True)
class MachineNic:
    """The network card a guest sees on the pod network.

    `binding` is `masquerade` (the guest has an address of its own behind the pod's), `bridge` (the guest takes over the
    pod's address) or `passt` (a process speaks for the guest, and the pod is wired as one without a machine). `ports`
    and `ranges` limit what comes in but for bridge, as (protocol, port) and (protocol, first, last); none means
    everything. `uid` owns the tap device, which has `queues`. `hostname`, `search`, the name `servers` (none: ours) and
    further `options` (code, value in hexadecimal) go to the guest by DHCP. `address` is the pod's if it is free.
    `guest_cidr6` is the range behind masquerade where pods have IPv6.
    """

    binding: str = "masquerade"
    mac: str = ""
    guest_cidr: str = "10.0.2.0/24"
    ports: tuple[tuple[str, int], ...] = ()
    model: str = "virtio"
    uid: int = 107
    hostname: str = ""
    search: tuple[str, ...] = ()
    ranges: tuple[tuple[str, int, int], ...] = ()
    queues: int = 1
    options: tuple[tuple[int, str], ...] = ()
    address: str = ""
    servers: tuple[str, ...] = ()
    guest_cidr6: str = "fd10:0:2::/120"


@dataclass(frozen=True)
class Attachment:
    """A pod on the network. `tap`, `guest_ip` and `guest_mac` are empty for a pod without a machine; `links` are its
    cards on further networks. One on `standby` has its addresses from another pod and no cable plugged in: it takes
    over when that pod's machine has moved here. `ip6` and `guest_ip6` are empty where there is no IPv6."""

    pod_uid: str
    netns: str
    netns_path: str
    ip: str
    mac: str
    gateway: str
    device: str = ""
    mtu: int = 1500
    tap: str | None = None
    guest_ip: str = ""
    guest_mac: str = ""
    nic: MachineNic | None = None
    links: tuple[Link, ...] = ()
    standby: bool = False
    dns: str = ""
    ip6: str = ""
    gateway6: str = ""
    guest_ip6: str = ""

    @property
    def ips(self) -> tuple[str, ...]:
        """The pod's addresses, one of each family that it has."""
        return (self.ip, self.ip6) if self.ip6 else (self.ip,)

    @property
    def bridged(self) -> MachineNic | None:
        """The machine's card where the pod has a tap and a bridge for it."""
        return self.nic if self.tap else None


def describe(uid: str, ip: str, config: NetworkConfig, *, mtu: int, nic: MachineNic | None) -> Attachment:
    """The attachment that an address and a machine's card make. Raises Problem on a card that cannot be."""
    netns = f"vmpod-{config.home_id}-{_short(uid)}"
    index = int(IPv4Address(ip)) - int(config.pods.network_address)
    attachment = Attachment(
        pod_uid=uid, netns=netns, netns_path=f"/run/netns/{netns}", ip=ip, mac=mac_of(ip), gateway=config.gateway,
        device=f"v{config.home_id[:8]}{index:x}", mtu=mtu, dns=config.dns_address,
        ip6=str(config.pods6[index]) if config.block6 else "", gateway6=config.gateway6 if config.block6 else "",
    )  # fmt: skip
    return _with_machine(attachment, nic) if nic else attachment


def twin(source: Attachment, uid: str, config: NetworkConfig, devices: Iterable[str]) -> Attachment:
    """The attachment of a pod that takes over from `source`: all that others see of it is the same.

    `devices` are taken. Raises Problem when none is left.
    """
    plain = describe(uid, source.ip, config, mtu=source.mtu, nic=None)
    free = [plain.device + mark for mark in _MARKS if plain.device + mark not in set(devices)]
    if not free:
        raise Problem("give a machine a second pod", f"{source.ip} has {len(_MARKS)} pods already", reason="Busy")
    return replace(source, pod_uid=uid, netns=plain.netns, netns_path=plain.netns_path, device=free[0], links=(),
                   standby=True)  # fmt: skip


def outer_mac(attachment: Attachment) -> str:
    """The host's end of a pod's cable has an address of its own, different for each pod of one address."""
    mark = _MARKS.index(attachment.device[-1]) if attachment.device[-1] in _MARKS else 0
    return f"0a:{_OUTER[mark]}{attachment.mac[5:]}"


def _with_machine(attachment: Attachment, nic: MachineNic) -> Attachment:
    given = check_mac(nic.mac)
    if nic.binding == "bridge":
        mac = given or attachment.mac
        fields: dict[str, Any] = {"mac": mac, "guest_mac": mac, "guest_ip": attachment.ip, "ip6": ""}
    elif nic.binding == "masquerade":
        fields = {"guest_mac": given or _drawn_mac(attachment.pod_uid), "guest_ip": str(guest_network(nic)[2]),
                  "guest_ip6": str(guest_network6(nic)[2]) if attachment.ip6 else ""}
    elif nic.binding == "passt":
        fields = {"guest_mac": given or _drawn_mac(attachment.pod_uid), "guest_ip": attachment.ip, "ip6": ""}
    else:
        why = f"there is no interface binding {nic.binding!r}"
        raise Problem("attach a machine", why, "use masquerade, bridge or passt")
    return Attachment(**{**_fields(attachment), **fields, "tap": None if nic.binding == "passt" else TAP, "nic": nic})


def guest_network(nic: MachineNic) -> IPv4Network:
    """The range behind masquerade; its first address is the guest's gateway, the second the guest's."""
    try:
        network = IPv4Network(nic.guest_cidr)
    except ValueError as error:
        raise Problem(f"use the guest network {nic.guest_cidr!r}", str(error)) from None
    if network.prefixlen > 30:
        raise Problem(f"use the guest network {nic.guest_cidr!r}", "it has no room for a gateway and a guest")
    return network


def guest_network6(nic: MachineNic) -> IPv6Network:
    """The IPv6 range behind masquerade, shared out as the other."""
    try:
        network = IPv6Network(nic.guest_cidr6, strict=False)
    except ValueError as error:
        raise Problem(f"use the guest network {nic.guest_cidr6!r}", str(error)) from None
    if network.prefixlen > 126:
        raise Problem(f"use the guest network {nic.guest_cidr6!r}", "it has no room for a gateway and a guest")
    return network


def check_mac(mac: str) -> str:
    """A MAC address in lower case with colons; empty stays empty. Raises Problem on anything else, or a group's."""
    if not mac:
        return ""
    plain = mac.lower().replace("-", ":")
    if not _MAC.fullmatch(plain) or int(plain[:2], 16) & 1:
        raise Problem(f"use the MAC address {mac!r}", "it is not six bytes of a single card, as in 02:00:00:12:34:56")
    return plain


def mac_of(ip: str) -> str:
    """A pod's MAC address follows from its IP address, so that no neighbour table is ever stale."""
    return ":".join(f"{byte:02x}" for byte in (0x0A, 0x58, *IPv4Address(ip).packed))


def _drawn_mac(uid: str) -> str:
    return ":".join(f"{byte:02x}" for byte in (0x02, *hashlib.sha256(uid.encode()).digest()[:5]))


def _short(uid: str) -> str:
    if _UUID.fullmatch(uid):
        return uid.replace("-", "")[:12]
    return hashlib.sha256(uid.encode()).hexdigest()[:12]


def free_address(pods: IPv4Network, taken: Iterable[str], after: int) -> str:
    """The next free address behind offset `after`, so that an address rests before it is given again.

    Raises Problem when the range is used up.
    """
    used = set(taken)
    last = pods.num_addresses - 2
    span = last - _RESERVED + 1
    for step in range(span):
        offset = _RESERVED + (max(after + 1, _RESERVED) - _RESERVED + step) % span
        address = str(pods[offset])
        if address not in used:
            return address
    raise Problem("give the pod an address", f"all {span} addresses of {pods} are in use", reason="NoFreeAddress")


def _fields(attachment: Attachment) -> dict[str, Any]:
    return {name: getattr(attachment, name) for name in Attachment.__dataclass_fields__}


class Records:
    """The folder of attachment records. A record says `ready` once the network namespace is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> dict[str, tuple[Attachment, bool]]:
        """All readable records by pod uid, with their readiness; unreadable ones are deleted."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = json.loads(path.read_text())
                attachment = _decode(record["attachment"])
            except (OSError, ValueError, TypeError, KeyError):
                path.unlink(missing_ok=True)
                continue
            found[attachment.pod_uid] = (attachment, bool(record.get("ready")))
        return found

    def save(self, attachment: Attachment, *, ready: bool) -> None:
        """Write a record in one step."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(attachment.pod_uid)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"ready": ready, "attachment": asdict(attachment)}))
        fresh.replace(path)

    def forget(self, uid: str) -> None:
        self._path(uid).unlink(missing_ok=True)

    def _path(self, uid: str) -> Path:
        return self._folder / f"{uid if _UUID.fullmatch(uid) else _short(uid)}.json"


def _decode(fields: dict[str, Any]) -> Attachment:
    nic = fields.pop("nic", None)
    if nic:
        nic["ports"] = tuple((protocol, port) for protocol, port in nic["ports"])
        nic["search"], nic["servers"] = tuple(nic["search"]), tuple(nic.get("servers", ()))
        nic["ranges"] = tuple((protocol, first, last) for protocol, first, last in nic.get("ranges", ()))
        nic["options"] = tuple((code, value) for code, value in nic.get("options", ()))
        nic = MachineNic(**nic)
    links = tuple(_decode_link(one) for one in fields.pop("links", ()))
    return Attachment(**fields, nic=nic, links=links)


def _decode_link(fields: dict[str, Any]) -> Link:
    wish = dict(fields["wish"])
    pool = wish.pop("pool")
    routes = tuple((destination, via) for destination, via in wish.pop("routes"))
    asked = LinkWish(**{**wish, "given": tuple(wish["given"])}, pool=tuple(pool) if pool else None, routes=routes)
    return Link(**{**fields, "wish": asked, "addresses": tuple(fields["addresses"])})
