"""Memory."""

from __future__ import annotations

from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec

MIB = 1 << 20
BACKEND = "ram0"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Guest memory in whole MiB, rounded up; in huge pages of the host where the machine wants them."""
    size = f"{-(-spec.memory_bytes // MIB)}M"
    pages = pairs("memory-backend-memfd", id=BACKEND, size=size, hugetlb=True, hugetlbsize=f"{spec.page_bytes // MIB}M")
    return ("-m", f"size={size}", *(("-object", pages) if spec.page_bytes else ()))
