"""The container around a machine: no image, the host's programs read-only, no privilege at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vmpod.base.errors import Problem
from vmpod.drivers.podman.spec import ContainerSpec, Device, Limits, Mount, hard_limit
from vmpod.drivers.qemu.args import sharing
from vmpod.drivers.qemu.args.machine import TCG_BUFFER_MIB
from vmpod.drivers.qemu.command import argv
from vmpod.drivers.qemu.entrypoint import CAPABILITIES, entrypoint
from vmpod.drivers.qemu.spec import MachineSpec
from vmpod.model import quantity
from vmpod.model.meta import Object, get, name
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate.machine_features import zone
from vmpod.node.translate.machine_nics import QEMU_USER

COMPUTE = "compute"
_MIB = 1 << 20
_OPEN_TO_ALL = 0o666
_PASST_BYTES = 192 * _MIB  # the kernel's side of thousands of ports that it listens on


@dataclass(frozen=True)
class Surroundings:
    """What the container takes from the host: its shared root, this pod's socket folder, the pod's network.

    `folders` are those of the host's that exist and are no links; `labels` what tells the container apart.
    """

    name: str
    rootfs: str
    run: str
    netns: str
    folders: tuple[str, ...]
    labels: Mapping[str, str]


def container_spec(
    vmi: Object, pod: Object, machine: MachineSpec, volumes: Iterable[PreparedVolume], around: Surroundings
) -> ContainerSpec:
    """QEMU as uid 107, without capabilities, on a read-only root, seeing nothing but its own disks."""
    program, *arguments = argv(machine)
    return ContainerSpec(
        name=around.name, rootfs=around.rootfs, entrypoint=entrypoint(machine, program), command=tuple(arguments),
        env=environment(vmi), labels=around.labels, workdir="/", hostname=str(get(pod, "spec", "hostname", default="")),
        user=f"{QEMU_USER}:{QEMU_USER}", netns=around.netns, mounts=tuple(_mounts(volumes, around)),
        devices=tuple(_devices(machine)), cap_drop=("ALL",), no_new_privileges=True, read_only=True,
        cap_add=CAPABILITIES if sharing.needs_groups_dropped(machine) else (), limits=limits(vmi, machine),
        ulimits=_locked(vmi, machine),
    )


def environment(vmi: Object) -> dict[str, str]:
    """Almost nothing; TZ where the guest's hardware clock shall show local time."""
    local = zone(vmi)
    return {"PATH": "/usr/sbin:/usr/bin", "HOME": "/run/vm"} | ({"TZ": local} if local else {})


def _mounts(volumes: Iterable[PreparedVolume], around: Surroundings) -> Iterable[Mount]:
    for folder in around.folders:
        yield Mount(folder, folder, read_only=True)
    yield Mount(around.run, "/run/vm")
    binds = dict.fromkeys(bind for volume in volumes for bind in volume.binds)
    for source, target, read_only in binds:
        yield Mount(source, target, read_only=read_only)


def _devices(machine: MachineSpec) -> Iterable[Device]:
    if machine.nics or machine.hotplug:
        yield Device("/dev/net/tun", _OPEN_TO_ALL)
    if machine.accelerator == "kvm":
        yield Device("/dev/kvm", _OPEN_TO_ALL)


def overhead_bytes(machine: MachineSpec) -> int:
    """What QEMU may need beside the guest's memory, generously: reaching the limit kills the machine.

    Page tables and dirty bitmaps by size, stacks and device buffers by processor, video memory, the disk
    caches of qcow2; under emulation the translated code, about as much again for its tables.
    """
    emulation = 2 * TCG_BUFFER_MIB * _MIB if machine.accelerator == "tcg" else 0
    disks = 16 * _MIB * len(machine.disks)
    video = 32 * _MIB if machine.graphics else 0
    helper = 32 * _MIB * (len(machine.shares) + (machine.tpm is not None))
    helper += _PASST_BYTES * sum(nic.passt is not None for nic in machine.nics)
    return 192 * _MIB + helper + machine.memory_bytes // 256 + 16 * _MIB * machine.cpu.count + disks + video + emulation


def _locked(vmi: Object, machine: MachineSpec) -> dict[str, tuple[int, int]]:
    """Where memory is to be locked (memLock), all that the machine may have.

    Raises Problem where the engine's own limit is lower: podman gives no more than that.
    """
    where = "memory.reservedOverhead.memLock"
    if get(vmi, "spec", "domain", *where.split(".")) != "Required":
        return {}
    most, allowed = limits(vmi, machine).memory_bytes, hard_limit("memlock")[1]
    if allowed < most:
        why = f"spec.domain.{where}: it is to lock up to {most >> 20} MiB, and the engine may lock {allowed >> 20} MiB"
        fix = "vmpod engine stop; ulimit -l unlimited; vmpod engine start"
        raise Problem(f"start the machine {name(vmi)}", why, fix, "Unsupported")
    return {"memlock": (most, most)}


def limits(vmi: Object, machine: MachineSpec) -> Limits:
    """Memory that the guest may grow to and QEMU's (a larger limit of the VMI's counts); CPU as it asks.

    A VMI that asks for no CPU weighs as much as its processors. Its pod's request, a tenth of them (KubeVirt's
    over-commitment), is for scheduling: as a weight beside whatever else this machine does it doubles a boot.
    """
    wanted = get(vmi, "spec", "domain", "resources", "limits", "memory")
    most = machine.memory_bytes if wanted else max(machine.memory_bytes, machine.max_memory_bytes)
    memory = max(most, quantity.to_bytes(wanted) if wanted else 0)
    cpu = get(vmi, "spec", "domain", "resources", "limits", "cpu")
    asked = get(vmi, "spec", "domain", "resources", "requests", "cpu") or cpu
    milli = quantity.to_milli(asked) if asked else machine.cpu.count * 1000
    reserved = get(vmi, "spec", "domain", "memory", "reservedOverhead", "addedOverhead")
    memory += quantity.to_bytes(reserved) if reserved else 0
    return Limits(
        memory_bytes=memory + overhead_bytes(machine), cpu_milli=quantity.to_milli(cpu) if cpu else 0,
        cpu_shares=max(2, milli * 1024 // 1000),
    )
