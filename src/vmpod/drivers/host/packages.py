"""What programs are called in the packages of each family of distributions, and the command that installs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_TOOLS = {"debian": "apt-get install -y", "fedora": "dnf install -y", "arch": "pacman -S --needed",
          "suse": "zypper install -y"}

_NAMES: Mapping[str, Mapping[str, str]] = {
    "qemu-system-x86_64": {"debian": "qemu-system-x86", "fedora": "qemu-system-x86-core", "arch": "qemu-system-x86",
                           "suse": "qemu-x86"},
    "qemu-storage-daemon": {"debian": "qemu-system-common", "fedora": "qemu-img", "arch": "qemu-img",
                            "suse": "qemu-img"},
    "qemu-img": {"debian": "qemu-utils", "fedora": "qemu-img", "arch": "qemu-img", "suse": "qemu-img"},
    "podman": {"debian": "podman", "fedora": "podman", "arch": "podman", "suse": "podman"},
    "oci-runtime": {"debian": "crun runc", "fedora": "crun runc", "arch": "crun runc", "suse": "crun runc"},
    "nft": {"debian": "nftables", "fedora": "nftables", "arch": "nftables", "suse": "nftables"},
    "ip": {"debian": "iproute2", "fedora": "iproute", "arch": "iproute2", "suse": "iproute2"},
    "swtpm": {"debian": "swtpm", "fedora": "swtpm", "arch": "swtpm", "suse": "swtpm"},
    "virtiofsd": {"debian": "virtiofsd", "fedora": "virtiofsd", "arch": "virtiofsd",
                  "suse": "virtiofsd"},
    "passt": {"debian": "passt", "fedora": "passt", "arch": "passt", "suse": "passt"},
    "uefi": {"debian": "ovmf", "fedora": "edk2-ovmf", "arch": "edk2-ovmf", "suse": "qemu-ovmf-x86_64"},
}
_FAMILIES = {"debian": "debian", "ubuntu": "debian", "fedora": "fedora", "rhel": "fedora", "centos": "fedora",
             "arch": "arch", "suse": "suse", "opensuse": "suse", "sles": "suse"}


def family(release: Mapping[str, str]) -> str:
    """debian, fedora, arch or suse, by ID and ID_LIKE of os-release; empty for others."""
    words = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return next((_FAMILIES[key] for word in words for key in (word, word.partition("-")[0]) if key in _FAMILIES), "")


def install(release: Mapping[str, str], programs: Sequence[str], *, is_root: bool) -> str:
    """The command that installs programs; for an unknown distribution the list of what to install."""
    where = family(release)
    if not where:
        return "install with your package manager: " + " ".join(_NAMES[p]["debian"] for p in programs)
    names = " ".join(dict.fromkeys(name for p in programs for name in _NAMES[p][where].split()))
    return f"{'' if is_root else 'sudo '}{_TOOLS[where]} {names}"
