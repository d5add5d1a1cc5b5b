"""Network configuration that holds on one machine and bites on another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpod.drivers.inspection.facts import Trouble
from vmpod.drivers.inspection.trees import Tree

_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE)
_DHCP = "give it by DHCP, or use `bridge: {}` with this address"
_BOOT_TEXTS = ("/etc/default/grub", "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/menu.lst",
               "/etc/kernel/cmdline", "/boot/extlinux/extlinux.conf", "/boot/syslinux/syslinux.cfg")  # fmt: skip
_BY_PLACE = ("/usr/lib/systemd/network/99-default.link", "/lib/systemd/network/99-default.link",
             "/usr/lib/udev/rules.d/80-net-name-slot.rules", "/lib/udev/rules.d/80-net-name-slot.rules")  # fmt: skip
_MASKS = ("/etc/systemd/network/99-default.link", "/etc/udev/rules.d/80-net-setup-link.rules",
          "/etc/udev/rules.d/80-net-name-slot.rules")  # fmt: skip
_ANY_NAME = "match any card (netplan: `match: {name: e*}`), or boot once and adapt the name"
_PLACEHOLDERS = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


def troubles(tree: Tree) -> Iterator[Trouble]:
    """Fixed hardware addresses, fixed addresses and card names that another machine does not give."""
    yield from _udev(tree)
    are_places = by_place(tree)
    for one in (_netplan, _ifcfg, _interfaces, _keyfiles, _networkd):
        yield from one(tree, are_places)


def by_place(tree: Tree) -> bool:
    """Whether cards are called by their places (enp1s0) and not in order (eth0): systemd does so, unless its rule is
    masked or the kernel is started with net.ifnames=0 (systemd.net-naming-scheme(7))."""
    if not any(tree.exists(path) for path in _BY_PLACE):
        return False
    entries = (f"/boot/loader/entries/{name}" for name in tree.names("/boot/loader/entries"))
    is_off = any("net.ifnames=0" in _plain(tree.text(path)) for path in (*_BOOT_TEXTS, *entries))
    return not is_off and not any(tree.link(path) == "/dev/null" for path in _MASKS)


def _named(name: str, where: str, are_places: bool) -> Iterator[Trouble]:
    """A card that is configured by its name: by its order where names tell places, or by its place elsewhere."""
    if name == "eth0" and are_places:
        yield Trouble("only eth0 is configured, and systemd names cards by their places (enp1s0)", where,
                      "start its kernel with net.ifnames=0, or match any card")  # fmt: skip
    elif name != "eth0":
        yield Trouble(f"only a card called {name} is configured", where, _ANY_NAME)


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


def _netplan(tree: Tree, are_places: bool) -> Iterator[Trouble]:
    for where, text in _files(tree, "/etc/netplan", ".yaml"):
        yield from _mac(where, text)
        if re.search(r"^\s+addresses:", text, re.MULTILINE) and not re.search(r"dhcp4:\s*(true|yes)", text):
            yield Trouble("the address is fixed", where, _DHCP)
        names = re.findall(r"^\s{4}(e(?:th|n)[\w]+):", text, re.MULTILINE)
        if names and "match:" not in text:
            yield from _named(names[0], where, are_places)


def _ifcfg(tree: Tree, are_places: bool) -> Iterator[Trouble]:
    for name in tree.names("/etc/sysconfig/network-scripts"):
        where = f"/etc/sysconfig/network-scripts/{name}"
        if not name.startswith("ifcfg-") or name == "ifcfg-lo":
            continue
        text = _plain(tree.text(where))
        if "HWADDR" in text:
            yield from _mac(where, text)
        if re.search(r"^IPADDR\d?=", text, re.MULTILINE):
            yield Trouble("the address is fixed", where, _DHCP)
        if match := re.search(r'^DEVICE="?([\w.]+)', text, re.MULTILINE):
            yield from _named(match[1], where, are_places)


def _interfaces(tree: Tree, are_places: bool) -> Iterator[Trouble]:
    more = [f"/etc/network/interfaces.d/{name}" for name in tree.names("/etc/network/interfaces.d")]
    for where in ("/etc/network/interfaces", *more):
        for name, method in re.findall(r"^\s*iface\s+(\S+)\s+inet\s+(\S+)", _plain(tree.text(where)), re.MULTILINE):
            if name == "lo":
                continue
            if method == "static":
                yield Trouble(f"the address of {name} is fixed", where, _DHCP)
            yield from _named(name, where, are_places)


def _keyfiles(tree: Tree, are_places: bool) -> Iterator[Trouble]:
    for where, text in _files(tree, "/etc/NetworkManager/system-connections", ""):
        yield from _mac(where, text)
        if re.search(r"^\[ipv4\][^\[]*^method=manual", text, re.MULTILINE):
            yield Trouble("the address is fixed", where, _DHCP)
        if match := re.search(r"^interface-name=(\S+)", text, re.MULTILINE):
            yield from _named(match[1], where, are_places)


def _networkd(tree: Tree, are_places: bool) -> Iterator[Trouble]:
    for where, text in _files(tree, "/etc/systemd/network", ".network"):
        yield from _mac(where, text)
        if re.search(r"^Address=", text, re.MULTILINE) and not re.search(r"^DHCP=(yes|ipv4|true)", text, re.MULTILINE):
            yield Trouble("the address is fixed", where, _DHCP)
        if (match := re.search(r"^Name=(\S+)", text, re.MULTILINE)) and "*" not in match[1]:
            yield from _named(match[1], where, are_places)
