"""Network configuration that holds on one machine and bites on another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpod.drivers.inspection.facts import Trouble
from vmpod.drivers.inspection.trees import Tree

_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE)
_DHCP = "give it by DHCP, or use `bridge: {}` with this address"
_ANY_NAME = "match any card (netplan: `match: {name: e*}`), or boot once and adapt the name"
_PLACEHOLDERS = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


def troubles(tree: Tree) -> Iterator[Trouble]:
    """Fixed hardware addresses, fixed addresses and card names that another machine does not give."""
    yield from _udev(tree)
    yield from _netplan(tree)
    yield from _ifcfg(tree)
    yield from _interfaces(tree)
    yield from _keyfiles(tree)
    yield from _networkd(tree)


def _files(tree: Tree, folder: str, ending: str) -> Iterator[tuple[str, str]]:
    for name in tree.names(folder):
        if name.endswith(ending):
            yield f"{folder}/{name}", _plain(tree.text(f"{folder}/{name}"))


def _plain(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))


def _mac(where: str, text: str) -> Iterator[Trouble]:
    """The first hardware address that a file fixes."""
    macs = [mac for mac in _MAC.findall(text) if mac.lower() not in _PLACEHOLDERS]
    if macs:
        yield Trouble(f"a card is known by its hardware address {macs[0]}", where,
                      f"set macAddress: {macs[0].lower()} on the interface, or remove the line")  # fmt: skip


def _udev(tree: Tree) -> Iterator[Trouble]:
    for where, text in _files(tree, "/etc/udev/rules.d", ".rules"):
        if "net" in where and "address" in text:
            yield from _mac(where, text)


def _netplan(tree: Tree) -> Iterator[Trouble]:
    for where, text in _files(tree, "/etc/netplan", ".yaml"):
        yield from _mac(where, text)
        if re.search(r"^\s+addresses:", text, re.MULTILINE) and not re.search(r"dhcp4:\s*(true|yes)", text):
            yield Trouble("the address is fixed", where, _DHCP)
        names = re.findall(r"^\s{4}(e(?:th|n)[\w]+):", text, re.MULTILINE)
        if names and "match:" not in text:
            yield Trouble(f"only a card called {names[0]} is configured", where, _ANY_NAME)


def _ifcfg(tree: Tree) -> Iterator[Trouble]:
    for name in tree.names("/etc/sysconfig/network-scripts"):
        where = f"/etc/sysconfig/network-scripts/{name}"
        if not name.startswith("ifcfg-") or name == "ifcfg-lo":
            continue
        text = _plain(tree.text(where))
        if "HWADDR" in text:
            yield from _mac(where, text)
        if re.search(r"^IPADDR\d?=", text, re.MULTILINE):
            yield Trouble("the address is fixed", where, _DHCP)
        if (match := re.search(r'^DEVICE="?([\w.]+)', text, re.MULTILINE)) and match[1] != "eth0":
            yield Trouble(f"only a card called {match[1]} is configured", where, _ANY_NAME)


def _interfaces(tree: Tree) -> Iterator[Trouble]:
    more = [f"/etc/network/interfaces.d/{name}" for name in tree.names("/etc/network/interfaces.d")]
    for where in ("/etc/network/interfaces", *more):
        for name, method in re.findall(r"^\s*iface\s+(\S+)\s+inet\s+(\S+)", _plain(tree.text(where)), re.MULTILINE):
            if name == "lo":
                continue
            if method == "static":
                yield Trouble(f"the address of {name} is fixed", where, _DHCP)
            if name != "eth0":
                yield Trouble(f"only a card called {name} is configured", where, _ANY_NAME)


def _keyfiles(tree: Tree) -> Iterator[Trouble]:
    for where, text in _files(tree, "/etc/NetworkManager/system-connections", ""):
        yield from _mac(where, text)
        if re.search(r"^\[ipv4\][^\[]*^method=manual", text, re.MULTILINE):
            yield Trouble("the address is fixed", where, _DHCP)
        if match := re.search(r"^interface-name=(\S+)", text, re.MULTILINE):
            yield Trouble(f"only a card called {match[1]} is configured", where, _ANY_NAME)


def _networkd(tree: Tree) -> Iterator[Trouble]:
    for where, text in _files(tree, "/etc/systemd/network", ".network"):
        yield from _mac(where, text)
        if re.search(r"^Address=", text, re.MULTILINE) and not re.search(r"^DHCP=(yes|ipv4|true)", text, re.MULTILINE):
            yield Trouble("the address is fixed", where, _DHCP)
        if (match := re.search(r"^Name=(\S+)", text, re.MULTILINE)) and "*" not in match[1]:
            yield Trouble(f"only a card called {match[1]} is configured", where, _ANY_NAME)
