"""Processors: topology, model, features."""

from __future__ import annotations

from vmpod.drivers.qemu.spec import MachineSpec

_HOST_MODELS = ("host-model", "host-passthrough", "")


def args(spec: MachineSpec) -> tuple[str, ...]:
    """`-smp` with the whole topology and `-cpu` with the nearest model that the accelerator has."""
    cpu = spec.cpu
    topology = f"{cpu.count},sockets={cpu.sockets},dies=1,cores={cpu.cores},threads={cpu.threads}"
    return ("-smp", topology, "-cpu", model(spec))


def model(spec: MachineSpec) -> str:
    """The host's own processor under KVM; without it the fullest that emulation has (`max`)."""
    name = spec.cpu.model
    if name in _HOST_MODELS:
        name = "host" if spec.accelerator == "kvm" else "max"
    return ",".join((name, *(f"{feature}={'on' if on else 'off'}" for feature, on in spec.cpu.features)))
