"""Memory."""

from __future__ import annotations

from vmpod.drivers.qemu.spec import MachineSpec

MIB = 1 << 20


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Guest memory in whole MiB, rounded up."""
    return ("-m", f"size={-(-spec.memory_bytes // MIB)}M")
