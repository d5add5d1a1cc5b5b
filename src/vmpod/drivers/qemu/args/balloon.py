"""The balloon: memory that the guest freed goes back to the host."""

from __future__ import annotations

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec


def args(spec: MachineSpec) -> tuple[str, ...]:
    """A balloon that reports free pages by itself."""
    if not spec.balloon:
        return ()
    return ("-device", pairs(pci.virtio(spec, "virtio-balloon-pci"), id="balloon0", free_page_reporting=True))
