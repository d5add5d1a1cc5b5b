"""The watchdog card and the guest's panic report."""

from __future__ import annotations

from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec


def args(spec: MachineSpec) -> tuple[str, ...]:
    """What the guest uses to say that it hangs or died."""
    words: list[str] = []
    if spec.watchdog:
        words += ("-device", pairs(spec.watchdog.model, id="watchdog0"))
    if spec.panic:
        words += ("-device", spec.panic)
    return tuple(words)
