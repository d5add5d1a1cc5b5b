"""The network cards of a VMI: what the network is asked for, and what QEMU is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from vmpod.base.errors import Problem
from vmpod.drivers.net.attachments import MachineNic
from vmpod.drivers.qemu import spec as qemu
from vmpod.model.meta import Object, get, name

QEMU_USER = 107
_MODELS = ("virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139")
_GUEST_CIDR = "10.0.2.0/24"
_BINDINGS = ("masquerade", "bridge")


class Wire(Protocol):
    """What an attachment of the pod offers to its machine."""

    @property
    def tap(self) -> str | None: ...

    @property
    def guest_mac(self) -> str: ...


def interface(vmi: Object) -> Mapping[str, Any] | None:
    """The card on the pod network; a bridge where nothing is said, none where it was declined.

    Raises Problem for further networks and for bindings that do not exist here.
    """
    devices = get(vmi, "spec", "domain", "devices", default={})
    networks = {one["name"]: one for one in get(vmi, "spec", "networks", default=())}
    cards = devices.get("interfaces") or []
    if not cards and not networks:
        attach = get(devices, "autoattachPodInterface", default=True)
        return {"name": "default", "bridge": {}} if attach else None
    for card in cards:
        if "pod" not in networks.get(card["name"], {"pod": {}}):
            raise _problem(vmi, f"spec.networks: {card['name']!r} is not the pod network",
                           "one card on the pod network is what a machine has here")
    if len(cards) > 1:
        raise _problem(vmi, "spec.domain.devices.interfaces: there is one pod network", "leave one of them")
    return cards[0] if cards else None


def binding(vmi: Object, card: Mapping[str, Any]) -> str:
    """masquerade or bridge. Raises Problem for others."""
    found = next((one for one in _BINDINGS if one in card), "")
    if found:
        return found
    given = next((key for key in ("sriov", "passt", "passtBinding", "slirp", "macvtap", "binding") if key in card), "")
    raise _problem(vmi, f"the interface {card.get('name')!r} has the binding {given or 'none'!r}",
                   "use masquerade: {} or bridge: {}")


def machine_nic(vmi: Object, search: tuple[str, ...] = ()) -> MachineNic | None:
    """What the network attaches for this machine, None when it has no card."""
    card = interface(vmi)
    if card is None:
        return None
    ports = tuple((str(port.get("protocol") or "TCP").lower(), int(port["port"])) for port in card.get("ports") or ())
    networks = [one for one in get(vmi, "spec", "networks", default=()) if one["name"] == card["name"]]
    cidr = get(networks[0], "pod", "vmNetworkCIDR") if networks else None
    return MachineNic(
        binding=binding(vmi, card), mac=str(card.get("macAddress") or ""), ports=ports,
        guest_cidr=str(cidr or _GUEST_CIDR), model=_model(vmi, card),
        uid=QEMU_USER, hostname=guest_hostname(vmi), search=search,
    )


def nics(vmi: Object, wire: Wire | None) -> tuple[qemu.Nic, ...]:
    """The card on the tap that the network made."""
    card = interface(vmi)
    if card is None or wire is None or not wire.tap:
        return ()
    return (qemu.Nic(str(card["name"]), wire.tap, wire.guest_mac, _model(vmi, card), int(card.get("bootOrder") or 0)),)


def _model(vmi: Object, card: Mapping[str, Any]) -> str:
    model = str(card.get("model") or "virtio")
    if model not in _MODELS:
        raise _problem(vmi, f"the interface {card.get('name')!r} has the unknown model {model!r}",
                       f"use one of {', '.join(_MODELS)}")
    return model


def guest_hostname(vmi: Object) -> str:
    """The guest's host name: spec.hostname, else the VMI's name up to its first dot (63 characters at most)."""
    given = get(vmi, "spec", "hostname")
    return str(given) if given else name(vmi).partition(".")[0][:63].rstrip("-")


def _problem(vmi: Object, why: str, fix: str) -> Problem:
    return Problem(f"start the machine {name(vmi)}", why, fix, "Unsupported")
