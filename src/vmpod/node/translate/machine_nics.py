"""The network cards of a VMI: what the network is asked for, and what QEMU is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Protocol

from vmpod.base.errors import Problem
from vmpod.drivers.net.attachments import MachineNic
from vmpod.drivers.net.links import Link
from vmpod.drivers.qemu import spec as qemu
from vmpod.drivers.qemu.args import passt
from vmpod.kinds.parts import machine_networks
from vmpod.model.meta import Object, get, name
from vmpod.node.translate.addresses import address_of, root_slot

QEMU_USER = 107
_MODELS = ("virtio", "e1000", "e1000e", "ne2k_pci", "pcnet", "rtl8139")  # igb came with QEMU 8.0
_GUEST_CIDR, _GUEST_CIDR6 = "10.0.2.0/24", "fd10:0:2::/120"
_BINDINGS = ("masquerade", "bridge")
_PASST = ("passt", "passtBinding")
_MOST_QUEUES = 256  # the kernel's limit for a tap
_BOOT_FILE, _TFTP_SERVER, _NTP_SERVERS, _PRIVATE = 67, 66, 42, range(224, 255)


class Wire(Protocol):
    """What an attachment of the pod offers to its machine."""

    @property
    def tap(self) -> str | None: ...

    @property
    def guest_mac(self) -> str: ...

    @property
    def nic(self) -> MachineNic | None: ...

    @property
    def dns(self) -> str: ...

    @property
    def links(self) -> tuple[Link, ...]: ...


@dataclass(frozen=True)
class Further:
    """A card on a further network: its name in the VMI, its tap, its model and queues."""

    name: str
    tap: str
    model: str
    queues: int
    boot_index: int = 0


def interface(vmi: Object) -> Mapping[str, Any] | None:
    """The card on the pod network; a bridge where nothing is said, none where it was declined."""
    devices = get(vmi, "spec", "domain", "devices", default={})
    networks = {one["name"]: one for one in get(vmi, "spec", "networks", default=())}
    cards = devices.get("interfaces") or []
    if not cards and not networks:
        attach = get(devices, "autoattachPodInterface", default=True)
        return {"name": "default", "bridge": {}} if attach else None
    wired = (card for card in cards if "pod" in networks.get(card["name"], {"pod": {}}))
    return next((card for card in wired if card.get("state") != "absent"), None)


def leaving(vmi: Object) -> frozenset[str]:
    """The cards on further networks that shall not be in the machine any more."""
    return frozenset(one.name for one in further(vmi, leaving=True).values())


def further(vmi: Object, *, leaving: bool = False) -> dict[str, Further]:
    """The cards on further networks, by the name of the pod's interface; those that are absent with `leaving`.

    Raises Problem for a binding that they do not have, and for networks that Multus does not make.
    """
    found = {}
    networks = {one["name"]: one for one in get(vmi, "spec", "networks", default=())}
    for card in get(vmi, "spec", "domain", "devices", "interfaces", default=()):
        network = networks.get(card["name"], {"pod": {}})
        if "pod" in network or (card.get("state") == "absent") != leaving:
            continue
        if "multus" not in network or get(network, "multus", "default"):
            raise _problem(vmi, f"spec.networks: {card['name']!r} is no network that is supported",
                           "use pod: {} or multus: {networkName: …} without default: true")
        if binding(vmi, card) != "bridge":
            raise _problem(vmi, f"the interface {card['name']!r} is on a further network with another binding",
                           "use bridge: {}")
        interface = machine_networks.pod_interface(str(card["name"]))
        model = _model(vmi, card)
        found[interface] = Further(str(card["name"]), f"tap{interface[3:]}", model, queues(vmi, model),
                                   int(card.get("bootOrder") or 0))
    return found


def binding(vmi: Object, card: Mapping[str, Any]) -> str:
    """masquerade, bridge or passt. Raises Problem for others."""
    is_passt = any(one in card for one in _PASST) or get(card, "binding", "name") == "passt"
    found = "passt" if is_passt else next((one for one in _BINDINGS if one in card), "")
    if found:
        return found
    given = next((key for key in ("sriov", "slirp", "macvtap", "binding") if key in card), "")
    raise _problem(vmi, f"the interface {card.get('name')!r} has the binding {given or 'none'!r}",
                   "use masquerade: {}, bridge: {} or passt: {}")


def machine_nic(
    vmi: Object, search: tuple[str, ...] = (), servers: tuple[str, ...] = ()
) -> MachineNic | None:
    """What the network attaches for this machine, None when it has no card; by DHCP it tells where names are found."""
    card = interface(vmi)
    if card is None:
        return None
    networks = [one for one in get(vmi, "spec", "networks", default=()) if one["name"] == card["name"]]
    ranges = get(networks[0], "pod", default={}) if networks else {}
    model = _model(vmi, card)
    return MachineNic(
        binding=binding(vmi, card), mac=str(card.get("macAddress") or ""), ports=_ports(card),
        guest_cidr=str(ranges.get("vmNetworkCIDR") or _GUEST_CIDR),
        guest_cidr6=str(ranges.get("vmIPv6NetworkCIDR") or _GUEST_CIDR6), model=model,
        uid=QEMU_USER, hostname=guest_hostname(vmi), search=search, ranges=_ranges(card), queues=queues(vmi, model),
        options=dhcp_options(vmi, card), servers=tuple(one for one in servers if ":" not in one),
    )


def _ports(card: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    return tuple((str(port.get("protocol") or "TCP").lower(), int(port["port"])) for port in card.get("ports") or ())


def _ranges(card: Mapping[str, Any]) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(one.get("protocol") or "TCP").lower(), int(one["start"]), int(one.get("end") or one["start"]))
                 for one in card.get("portRanges") or ())


def queues(vmi: Object, model: str) -> int:
    """One for each processor where networkInterfaceMultiqueue asks for that, of a card that can."""
    wanted = get(vmi, "spec", "domain", "devices", "networkInterfaceMultiqueue", default=False)
    if not wanted or model != "virtio":
        return 1
    cpu: Mapping[str, Any] = get(vmi, "spec", "domain", "cpu", default={})
    return min(int(cpu.get("sockets") or 1) * int(cpu.get("cores") or 1) * int(cpu.get("threads") or 1), _MOST_QUEUES)


def dhcp_options(vmi: Object, card: Mapping[str, Any]) -> tuple[tuple[int, str], ...]:
    """(code, value in hexadecimal) of what dhcpOptions adds: 67, 66, 42 and 224 to 254. Raises Problem for others."""
    wanted = card.get("dhcpOptions") or {}
    texts = [(_BOOT_FILE, wanted.get("bootFileName")), (_TFTP_SERVER, wanted.get("tftpServerName"))]
    found = [(code, str(text).encode()) for code, text in texts if text]
    try:
        servers = b"".join(IPv4Address(one).packed for one in wanted.get("ntpServers") or ())
    except ValueError as error:
        raise _problem(vmi, f"dhcpOptions.ntpServers of {card.get('name')!r}: {error}", "name IPv4 addresses") from None
    found += [(_NTP_SERVERS, servers)] if servers else []
    for one in wanted.get("privateOptions") or ():
        if int(one["option"]) not in _PRIVATE:
            why = f"dhcpOptions.privateOptions of {card.get('name')!r}: {one['option']}"
            raise _problem(vmi, why, "use 224 to 254")
        found.append((int(one["option"]), str(one.get("value", "")).encode()))
    return tuple((code, data.hex()) for code, data in found)


def nics(vmi: Object, wire: Wire | None, open_files: int = 0) -> tuple[qemu.Nic, ...]:
    """The cards on the taps that the network made, in the order of the VMI's interfaces.

    `open_files` is how many a process of the container may have: so many ports passt can listen on.
    """
    if wire is None:
        return ()
    card = interface(vmi)
    made: dict[str, qemu.Nic] = {}
    if card is not None and wire.nic is not None:
        model = _model(vmi, card)
        made[str(card["name"])] = qemu.Nic(
            str(card["name"]), wire.tap or "", wire.guest_mac, model, int(card.get("bootOrder") or 0),
            queues(vmi, model) if wire.tap else 1, int(card.get("acpiIndex") or 0),
            _passt(wire, wire.nic, open_files) if wire.nic.binding == "passt" else None,
            root_slot(address_of(card)),
        )  # fmt: skip
    others = further(vmi)
    given = {str(one["name"]): one for one in get(vmi, "spec", "domain", "devices", "interfaces", default=())}
    for link in wire.links:
        if one := others.get(link.wish.interface):
            said = given[one.name]
            made[one.name] = qemu.Nic(one.name, link.wish.tap, link.mac, one.model, one.boot_index, one.queues,
                                      int(said.get("acpiIndex") or 0), slot=root_slot(address_of(said)))
    order = [one for one in given if one in made]
    return tuple(made[one] for one in order or made)


def _passt(wire: Wire, nic: MachineNic, open_files: int) -> qemu.Passt:
    """The listed ports of each protocol; every one that it can listen on where none is listed."""
    spans = {protocol: [f"{first}-{last}" for one, first, last in nic.ranges if one == protocol]
             + [str(port) for one, port in nic.ports if one == protocol] for protocol in ("tcp", "udp")}
    every = f"1-{passt.most_ports(open_files)}" if not (nic.ports or nic.ranges) else ""
    return qemu.Passt(",".join(spans["tcp"]) or every, ",".join(spans["udp"]) or every,
                      nic.servers or ((wire.dns,) if wire.dns else ()), nic.search)


def _model(vmi: Object, card: Mapping[str, Any]) -> str:
    model = str(card.get("model") or "virtio")
    if model not in _MODELS:
        why = f"the interface {card.get('name')!r} has the model {model!r}, which QEMU here does not have"
        raise _problem(vmi, why, f"use one of {', '.join(_MODELS)}")
    return model


def guest_hostname(vmi: Object) -> str:
    """The guest's host name: spec.hostname, else the VMI's name up to its first dot (63 characters at most)."""
    given = get(vmi, "spec", "hostname")
    return str(given) if given else name(vmi).partition(".")[0][:63].rstrip("-")


def _problem(vmi: Object, why: str, fix: str) -> Problem:
    return Problem(f"start the machine {name(vmi)}", why, fix, "Unsupported")
