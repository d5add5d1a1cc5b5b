"""Where PCI devices sit.

On q35 every card and disk has a root port of its own, cards first: so the guest calls its first card `enp1s0`, as
it does under KubeVirt, and a network configuration that names it fits both. Slot 1 is the graphics card's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import Disk, MachineSpec

GRAPHICS_SLOT = "0x1"
_FIRST_SLOT = 2
_FUNCTIONS = 8
SPARE_PORTS = ("spare1", "spare2", "spare3", "spare4")
"""Free root ports, for virtio disks and network cards that are plugged in later."""


def has_scsi(spec: MachineSpec) -> bool:
    """Whether a SCSI controller is needed; a LUN is one whatever its bus says. Disks are plugged in as SCSI ones."""
    return spec.hotplug or any(is_scsi(disk) for disk in spec.disks)


def is_scsi(disk: Disk) -> bool:
    return disk.bus == "scsi" or disk.kind == "lun"


def virtio(spec: MachineSpec, model: str) -> str:
    """The model of a virtio card; a transitional one speaks the first drivers' language too."""
    return f"{model}-transitional" if spec.transitional else model


def plugged(spec: MachineSpec) -> tuple[str, ...]:
    """The names of what sits in root ports, in the order of their bus numbers; empty for a port that is free."""
    disks = [f"disk-{d.name}" for d in spec.disks if d.bus == "virtio" and not is_scsi(d) and not d.slot]
    names = [*(f"nic-{n.name}" for n in spec.nics if not n.slot), *disks, *(("scsi0",) if has_scsi(spec) else ())]
    pinned = [name if name in names else "" for name in spec.ports]
    return (*pinned, *(name for name in names if name not in pinned))


def arranged(names: Sequence[str], fixed: Mapping[str, int]) -> tuple[str, ...]:
    """Names in their order, but for those that have a port of their own, counted from 0."""
    own = {port: name for name, port in fixed.items() if name in names}
    found = dict.fromkeys(range(max(own, default=-1) + 1), "") | own
    free = (port for port in itertools.count() if not found.get(port))
    found |= {port: name for name, port in zip((one for one in names if one not in own.values()), free, strict=False)}
    return tuple(found[port] for port in sorted(found))


def place(spec: MachineSpec, device: str, slot: str) -> dict[str, str | None]:
    """Where a device sits: on bus 0 itself, behind its root port, or anywhere on a board with one plain bus."""
    if slot:
        return {"bus": "pcie.0" if spec.is_pcie else "pci.0", "addr": slot}
    return {"bus": bus(spec, device)}


def bus(spec: MachineSpec, device: str) -> str | None:
    """The bus of a device named by `plugged`, None on a board with one plain bus."""
    return f"port{plugged(spec).index(device) + 1}" if spec.is_pcie else None


def args(spec: MachineSpec) -> tuple[str, ...]:
    """The root ports, eight functions to a slot."""
    if not spec.is_pcie:
        return ()
    taken = len(plugged(spec))
    names = [f"port{n + 1}" for n in range(taken)] + list(SPARE_PORTS if spec.hotplug else ())
    return tuple(word for n, name in enumerate(names) for word in ("-device", _port(n, name)))


def _port(number: int, name: str) -> str:
    slot, function = divmod(number, _FUNCTIONS)
    return pairs("pcie-root-port", id=name, bus="pcie.0", chassis=number + 1, port=0x10 + number,
                 addr=f"{_FIRST_SLOT + slot:#x}.{function:#x}", multifunction=True if function == 0 else None)
