"""Randomness for the guest."""

from __future__ import annotations

from vmpod.drivers.qemu.spec import MachineSpec


def args(spec: MachineSpec) -> tuple[str, ...]:
    """A virtio random number generator fed by the host's."""
    if not spec.rng:
        return ()
    return ("-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0,id=rng0-dev")
