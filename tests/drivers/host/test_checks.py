"""What the doctor finds, and the commands it gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmpod.drivers.host import packages
from vmpod.drivers.host.checks import checks
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.host.firmware import Firmware

WELL = HostFacts(
    accelerator="kvm", oci_runtime="crun", qemu_version="9.2", podman_version="5.4", nft_version="1.1", memory_bytes=8 << 30,
    cpus=4, is_root=True, has_tun=True, br_netfilter=True, ip_forward=True, firmware=(Firmware("/c", "/v", "raw", False),),
)  # fmt: skip


@pytest.mark.parametrize(("release", "expected"), [
    ({"ID": "debian"}, "apt-get install -y podman nftables"),
    ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt-get install -y podman nftables"),
    ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install -y podman nftables"),
    ({"ID": "opensuse-tumbleweed"}, "zypper install -y podman nftables"),
    ({"ID": "arch"}, "pacman -S --needed podman nftables"),
    ({"ID": "nixos"}, "install with your package manager: podman nftables"),
])
def test_install_command(release: dict[str, str], expected: str) -> None:
    assert packages.install(release, ["podman", "nft"], is_root=True) == expected
    if not expected.startswith("install"):
        assert packages.install(release, ["podman", "nft"], is_root=False) == f"sudo {expected}"


def test_every_program_has_a_name_in_every_family() -> None:
    for release in ({"ID": one} for one in ("debian", "fedora", "arch", "suse")):
        assert packages.install(release, ["uefi", "ip", "oci-runtime", "qemu-img"], is_root=True).count(" ") >= 4


def test_a_well_machine_needs_nothing() -> None:
    assert [one.name for one in checks(WELL) if one.required and not one.ok] == []


@pytest.mark.parametrize(("name", "lacking"), [
    ("podman", {"podman_version": ""}), ("qemu-system-x86_64", {"qemu_version": ""}), ("nft", {"nft_version": ""}),
    ("OCI runtime", {"oci_runtime": ""}), ("tun device", {"has_tun": False}), ("privilege", {"is_root": False}),
    ("KVM", {"accelerator": "tcg"}), ("UEFI firmware", {"firmware": ()}),
    ("bridge filtering", {"br_netfilter": False}), ("memory", {"memory_bytes": 1 << 30}),
    ("control groups", {"cgroup_version": 1}),
])
def test_what_lacks_has_a_remedy(name: str, lacking: dict[str, object]) -> None:
    found = {one.name: one for one in checks(replace(WELL, **lacking))}[name]  # type: ignore[arg-type]
    assert not found.ok
    assert found.fix


def test_forwarding_is_the_engines_own_business() -> None:
    found = {one.name: one for one in checks(replace(WELL, ip_forward=False))}["IP forwarding"]
    assert found.ok and "its own devices" in found.found
