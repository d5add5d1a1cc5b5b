"""Rules of the networks and interfaces of a machine, with KubeVirt's texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from vmpod.kinds.parts.pci_address import is_address
from vmpod.kinds.parts.reading import dig, entries, indexed, set_keys, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import DUPLICATE, NOT_SUPPORTED, FieldError, required, wrong

MODELS = ("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio")
BINDINGS = ("bridge", "masquerade", "sriov", "passtBinding", "binding", "slirp", "macvtap", "passt")
STATES = ("", "up", "down", "absent")
RESERVED_MAC = "02:00:00:00:00:00"  # the in-pod bridge's own
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")


def pod_interface(network: str) -> str:
    """What KubeVirt calls the pod's interface on a machine's further network: it follows from the network's name."""
    return "pod" + hashlib.sha256(network.encode()).hexdigest()[:8]


def network_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every fault of `networks` and `domain.devices.interfaces`."""
    devices = dig(spec, "domain", "devices")
    networks = {text(network, "name"): network for network in entries(spec, "networks")}
    wired = {text(interface, "name") for interface in entries(devices, "interfaces")}
    yield from _networks_errors(spec, path, wired)
    seen: set[str] = set()
    for here, interface in indexed(devices, "interfaces", f"{path}.domain.devices"):
        name = text(interface, "name")
        if name in seen:
            told = "Only one interface can be connected to one specific network"
            yield FieldError(f"{here}.name", DUPLICATE, told, name)
        seen.add(name)
        if name not in networks:
            yield wrong(f"{here}.name", name, f"{here}.name '{name}' not found.")
        yield from _interface_errors(interface, here, networks.get(name, {}))


def _networks_errors(spec: Object, path: str, wired: set[str]) -> Iterator[FieldError]:
    seen: set[str] = set()
    pods = 0
    for here, network in indexed(spec, "networks", path):
        name = text(network, "name")
        if name in seen:
            told = f'Network with name "{name}" already exists, every network must have a unique name'
            yield FieldError(f"{here}.name", DUPLICATE, told, name)
        seen.add(name)
        if name not in wired:
            yield required(f"{here}.name", f"{here}.name '{name}' not found.")
        given = set_keys(network, ("pod", "multus", "resourceClaim"))
        if len(given) != 1:
            yield required(here, "should have only one network type" if given else "should have a network type")
        pods += "pod" in given
        if dig(network, "multus").get("default"):
            told = "a further network cannot take the place of the pod network here: eth0 of a launcher is always on it"
            yield FieldError(f"{here}.multus.default", NOT_SUPPORTED, told, True)
    if pods > 1:
        told = f"more than one interface is connected to a pod network in {path}.interfaces"
        yield FieldError(f"{path}.interfaces", DUPLICATE, told, "pod")


def _interface_errors(interface: Object, path: str, network: Object) -> Iterator[FieldError]:
    name, model, mac = text(interface, "name"), text(interface, "model"), text(interface, "macAddress")
    if not _NAME.fullmatch(name):
        told = "Network interface name can only contain alphabetical characters, numbers, dashes (-) or underscores (_)"
        yield wrong(f"{path}.name", name, told)
    if model and model not in MODELS:
        told = f"interface {path}.name uses model {model} that is not supported."
        yield FieldError(f"{path}.model", NOT_SUPPORTED, told, model)
    if text(interface, "state") not in STATES:
        told = f"logical {name} interface state value is unsupported: {text(interface, 'state')}"
        yield FieldError(f"{path}.state", NOT_SUPPORTED, told, text(interface, "state"))
    if mac and not _MAC.fullmatch(mac):
        yield wrong(f"{path}.macAddress", mac, f"interface {path}.name has malformed MAC address ({mac}).")
    address = text(interface, "pciAddress")
    if address and not is_address(address):
        told = f"interface {path}.name has malformed PCI address ({address})."
        yield wrong(f"{path}.pciAddress", address, told)
    if len(set_keys(interface, BINDINGS)) > 1:
        told = f"logical {name} interface cannot have both binding plugin and interface binding method"
        yield wrong(path, name, told)
    if interface.get("masquerade") is not None:
        if network.get("pod") is None:
            yield wrong(f"{path}.name", name, "Masquerade interface only implemented with pod network")
        if mac.lower() == RESERVED_MAC:
            told = "The requested MAC address is reserved for the in-pod bridge. Please choose another one."
            yield wrong(f"{path}.macAddress", mac, told)
    is_passt = set_keys(interface, ("passt", "passtBinding")) or dig(interface, "binding").get("name") == "passt"
    if is_passt and network.get("pod") is None:
        yield wrong(f"{path}.name", name, "Passt interface only implemented with pod network")
    yield from _port_errors(interface, path)


def _port_errors(interface: Object, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for here, port in indexed(interface, "ports", path):
        name, value = text(port, "name"), port.get("port")
        if name and name in seen:
            yield FieldError(f"{here}.name", DUPLICATE, f"Duplicate name of the port: {name}", name)
        seen.add(name)
        if name and names.port_name_faults(name):
            yield wrong(f"{here}.name", name, f"Invalid name of the port: {name}")
        if not value:
            yield required(here, "Port field is mandatory.")
        elif not isinstance(value, int) or not 0 < value < 65536:
            yield wrong(here, value, "Port field must be in range 0 < x < 65536.")
        if text(port, "protocol") not in ("", "TCP", "UDP"):
            yield wrong(f"{here}.protocol", port["protocol"], "Unknown protocol, only TCP or UDP allowed")
