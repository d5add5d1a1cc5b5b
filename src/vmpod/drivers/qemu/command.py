"""The whole command line of a machine."""

from __future__ import annotations

from collections.abc import Callable

from vmpod.drivers.qemu.args import (
    balloon,
    channel,
    cpu,
    disk,
    display,
    firmware,
    machine,
    memory,
    net,
    pci,
    rng,
    sharing,
    tpm,
    watchdog,
)
from vmpod.drivers.qemu.spec import MachineSpec

PROGRAM = "qemu-system-x86_64"

# Devices with a slot of their own choosing come before those that take the next free one.
_FAMILIES: tuple[Callable[[MachineSpec], tuple[str, ...]], ...] = (
    machine.args, firmware.args, cpu.args, memory.args, pci.args, display.args, channel.args, net.args, disk.args,
    rng.args, sharing.args, balloon.args, watchdog.args, tpm.args, memory.device_args,
)


def argv(spec: MachineSpec) -> tuple[str, ...]:
    """The argument vector that runs `spec` in the foreground."""
    return (PROGRAM, *(word for family in _FAMILIES for word in family(spec)))
