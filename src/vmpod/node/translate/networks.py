"""Further networks of a pod: from its Multus annotation and the definitions it names to wishes for the network. Pure.

A launcher's annotation is written by the controller, so that pods and machines go the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.net.attachments import Attachment, check_mac
from vmpod.drivers.net.links import Link, LinkWish
from vmpod.kinds.parts import cni
from vmpod.model import meta
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.node.translate import machine_nics

NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
_MTU = 1500
_KEYS = frozenset({"name", "namespace", "interface", "mac", "ips"})
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_TAKEN = frozenset({"lo", "eth0", "tap0"})
Lookup = Callable[[str, str], Object | None]
"""(namespace, name) → the NetworkAttachmentDefinition"""


@dataclass(frozen=True)
class Selection:
    """One entry of the annotation."""

    namespace: str
    name: str
    interface: str
    mac: str = ""
    ips: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        return f"{self.namespace}/{self.name}"


def selections(pod: Object) -> tuple[Selection, ...]:
    """What the annotation names, in its short form (`a, ns/b@card`) or as JSON. Raises Problem when it says neither."""
    said = meta.annotations(pod).get(NETWORKS, "").strip()
    if meta.annotations(pod).get(DEFAULT_NETWORK):
        raise _problem(pod, f"the annotation {DEFAULT_NETWORK} is not supported: eth0 is always on the pod network")
    if not said:
        return ()
    found = _of_json(pod, said) if said.startswith("[") else [_short(one.strip()) for one in said.split(",")]
    made = tuple(_selection(pod, one, number) for number, one in enumerate(found, 1))
    for one in made:
        if one.interface in _TAKEN or sum(other.interface == one.interface for other in made) > 1:
            raise _problem(pod, f"the annotation {NETWORKS} names the interface {one.interface} twice")
    return made


def _of_json(pod: Object, said: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(said)
    except ValueError as error:
        raise _problem(pod, f"the annotation {NETWORKS} is not JSON: {error}") from None
    if not all(isinstance(one, dict) and one.get("name") for one in found):
        raise _problem(pod, f"the annotation {NETWORKS} has an entry without a name")
    for one in found:
        if strange := sorted(set(one) - _KEYS):
            raise _problem(pod, f"the annotation {NETWORKS} says {strange[0]!r}, which is not supported")
    return list(found)


def _short(text: str) -> Mapping[str, Any]:
    rest, _, interface = text.partition("@")
    where, slash, plain = rest.rpartition("/")
    return {"name": plain, "interface": interface} | ({"namespace": where} if slash else {})


def _selection(pod: Object, one: Mapping[str, Any], number: int) -> Selection:
    interface = str(one.get("interface") or f"net{number}")
    if not _INTERFACE.fullmatch(interface):
        raise _problem(pod, f"the annotation {NETWORKS}: {interface!r} is no name of an interface")
    try:
        ips = tuple(str(IPv4Interface(ip)) for ip in one.get("ips") or ())
    except ValueError as error:
        raise _problem(pod, f"the annotation {NETWORKS}: {error}") from None
    return Selection(str(one.get("namespace") or namespace(pod)), str(one["name"]), interface,
                     check_mac(str(one.get("mac") or "")), ips)  # fmt: skip


def wishes(pod: Object, vmi: Object | None, find: Lookup) -> tuple[LinkWish, ...]:
    """The cards to make. Raises Problem for a definition that is missing or cannot be, naming it."""
    cards, owner = (machine_nics.further(vmi) | machine_nics.further(vmi, leaving=True), uid(vmi)) if vmi else ({}, "")
    return tuple(_wish(pod, one, cards.get(one.interface), owner, find) for one in selections(pod))


def differs(pod: Object, attachment: Attachment) -> bool:
    """Whether the annotation names other cards than the pod has, as it does when one comes or goes live."""
    try:
        wanted = {one.interface for one in selections(pod)}
    except Problem:
        return False  # told when the pod was attached
    return wanted != {link.wish.interface for link in attachment.links}


def _wish(pod: Object, one: Selection, card: machine_nics.Further | None, owner: str, find: Lookup) -> LinkWish:
    definition = find(one.namespace, one.name)
    if definition is None:
        why = f"cannot find a network-attachment-definition ({one.name}) in namespace ({one.namespace})"
        raise _problem(pod, why, f"kubectl get net-attach-def -n {one.namespace}", "NoNetwork")
    try:
        network = cni.read(str(get(definition, "spec", "config", default="")), one.network)
    except cni.Unusable as unusable:
        fix = f"kubectl edit net-attach-def -n {one.namespace} {one.name}"
        raise _problem(pod, f"network-attachment-definition {one.network}: {unusable}", fix, "Unsupported") from None
    return LinkWish(
        one.network, network.segment, one.interface, mac=one.mac, mtu=network.mtu or _MTU,
        pool=network.addresses.pool, given=one.ips or network.addresses.given, routes=network.addresses.routes,
        spoof_check=network.spoof_check, tap=card.tap if card else "", queues=card.queues if card else 1,
        uid=machine_nics.QEMU_USER, owner=owner,
    )  # fmt: skip


def status_text(pod: Object, attachment: Attachment) -> str:
    """The annotation that Multus writes back; empty for a pod on no further network."""
    if not attachment.links:
        return ""
    own = {"name": "vmpod", "interface": "eth0", "ips": list(attachment.ips), "mac": attachment.mac,
           "default": True, "dns": {}}
    return json.dumps([own, *(_status(link) for link in attachment.links)], indent=4)


def _status(link: Link) -> Mapping[str, Any]:
    ips = [address.partition("/")[0] for address in link.addresses]
    shown: dict[str, Any] = {"name": link.wish.network, "interface": link.wish.interface}
    return shown | ({"ips": ips} if ips else {}) | {"mac": link.mac, "dns": {}}


def _problem(pod: Object, why: str, fix: str = "", reason: str = "Unsupported") -> Problem:
    return Problem(f"attach pod {name(pod)} to its networks", why, fix, reason)
