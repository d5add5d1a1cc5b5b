"""What a Windows system on a disk is and has, by the files that are there and by its registry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpod.drivers.inspection.facts import Service, System, Trouble
from vmpod.drivers.inspection.hives import Hive
from vmpod.drivers.inspection.trees import Tree

_DRIVERS = "/Windows/System32/drivers"
_DISK_DRIVERS = ("viostor", "vioscsi")
_PLACE = "C:\\Windows\\System32\\drivers"
_HIVES = "/Windows/System32/config"
_MOST_HIVE = 256 << 20
_AT_BOOT, _BY_ITSELF = (0,), (0, 1, 2)  # values of a service's Start: by the loader, by the kernel, when it is up
_FIXED = "give it by DHCP, or use `bridge: {}` with this address"
_NOBODIES = ("All Users", "Default", "Default User", "Public", "desktop.ini")
_VERSION = re.compile("ProductVersion".encode("utf-16-le") + rb"\0{2,6}((?:[0-9.]\0){5,40})")
_WINDOWS_11 = 22000
_NAMES = (
    (26100, "Windows 11 24H2 or Server 2025"), (22000, "Windows 11"), (20348, "Windows Server 2022"),
    (17763, "Windows 10 or Server 2019"), (14393, "Windows 10 or Server 2016"), (10240, "Windows 10"),
    (9600, "Windows 8.1 or Server 2012 R2"), (9200, "Windows 8 or Server 2012"), (7600, "Windows 7 or Server 2008 R2"),
    (6000, "Windows Vista or Server 2008"),
)  # fmt: skip


def is_windows(tree: Tree) -> bool:
    """Whether the tree is the system drive of Windows."""
    return tree.exists("/Windows/System32/ntoskrnl.exe") or tree.exists("/WINDOWS/system32/ntoskrnl.exe")


class Registry:
    """What is asked of the two hives that every system has."""

    def __init__(self, tree: Tree) -> None:
        self.system = Hive(tree.read(f"{_HIVES}/SYSTEM", _MOST_HIVE))
        self._software = Hive(tree.read(f"{_HIVES}/SOFTWARE", _MOST_HIVE))
        self.now = f"ControlSet{max(1, self.system.number('Select', 'Current')):03}"
        self.is_known = bool(self.system.keys(f"{self.now}\\Services"))

    def starts(self, service: str, when: tuple[int, ...] = _BY_ITSELF) -> bool:
        """Whether a service or driver starts by itself; what is not known is taken for so."""
        return not self.is_known or self.system.number(f"{self.now}\\Services\\{service}", "Start") in when

    def has(self, service: str) -> bool:
        """Whether a driver is installed and not only a file; what is not known is taken for so."""
        number = self.system.number(f"{self.now}\\Services\\{service}", "Start")
        return not self.is_known or 0 <= number <= 3

    def hostname(self) -> str:
        return self.system.text(f"{self.now}\\Control\\ComputerName\\ComputerName", "ComputerName")

    def product(self) -> str:
        return self._software.text("Microsoft\\Windows NT\\CurrentVersion", "ProductName")

    def denies_desktop(self) -> int:
        """1 when no remote desktop is allowed, 0 when it is, -1 when nobody said."""
        return self.system.number(f"{self.now}\\Control\\Terminal Server", "fDenyTSConnections")

    def addresses(self) -> list[str]:
        """The fixed addresses of its cards."""
        cards = f"{self.now}\\Services\\Tcpip\\Parameters\\Interfaces"
        fixed = [card for card in self.system.keys(cards) if self.system.number(f"{cards}\\{card}", "EnableDHCP") == 0]
        found = [self.system.text(f"{cards}\\{card}", "IPAddress") for card in fixed]
        return [address for address in found if address not in ("", "0.0.0.0")]


def system(tree: Tree) -> System:
    """Everything that is told of a Windows system."""
    version = product_version(tree.read("/Windows/System32/ntoskrnl.exe", 32 << 20))
    registry = Registry(tree)
    disk = any(tree.exists(f"{_DRIVERS}/{name}.sys") and registry.starts(name, _AT_BOOT) for name in _DISK_DRIVERS)
    ssh = tree.exists("/Windows/System32/OpenSSH/sshd.exe") and registry.starts("sshd")
    is_64 = tree.exists("/Windows/SysWOW64")
    return System(
        family="windows", id="windows", name=name_of(version, registry.product()), version=version,
        architecture="x86_64" if is_64 else "i386", hostname=registry.hostname(),
        cloud_init=tree.exists("/Program Files/Cloudbase Solutions/Cloudbase-Init"),
        guest_agent=tree.exists("/Program Files/Qemu-ga/qemu-ga.exe"), ssh=ssh,
        virtio=disk, users=tuple(name for name in tree.names("/Users") if name not in _NOBODIES),
        services=tuple(_services(tree, registry, ssh)), hints=tuple(_hints(tree)),
        troubles=tuple(_troubles(tree, registry, disk)),
    )  # fmt: skip


def product_version(program: bytes) -> str:
    """The ProductVersion of a program's version resource; empty when it has none."""
    match = _VERSION.search(program)
    return match[1].decode("utf-16-le") if match else ""


def name_of(version: str, product: str = "") -> str:
    """What a version (10.0.17763.1) is sold as. `product` is its registry's word; that of Windows 11 is Windows 10."""
    parts = version.split(".")
    build = int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0
    if product and not (product.startswith("Windows 10") and build >= _WINDOWS_11):
        return product
    return next((name for least, name in _NAMES if build >= least), "Windows")


def _services(tree: Tree, registry: Registry, ssh: bool) -> Iterator[Service]:
    denied = registry.denies_desktop()
    if denied != 1:
        yield Service("Remote Desktop", (3389,), "" if denied == 0 else "when it is allowed")
    if ssh:
        yield Service("sshd", (22,))
    if tree.exists("/inetpub/wwwroot") and registry.starts("W3SVC"):
        yield Service("IIS", (80,))
    if tree.exists("/Program Files/Microsoft SQL Server"):
        yield Service("SQL Server", (1433,))


def _hints(tree: Tree) -> list[str]:
    return ["a web root in C:\\inetpub\\wwwroot"] if tree.names("/inetpub/wwwroot") else []


def _troubles(tree: Tree, registry: Registry, disk: bool) -> Iterator[Trouble]:
    if not disk:
        lies = any(tree.exists(f"{_DRIVERS}/{name}.sys") for name in _DISK_DRIVERS)
        what = "a file that nothing loads is the" if lies else "there is no"
        remedy = "bus: sata (chosen), or install virtio-win in the guest first"
        yield Trouble(f"{what} virtio driver for the disk", _PLACE, remedy)
    if not tree.exists(f"{_DRIVERS}/netkvm.sys") or not registry.has("netkvm"):
        remedy = "model: e1000e (chosen), or install virtio-win in the guest first"
        yield Trouble("there is no virtio driver for the network card", _PLACE, remedy)
    for address in registry.addresses():
        yield Trouble(f"the address is fixed ({address})", "the registry: Tcpip, Parameters, Interfaces", _FIXED)
    if tree.exists("/hiberfil.sys") and tree.size("/hiberfil.sys") > 0:
        yield Trouble("it may have been hibernated", "C:\\hiberfil.sys", "start it once where it was and shut it down")
