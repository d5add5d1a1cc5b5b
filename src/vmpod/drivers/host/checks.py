"""What `vmpod doctor` looks at: each check says what was found and, when it is not well, what mends it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from vmpod.drivers.host import accelerator, packages
from vmpod.drivers.host.facts import HostFacts, os_release

GIB = 1 << 30
_LEAST_MEMORY_BYTES = 2 * GIB


@dataclass(frozen=True)
class Check:
    """One finding. `ok` false with `required` true: vmpod cannot run what needs it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    required: bool = True


def checks(facts: HostFacts) -> list[Check]:
    """Every check, in the order in which they are worth mending."""
    return [
        _program(facts, "podman", facts.podman_version, "runs containers and machines"),
        _runtime(facts),
        _program(facts, "qemu-system-x86_64", facts.qemu_version, "runs machines"),
        _program(facts, "qemu-img", "installed" if shutil.which("qemu-img") else "", "makes disks"),
        _program(facts, "nft", facts.nft_version, "routes services"),
        _program(facts, "ip", "installed" if shutil.which("ip") else "", "connects pods"),
        _tpm(facts),
        _acceleration(facts), _tun(facts), _privilege(facts), _forwarding(facts), _bridges(facts), _memory(facts),
        _groups(facts), _uefi(facts),
    ]  # fmt: skip


def _install(facts: HostFacts, *programs: str) -> str:
    return packages.install(os_release(), programs, is_root=facts.is_root)


def _sudo(facts: HostFacts, command: str) -> str:
    return command if facts.is_root else f"sudo {command}"


def _program(facts: HostFacts, name: str, version: str, purpose: str) -> Check:
    return Check(name, bool(version), version or f"not installed ({purpose})", "" if version else _install(facts, name))


def _tpm(facts: HostFacts) -> Check:
    """Only machines with a TPM need it."""
    found = bool(shutil.which("swtpm"))
    return Check("swtpm", found, "installed" if found else "not installed (emulates TPMs)",
                 "" if found else _install(facts, "swtpm"), required=False)


def _runtime(facts: HostFacts) -> Check:
    ok = bool(facts.oci_runtime)
    found = f"{facts.oci_runtime} ({facts.oci_runtime_reason})" if ok else facts.oci_runtime_reason or "none works"
    return Check("OCI runtime", ok, found, "" if ok else _install(facts, "oci-runtime"))


def _acceleration(facts: HostFacts) -> Check:
    """Without KVM everything works, slowly; so it is not required."""
    if facts.has_kvm:
        return Check("KVM", True, facts.accelerator_reason, required=False)
    fix = "turn on virtualisation (VT-x, AMD-V or nested virtualisation) in the firmware or the cloud's settings"
    if accelerator.DEVICE.exists():
        fix = "use a machine (or cloud instance) whose KVM runs 64-bit guests; emulation works meanwhile"
        if "may not be opened" in facts.accelerator_reason:
            fix = "sudo usermod -aG kvm $USER  (then log in again)"
    return Check("KVM", False, f"machines are emulated, about ten times slower: {facts.accelerator_reason}", fix,
                 required=False)


def _tun(facts: HostFacts) -> Check:
    found = "/dev/net/tun" if facts.has_tun else "/dev/net/tun does not exist (network cards of machines)"
    return Check("tun device", facts.has_tun, found, "" if facts.has_tun else _sudo(facts, "modprobe tun"))


def _privilege(facts: HostFacts) -> Check:
    fix = "" if facts.is_root else "run vmpod as root (sudo)"
    return Check("privilege", facts.is_root, "root" if facts.is_root else "an ordinary user", fix)


def _forwarding(facts: HostFacts) -> Check:
    """Nothing to mend: for pods' way outside the engine turns it on for the devices concerned, never globally."""
    found = "on" if facts.ip_forward else "off globally; the engine turns it on for its own devices"
    return Check("IP forwarding", True, found, required=False)


def _bridges(facts: HostFacts) -> Check:
    found = "on" if facts.br_netfilter else "off (a pod may not reach itself through its own service)"
    fix = "" if facts.br_netfilter else _sudo(facts, "modprobe br_netfilter")
    return Check("bridge filtering", facts.br_netfilter, found, fix, required=False)


def _memory(facts: HostFacts) -> Check:
    ok = facts.memory_bytes >= _LEAST_MEMORY_BYTES
    return Check("memory", ok, f"{facts.memory_bytes / GIB:.1f} GiB, {facts.cpus} CPUs", "" if ok else "add memory",
                 required=False)


def _groups(facts: HostFacts) -> Check:
    fix = "" if facts.cgroup_version == 2 else "boot with systemd.unified_cgroup_hierarchy=1"
    return Check("control groups", facts.cgroup_version == 2, f"version {facts.cgroup_version}", fix, required=False)


def _uefi(facts: HostFacts) -> Check:
    ok = bool(facts.firmware)
    return Check("UEFI firmware", ok, facts.firmware[0].code if ok else "not installed (machines with efi)",
                 "" if ok else _install(facts, "uefi"), required=False)
