"""What the host's own network looks like: routes, uplinks, kernel settings."""

from __future__ import annotations

import fcntl
import json
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from vmpod.base import proc
from vmpod.base.errors import Problem

_SYS_NET = Path("/proc/sys/net")
_CLASS_NET = Path("/sys/class/net")
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1  # <linux/sockios.h>, <linux/if.h>
_LOCAL_ROUTE = 0x80000000  # RTF_LOCAL, <linux/ipv6_route.h>
_LARGEST_MTU = 1500
_SMALLEST_MTU = 1280


async def routed_networks() -> list[IPv4Network]:
    """Every range that some table of this host routes, default routes apart."""
    done = await proc.run(
        ["ip", "-j", "-4", "route", "show", "table", "all"], what="read the routes of this machine"
    )
    return parse_routes(json.loads(done.out or b"[]"))


def parse_routes(routes: Iterable[dict[str, Any]]) -> list[IPv4Network]:
    """The destinations in the output of `ip -j route`; a default route tells nothing about who uses what."""
    found = []
    for route in routes:
        destination = str(route.get("dst", "default"))
        if destination not in ("default", "0.0.0.0/0"):
            found.append(IPv4Network(destination, strict=False))
    return found


def leading_out(routes: str, *, default_only: bool = False) -> list[str]:
    """The devices in the text of /proc/net/route that lead elsewhere: not the homes' own. Pure."""
    rows = [line.split() for line in routes.splitlines()[1:]]
    return sorted({
        row[0] for row in rows
        if not row[0].startswith(("vp-", "vs-")) and (not default_only or (row[1], row[7]) == ("00000000", "00000000"))
    })  # fmt: skip


def uplinks(*, default_only: bool = False) -> list[str]:
    """The devices over which this host reaches others: networks next to it, tunnels, the default route."""
    return leading_out(Path("/proc/net/route").read_text(), default_only=default_only)


def leading_out6(routes: str) -> list[str]:
    """The devices in the text of /proc/net/ipv6_route over which this host reaches others by IPv6. Pure."""
    rows = [line.split() for line in routes.splitlines()]
    return sorted({
        row[9] for row in rows
        if not row[0].startswith(("fe80", "ff")) and row[9] != "lo" and not row[9].startswith(("vp-", "vs-"))
        and not int(row[8], 16) & _LOCAL_ROUTE
    })  # fmt: skip


def uplinks6() -> list[str]:
    """The devices over which this host reaches others by IPv6."""
    return leading_out6(Path("/proc/net/ipv6_route").read_text())


def why_no_ipv6() -> tuple[str, str]:
    """Why pods cannot have IPv6 on this host and what would change it; empty when they can.

    Forwarding is switched on for single devices only, which the kernel can since 6.17: for the whole host it would
    end its listening to routers.
    """
    if read_setting("ipv6/conf/all/disable_ipv6") != "0":
        return "IPv6 is switched off on this machine", "sysctl -w net.ipv6.conf.all.disable_ipv6=0"
    if read_setting("ipv6/conf/all/forwarding") != "1" and not read_setting("ipv6/conf/lo/force_forwarding"):
        told = "this kernel cannot forward IPv6 for single devices (Linux 6.17 can), and does not for all of them"
        return told, "sysctl -w net.ipv6.conf.all.forwarding=1"
    return "", ""


def mtu(devices: Iterable[str]) -> int:
    """The largest packet, in bytes, that passes all given devices; Ethernet's 1500 at most."""
    sizes = [int((_CLASS_NET / device / "mtu").read_text()) for device in devices if exists(device)]
    return max(_SMALLEST_MTU, min([_LARGEST_MTU, *sizes]))


def exists(device: str) -> bool:
    return (_CLASS_NET / device).exists()


def set_up(device: str, up: bool) -> None:
    """Switch a device on or off, at once: no process is started for it. Raises Problem when there is none."""
    name = device.encode()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            found = fcntl.ioctl(door, _GET_FLAGS, struct.pack("16sh14x", name, 0))
            flags: int = struct.unpack("16sh14x", found)[1]
            flags = flags | _IS_UP if up else flags & ~_IS_UP
            fcntl.ioctl(door, _SET_FLAGS, struct.pack("16sh14x", name, flags))
    except OSError as error:
        state = "on" if up else "off"
        raise Problem(f"switch the device {device} {state}", error.strerror or str(error), reason="Gone") from None


def devices(prefix: str) -> list[str]:
    """The names of all network devices that begin with `prefix`."""
    return sorted(path.name for path in _CLASS_NET.iterdir() if path.name.startswith(prefix))


def has_bridge_filter() -> bool:
    """Whether frames between two ports of a bridge can be shown to nftables (br_netfilter is loaded)."""
    return (_SYS_NET / "bridge").is_dir()


def write_bridge(device: str, name: str, value: str) -> None:
    """Set a property of a bridge below /sys/class/net/DEVICE/bridge, if the kernel has it."""
    path = _CLASS_NET / device / "bridge" / name
    if path.exists():
        path.write_text(value)


def read_setting(name: str) -> str:
    """A kernel setting below /proc/sys/net; empty when this kernel has none of that name."""
    try:
        return (_SYS_NET / name).read_text().strip()
    except FileNotFoundError:
        return ""


def write_setting(name: str, value: str) -> None:
    """Set a kernel setting below /proc/sys/net, unless it has that value or the kernel has none of that name.

    Raises Problem when this process may not.
    """
    if read_setting(name) in (value, ""):
        return
    try:
        (_SYS_NET / name).write_text(value)
    except OSError as error:
        raise Problem(f"set net/{name} to {value}", str(error), "run the engine as root", "Forbidden") from None
