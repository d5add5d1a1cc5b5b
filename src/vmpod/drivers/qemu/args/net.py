"""Network cards."""

from __future__ import annotations

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec, Nic

_MODELS = {"virtio": "virtio-net-pci"}


def device(name: str) -> str:
    """The id of the card that a VMI calls `name`."""
    return f"nic-{name}"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Each card on its tap. The option ROM is left out unless the machine boots from the card: it costs start time."""
    return tuple(word for nic in spec.nics for word in ("-netdev", _backend(nic), "-device", _card(spec, nic)))


def _backend(nic: Nic) -> str:
    queues = nic.queues if nic.queues > 1 else None
    return pairs("tap", id=f"host-{nic.name}", ifname=nic.tap, script="no", downscript="no", vhost=False, queues=queues)


def _card(spec: MachineSpec, nic: Nic) -> str:
    model = pci.virtio(spec, _MODELS["virtio"]) if nic.model == "virtio" else nic.model
    several = nic.model == "virtio" and nic.queues > 1
    return pairs(
        model, netdev=f"host-{nic.name}", id=device(nic.name), mac=nic.mac,
        bus=pci.bus(spec, device(nic.name)), bootindex=nic.boot_index or None,
        acpi_index=nic.acpi_index or None,
        romfile=None if nic.boot_index else "", mq=True if several else None,
        vectors=2 * nic.queues + 2 if several else None,
    )
