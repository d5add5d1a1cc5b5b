"""Randomness for the guest."""

from __future__ import annotations

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec


def args(spec: MachineSpec) -> tuple[str, ...]:
    """A virtio random number generator fed by the host's."""
    if not spec.rng:
        return ()
    card = pairs(pci.virtio(spec, "virtio-rng-pci"), rng="rng0", id="rng0-dev")
    return ("-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", card)
