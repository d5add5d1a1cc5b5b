"""Processors: topology, model, features."""

from __future__ import annotations

from vmpod.drivers.qemu.spec import MachineSpec

_HOST_MODELS = ("host-model", "host-passthrough", "")


def args(spec: MachineSpec) -> tuple[str, ...]:
    """`-smp` with the whole topology, empty sockets included, and `-cpu` with the nearest model that there is.

    Without ACPI the guest could not be told of a new processor.
    """
    cpu = spec.cpu
    sockets = max(cpu.sockets, cpu.max_sockets) if spec.acpi else cpu.sockets
    topology = f"{cpu.count},sockets={sockets},dies=1,cores={cpu.cores},threads={cpu.threads}"
    if sockets > cpu.sockets:
        topology += f",maxcpus={sockets * cpu.cores * cpu.threads}"
    return ("-smp", topology, "-cpu", model(spec))


def model(spec: MachineSpec) -> str:
    """The host's own processor under KVM; without it the fullest that emulation has (`max`)."""
    name = spec.cpu.model
    if name in _HOST_MODELS:
        name = "host" if spec.accelerator == "kvm" else "max"
    features = [one for one in spec.cpu.features if spec.accelerator == "kvm" or not is_of_kvm(one[0])]
    return ",".join((name, *(f"{feature}={_shown(value)}" for feature, value in features)))


def is_of_kvm(feature: str) -> bool:
    """Whether it is something that only KVM shows to a guest; QEMU does not start with some of them without it."""
    return feature.startswith(("hv-", "kvm"))


def _shown(value: bool | str) -> str:
    return value if isinstance(value, str) else "on" if value else "off"


def in_vain(spec: MachineSpec) -> tuple[str, ...]:
    """Features that were asked for and that this accelerator cannot show."""
    if spec.accelerator == "kvm":
        return ()
    return tuple(name for name, value in spec.cpu.features if value is not False and is_of_kvm(name))
