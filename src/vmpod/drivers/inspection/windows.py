"""What a Windows system on a disk is and has, by the files that are there."""

from __future__ import annotations

import re

from vmpod.drivers.inspection.facts import Service, System, Trouble
from vmpod.drivers.inspection.trees import Tree

_DRIVERS = "/Windows/System32/drivers"
_NOBODIES = ("All Users", "Default", "Default User", "Public", "desktop.ini")
_VERSION = re.compile("ProductVersion".encode("utf-16-le") + rb"\0{2,6}((?:[0-9.]\0){5,40})")
_NAMES = (
    (26100, "Windows 11 24H2 or Server 2025"), (22000, "Windows 11"), (20348, "Windows Server 2022"),
    (17763, "Windows 10 or Server 2019"), (14393, "Windows 10 or Server 2016"), (10240, "Windows 10"),
    (9600, "Windows 8.1 or Server 2012 R2"), (9200, "Windows 8 or Server 2012"), (7600, "Windows 7 or Server 2008 R2"),
    (6000, "Windows Vista or Server 2008"),
)  # fmt: skip


def is_windows(tree: Tree) -> bool:
    """Whether the tree is the system drive of Windows."""
    return tree.exists("/Windows/System32/ntoskrnl.exe") or tree.exists("/WINDOWS/system32/ntoskrnl.exe")


def system(tree: Tree) -> System:
    """Everything that is told of a Windows system."""
    version = product_version(tree.read("/Windows/System32/ntoskrnl.exe", 32 << 20))
    disk = any(tree.exists(f"{_DRIVERS}/{name}.sys") for name in ("viostor", "vioscsi"))
    ssh = tree.exists("/Windows/System32/OpenSSH/sshd.exe")
    is_64 = tree.exists("/Windows/SysWOW64")
    return System(
        family="windows", id="windows", name=name_of(version), version=version,
        architecture="x86_64" if is_64 else "i386",
        cloud_init=tree.exists("/Program Files/Cloudbase Solutions/Cloudbase-Init"),
        guest_agent=tree.exists("/Program Files/Qemu-ga/qemu-ga.exe"), ssh=ssh,
        virtio=disk, users=tuple(name for name in tree.names("/Users") if name not in _NOBODIES),
        services=tuple(_services(tree, ssh)), hints=tuple(_hints(tree)), troubles=tuple(_troubles(tree, disk)),
    )  # fmt: skip


def product_version(program: bytes) -> str:
    """The ProductVersion of a program's version resource; empty when it has none."""
    match = _VERSION.search(program)
    return match[1].decode("utf-16-le") if match else ""


def name_of(version: str) -> str:
    """What a version (10.0.17763.1) is sold as."""
    parts = version.split(".")
    build = int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0
    return next((name for least, name in _NAMES if build >= least), "Windows")


def _services(tree: Tree, ssh: bool) -> list[Service]:
    found = [Service("Remote Desktop", (3389,), "when it is allowed")]
    if ssh:
        found.append(Service("sshd", (22,)))
    if tree.exists("/inetpub/wwwroot"):
        found.append(Service("IIS", (80,)))
    if tree.exists("/Program Files/Microsoft SQL Server"):
        found.append(Service("SQL Server", (1433,)))
    return found


def _hints(tree: Tree) -> list[str]:
    return ["a web root in C:\\inetpub\\wwwroot"] if tree.names("/inetpub/wwwroot") else []


def _troubles(tree: Tree, disk: bool) -> list[Trouble]:
    found = []
    if not disk:
        found.append(Trouble("there is no virtio driver for the disk", "C:\\Windows\\System32\\drivers",
                             "bus: sata (chosen), or install virtio-win in the guest first"))  # fmt: skip
    if not tree.exists(f"{_DRIVERS}/netkvm.sys"):
        found.append(Trouble("there is no virtio driver for the network card", "C:\\Windows\\System32\\drivers",
                             "model: e1000e (chosen), or install virtio-win in the guest first"))  # fmt: skip
    if tree.exists("/hiberfil.sys") and tree.size("/hiberfil.sys") > 0:
        remedy = "start it once where it was and shut it down"
        found.append(Trouble("it may have been hibernated", "C:\\hiberfil.sys", remedy))
    return found
