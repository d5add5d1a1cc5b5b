"""What a machine's container begins with: files and other processes that are there before QEMU."""

from __future__ import annotations

from vmpod.drivers.qemu.args import firmware, tpm
from vmpod.drivers.qemu.spec import MachineSpec

_FAMILIES = (firmware.steps, tpm.steps)


def entrypoint(spec: MachineSpec, program: str) -> tuple[str, ...]:
    """What runs `program` with the arguments that follow: itself, or a shell that takes the steps and becomes it.

    They are taken inside the container, as QEMU's user: whatever a folder holds leads to nothing of the host's.
    """
    steps = [step for family in _FAMILIES for step in family(spec)]
    if not steps:
        return (program,)
    return ("sh", "-c", " && ".join(["umask 077", *steps, 'exec "$0" "$@"']), program)
