"""What a machine's container begins with: files and other processes that are there before QEMU."""

from __future__ import annotations

from vmpod.drivers.qemu.args import firmware, passt, sharing, tpm
from vmpod.drivers.qemu.spec import MachineSpec

_FAMILIES = (firmware.steps, tpm.steps, passt.steps, sharing.steps)
CAPABILITIES = ("SETGID", "SETPCAP", "SYS_CHROOT")
"""What a container starts with that leaves its groups; the last only makes its seccomp filter let chroot through"""
_WITHOUT_GROUPS = ("setpriv", "--clear-groups", "--ambient-caps=-all", "--inh-caps=-all", "--bounding-set=-all")


def entrypoint(spec: MachineSpec, program: str) -> tuple[str, ...]:
    """What runs `program` with the arguments that follow: itself, or a shell that takes the steps and becomes it.

    Where groups are to be left, that comes first of all, and every capability goes with them.
    They are taken inside the container, as QEMU's user: whatever a folder holds leads to nothing of the host's.
    """
    steps = [step for family in _FAMILIES for step in family(spec)]
    if not steps:
        return (program,)
    alone = _WITHOUT_GROUPS if sharing.needs_groups_dropped(spec) else ()
    return (*alone, "sh", "-c", " && ".join(["umask 077", *steps, 'exec "$0" "$@"']), program)
