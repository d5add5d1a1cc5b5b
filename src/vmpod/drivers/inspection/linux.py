"""What a Linux system on a disk is and has: os-release(5), fstab(5), passwd(5), systemd's links to enabled units."""

from __future__ import annotations

import re
import shlex
import struct
from collections.abc import Iterator

from vmpod.drivers.inspection import linuxnet, linuxservices
from vmpod.drivers.inspection.facts import System, Trouble
from vmpod.drivers.inspection.kernels import kernels
from vmpod.drivers.inspection.trees import Tree

_MACHINES = {0x3E: "x86_64", 0x03: "i386", 0xB7: "aarch64", 0x28: "arm", 0xF3: "riscv64", 0x15: "ppc64", 0x16: "s390x"}
_SHELLS_OF_NOBODY = ("nologin", "false", "sync", "halt", "shutdown")
_PROGRAMS = ("/bin/sh", "/usr/bin/env", "/bin/busybox", "/sbin/init")
_BY_ORDER = re.compile(r"/dev/(?:sd|hd|xvd|vd)[a-z]\d*")


def is_linux(tree: Tree) -> bool:
    """Whether the tree is the root of a Linux system."""
    is_named = tree.exists("/etc/os-release") or tree.exists("/usr/lib/os-release") or tree.exists("/etc/fstab")
    return is_named or (tree.exists("/etc/passwd") and tree.exists("/bin/sh"))


def system(tree: Tree) -> System:
    """Everything that is told of a Linux system."""
    said = release(tree)
    found, services = kernels(tree), tuple(linuxservices.services(tree))
    return System(
        family="linux", id=said.get("ID", ""), name=said.get("PRETTY_NAME") or said.get("NAME", "Linux"),
        version=said.get("VERSION_ID", ""), architecture=architecture(tree),
        hostname=hostname(tree), kernels=found,
        cloud_init=has_cloud_init(tree),
        guest_agent=any(tree.exists(f"{folder}/qemu-ga") for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin")),
        ssh=any(tree.exists(f"/usr/sbin/{name}") for name in ("sshd", "dropbear")),
        virtio=bool(found) and found[0].virtio in ("builtin", "initramfs"), users=tuple(users(tree)),
        disk_names=disk_names(tree), services=services,
        hints=tuple(linuxservices.hints(tree)), troubles=(*troubles(tree), *linuxnet.troubles(tree)),
    )  # fmt: skip


def release(tree: Tree) -> dict[str, str]:
    """os-release(5), or what older systems have in its place."""
    text = tree.text("/etc/os-release") or tree.text("/usr/lib/os-release")
    found = {}
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        if sign and not name.startswith("#"):
            found[name] = _unquoted(value)
    for path in ("/etc/redhat-release", "/etc/debian_version", "/etc/alpine-release"):
        if not found and (line := tree.text(path).strip()):
            words = {"/etc/redhat-release": line, "/etc/debian_version": f"Debian {line}"}
            name = words.get(path, f"Alpine {line}")
            found = {"PRETTY_NAME": name, "ID": name.split()[0].lower()}
    return found


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value.strip("\"'")


def hostname(tree: Tree) -> str:
    """By hostname(5), or where older systems keep it; empty when the system has none of its own."""
    lines = [line.strip() for path in ("/etc/hostname", "/etc/HOSTNAME") for line in tree.text(path).splitlines()]
    for path in ("/etc/sysconfig/network", "/etc/conf.d/hostname"):
        lines += re.findall(r'^HOSTNAME="?([^"\s]+)', tree.text(path), re.MULTILINE | re.IGNORECASE)
    return next((line for line in lines if line and not line.startswith("#")), "")


def architecture(tree: Tree) -> str:
    """Of the programs on the disk, by the ELF header of one that every system has."""
    for path in _PROGRAMS:
        head = tree.read(path, 20)
        if head.startswith(b"\x7fELF"):
            machine = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])[0]
            return _MACHINES.get(machine, f"ELF machine {machine}")
    return ""


def has_cloud_init(tree: Tree) -> bool:
    """Whether cloud-init is there and not switched off."""
    is_there = tree.exists("/etc/cloud/cloud.cfg") or tree.exists("/usr/bin/cloud-init")
    return is_there and not tree.exists("/etc/cloud/cloud-init.disabled")


def users(tree: Tree) -> Iterator[str]:
    """root when it may log in, and the people of the system."""
    for line in tree.text("/etc/passwd").splitlines():
        parts = line.split(":")
        if len(parts) < 7 or not parts[2].isdigit() or parts[6].rsplit("/", 1)[-1] in _SHELLS_OF_NOBODY:
            continue
        if parts[0] == "root" or 1000 <= int(parts[2]) < 60000:
            yield parts[0]


def fstab(tree: Tree) -> list[tuple[str, str, str]]:
    """The device, the mount point and the options of each line."""
    lines = (line.split() for line in tree.text("/etc/fstab").splitlines() if not line.lstrip().startswith("#"))
    return [(parts[0], parts[1], parts[3] if len(parts) > 3 else "") for parts in lines if len(parts) >= 3]


def roots(tree: Tree) -> list[tuple[str, str]]:
    """Where a boot loader's configuration says the root is: the file and the value of `root=`."""
    found = []
    entries = [f"/boot/loader/entries/{name}" for name in tree.names("/boot/loader/entries")]
    for path in ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/menu.lst", "/boot/extlinux/extlinux.conf",
                 *entries):  # fmt: skip
        found += [(path, match[1]) for match in re.finditer(r"\broot=([^\s\"']+)", tree.text(path))]
    return found


def troubles(tree: Tree) -> Iterator[Trouble]:
    """Disks that are named by their order, which another bus changes."""
    named = [("/etc/fstab", device) for device, _, _ in fstab(tree)] + roots(tree)
    seen = set[tuple[str, str]]()
    for where, device in named:
        if _BY_ORDER.fullmatch(device) and (where, device) not in seen:
            seen.add((where, device))
            yield Trouble(f"the disk is named {device}, which depends on its bus", where,
                          "name it by UUID= (blkid shows it), or keep the bus that makes this name")  # fmt: skip


def disk_names(tree: Tree) -> tuple[str, ...]:
    """The beginnings (sd, vd, hd, xvd) of the names that the boot loader and fstab give to disks."""
    named = [device for device, _, _ in fstab(tree)] + [device for _, device in roots(tree)]
    return tuple(sorted({match[1] for device in named if (match := re.match(r"/dev/(sd|hd|xvd|vd)[a-z]", device))}))
