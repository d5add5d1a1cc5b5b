"""Memory: what the machine starts with, and a device through which more is offered to the guest later."""

from __future__ import annotations

from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec

MIB = 1 << 20
BACKEND = "ram0"
GROWTH = "memory0"
BLOCK = "2M"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Guest memory in whole MiB, rounded up; in huge pages of the host where the machine wants them.

    Other processes get at it where they serve a folder.
    """
    size = f"{-(-spec.memory_bytes // MIB)}M"
    most = f",maxmem={spec.max_memory_bytes // MIB}M" if grows(spec) else ""
    pages, page = (True, f"{spec.page_bytes // MIB}M") if spec.page_bytes else (None, None)
    backend = pairs("memory-backend-memfd", id=BACKEND, size=size, share=True if spec.shares else None, hugetlb=pages,
                    hugetlbsize=page)
    return ("-m", f"size={size}{most}", *(("-object", backend) if has_backend(spec) else ()))


def has_backend(spec: MachineSpec) -> bool:
    """Whether the guest's memory is an object of its own."""
    return bool(spec.page_bytes or spec.shares)


def grows(spec: MachineSpec) -> bool:
    """Whether memory can be plugged in: asked for, in whole blocks, of plain pages, with a bus for the device."""
    is_plain = spec.acpi and not spec.page_bytes and spec.memory_bytes % (2 * MIB) == 0
    return is_plain and spec.max_memory_bytes > spec.memory_bytes


def device_args(spec: MachineSpec) -> tuple[str, ...]:
    """A virtio-mem device; nothing of its memory is taken from the host before the guest takes it."""
    if not grows(spec):
        return ()
    more = (spec.max_memory_bytes - spec.memory_bytes) // MIB
    kind, shared = ("memory-backend-memfd", True) if spec.shares else ("memory-backend-ram", None)
    backend = pairs(kind, id=f"{GROWTH}-ram", size=f"{more}M", share=shared, reserve=False)
    device = pairs("virtio-mem-pci", id=GROWTH, memdev=f"{GROWTH}-ram", requested_size=spec.plugged_memory_bytes,
                   block_size=BLOCK)
    return ("-object", backend, "-device", device)
