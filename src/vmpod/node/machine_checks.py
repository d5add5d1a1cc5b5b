"""What is asked of this host before a machine starts: programs, memory, open files."""

from __future__ import annotations

import shutil

from vmpod.base.errors import Problem
from vmpod.drivers.host import facts as host
from vmpod.drivers.host import packages
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.qemu.args import passt
from vmpod.drivers.qemu.spec import MachineSpec
from vmpod.model.meta import Object, name

_TPM_PROGRAM = "swtpm"


def check_programs(vmi: Object, machine: MachineSpec, facts: HostFacts) -> None:
    """Raises Problem for a process beside QEMU whose program is not installed, with the command that brings it."""
    needed = [(_TPM_PROGRAM, "its TPM")] if machine.tpm else []
    needed += [(passt.PROGRAM, f"its interface {nic.name!r}") for nic in machine.nics if nic.passt]
    for program, part in needed:
        if not shutil.which(program):
            fix = packages.install(host.os_release(), (program,), is_root=facts.is_root)
            why = f"{part} needs {program}, which is not installed"
            raise Problem(f"start the machine {name(vmi)}", why, fix, "Unsupported")


def few_ports(machine: MachineSpec, facts: HostFacts) -> str:
    """Why not every port leads to the guest, where none is listed and this host has too few open files for all."""
    most = passt.most_ports(facts.open_files)
    if most == passt.MOST or not any(nic.passt and nic.passt.tcp == f"1-{most}" for nic in machine.nics):
        return ""
    return (f"passt listens on the ports up to {most} only, for this host allows {facts.open_files} open files;"
            " list the ports of the interface to have others")


def check_memory(vmi: Object, machine: MachineSpec) -> None:
    """Better refused with a reason than killed by the kernel a minute later. Raises Problem."""
    if machine.page_bytes:
        _check_pages(vmi, machine)
        return
    free = host.memory_to_give()
    if machine.memory_bytes > free:
        raise Problem(
            f"start the machine {name(vmi)}",
            f"it wants {machine.memory_bytes >> 20} MiB of memory, and this host has {free >> 20} MiB to give",
            "stop something, or lower spec.template.spec.domain.memory.guest", "InsufficientMemory",
        )


def _check_pages(vmi: Object, machine: MachineSpec) -> None:
    free = host.huge_pages_to_give(machine.page_bytes)
    wanted, size = -(-machine.memory_bytes // machine.page_bytes), f"{machine.page_bytes >> 10} KiB"
    if wanted > free:
        fix = f"echo {wanted} | sudo tee {host.huge_pages_folder(machine.page_bytes)}/nr_hugepages"
        why = f"it wants {wanted} huge pages of {size}, and this host has {free} free"
        raise Problem(f"start the machine {name(vmi)}", why, fix, "InsufficientMemory")
