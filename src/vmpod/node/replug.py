"""What was plugged into a machine while it ran, plugged into the QEMU that its guest moves to: at the very same places.

QEMU's migration finds the state of a device by where it sits. So such devices are left out of the new command line, and
added by the monitor, before the guest comes, where the old QEMU has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.args import disk as disk_arguments
from vmpod.drivers.qemu.args import net as net_arguments
from vmpod.drivers.qemu.migration import Place
from vmpod.drivers.qemu.qmp import Monitor
from vmpod.drivers.qemu.spec import MachineSpec
from vmpod.kinds.parts.migration import JOB
from vmpod.kinds.parts.reading import dig, entries, text
from vmpod.model.meta import Object, get, labels
from vmpod.node import hotplug
from vmpod.node.hotplug import Prepare
from vmpod.node.translate import machine_nics
from vmpod.node.translate.machine_disks import disk_of
from vmpod.node.translate.machine_disks import entries as disk_entries

Places = Mapping[str, Place]


def without(vmi: Object, places: Places) -> Object:
    """An instance as it was before these devices were plugged in. Pure."""
    if not places:
        return vmi
    kept = deepcopy(vmi)
    spec = kept["spec"]
    devices = dig(spec, "domain", "devices")
    for holder, key, id in (
        (spec, "volumes", disk_arguments.device_id), (devices, "disks", disk_arguments.device_id),
        (spec, "networks", net_arguments.device), (devices, "interfaces", net_arguments.device),
    ):  # fmt: skip
        if key in holder:
            holder[key] = [one for one in entries(holder, key) if id(text(one, "name")) not in places]
    return kept


def arriving(machine: MachineSpec, vmi: Object, pod: Object, ports: tuple[str, ...]) -> MachineSpec:
    """A machine that waits for a guest has the very board that the guest knows, and starts when that has come.

    `ports` is what sits in the root ports of the one that is left, which may have lost a card since it began.
    """
    if JOB not in labels(pod):
        return machine
    board = str(get(vmi, "status", "machine", "type", default="")) or machine.machine
    return replace(machine, incoming=True, start_paused=False, machine=board, ports=ports or machine.ports)


async def replug(
    target: Monitor, vmi: Object, places: Places, prepare: Prepare, wire: machine_nics.Wire | None
) -> None:
    """Add the devices where they belong. Raises Problem when one cannot be."""
    volumes = {text(one, "name"): one for one in entries(vmi["spec"], "volumes")}
    disks = {disk_arguments.device_id(one["name"]): dict(one) for one in disk_entries(vmi)}
    cards = {net_arguments.device(nic.name): nic for nic in machine_nics.nics(vmi, wire)}
    for id, place in places.items():
        if id in disks:
            entry = disks[id]
            volume = await prepare(volumes[entry["name"]])
            if volume.pending:
                raise Problem(f"move the disk {entry['name']}", volume.pending, reason="FailedMount")
            await hotplug.insert(target, disk_of(vmi, entry, volume), volume, place)
        elif id in cards:
            await target.execute("netdev_add", **net_arguments.backend(cards[id]))
            await target.execute("device_add", **place.at(net_arguments.plug(cards[id], place.bus)))
        else:
            raise Problem(f"move the device {id}", "the machine's spec does not name it any more", reason="Gone")
