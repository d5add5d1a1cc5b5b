"""Whether a machine's memory is kept when it stops, and whether what was kept fits a machine that starts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from vmpod.drivers.qemu.command import argv
from vmpod.drivers.qemu.spec import MachineSpec
from vmpod.kinds.parts.hotplug import source_name
from vmpod.kinds.parts.migration import is_migrating
from vmpod.model import conditions
from vmpod.model.meta import Object, get, is_deleting, name
from vmpod.model.meta import annotations as annotations_of
from vmpod.node.status.machine import Observed
from vmpod.node.translate.machine import vcpus

ANNOTATION = "vmpod.io/warm-start"
_CHANGED = {
    "qemu": "QEMU is {now} now and was {then}",
    "processor": "the processor is another: {now} now, {then} then",
    "board": "its board is another: {now} now, {then} then",
    "devices": "its devices are others, because its template or vmpod has changed",
    "images": "its container disks lie on other images",
}


def is_wanted(vmi: Object) -> bool:
    return annotations_of(vmi).get(ANNOTATION) == "true"


def is_going_off(vm: Object | None) -> bool:
    """Whether a machine that stops is to stay off: one that comes back at once is to boot anew."""
    if vm is None:
        return False
    requests = {one.get("action") for one in get(vm, "status", "stateChangeRequests", default=())}
    halted = get(vm, "spec", "runStrategy") == "Halted" or get(vm, "spec", "running") is False
    return "Start" not in requests and (is_deleting(vm) or halted or "Stop" in requests)


def obstacle(vmi: Object, vm: Object | None, seen: Observed) -> str:
    """Why the memory of a running machine is not to be kept; empty when it is."""
    devices = get(vmi, "spec", "domain", "devices", default={})
    if vm is not None and is_deleting(vm) and not claims_of(vmi):
        return "the machine is deleted, and none of its disks stays"
    if conditions.is_true(get(vm, "status", "conditions", default=[]), "RestartRequired"):
        return "its template has changes that wait for a restart"
    if is_migrating(vmi):
        return "it is on its way to another launcher"
    if seen.frozen:
        return "its file systems are frozen"
    if seen.plugged:
        return f"disks were plugged in while it ran: {', '.join(sorted(seen.plugged))}"
    if seen.size.plugged_bytes or (seen.size.sockets or vcpus(vmi)[0]) != vcpus(vmi)[0]:
        return "processors or memory were plugged in while it ran"
    if seen.cards_moved:
        return "a network card came or went while it ran"
    if seen.links:
        return "it has cards on further networks"
    if "tpm" in devices and get(devices, "tpm", "enabled") is not False:
        return "what its TPM holds is not in QEMU's hands"
    return _left_out(devices)


def _left_out(devices: Mapping[str, Any]) -> str:
    named = {"filesystems": "shared file systems", "gpus": "GPUs of the host", "hostDevices": "devices of the host",
             "autoattachVSOCK": "a vsock"}  # fmt: skip
    found = [words for key, words in named.items() if devices.get(key)]
    found += [f"the card {one['name']}, which is bound in another way than by masquerade or bridge"
              for one in devices.get("interfaces") or () if not one.keys() & {"masquerade", "bridge"}]  # fmt: skip
    return f"it has {' and '.join(found)}" if found else ""


def writable_disks(vmi: Object) -> tuple[str, ...]:
    """The volumes that the guest may write to."""
    kinds = {"containerDisk", "emptyDisk", "ephemeral", "hostDisk", "persistentVolumeClaim", "dataVolume"}
    return tuple(one["name"] for one in get(vmi, "spec", "volumes", default=()) if kinds & one.keys())


def claims_of(vmi: Object) -> tuple[str, ...]:
    """The claims whose disks the memory belongs to."""
    return tuple(one for volume in get(vmi, "spec", "volumes", default=()) if (one := source_name(volume)))


def vm_of(vmi: Object) -> str:
    """The name of the VirtualMachine of an instance, empty for one that has none."""
    owners = get(vmi, "metadata", "ownerReferences", default=())
    return name(vmi) if any(one.get("kind") == "VirtualMachine" for one in owners) else ""


def features(
    machine: MachineSpec, images: Iterable[str], pod_uid: str, *, qemu: str, processor: str
) -> dict[str, str]:
    """What has to be the same for memory to fit. `images` are what its disks lie on."""
    disks = tuple(replace(one, path="") for one in machine.disks)  # what is on them is another question
    board = "q35" if machine.is_pcie else "pc"
    # A machine made anew under its name has another UUID, which the guest sees at its next boot.
    plain = replace(machine, uuid="", machine=board, incoming=False, start_paused=False, disks=disks)
    words = [re.sub(re.escape(pod_uid), "POD", word) for word in argv(plain)]
    return {
        "qemu": qemu, "processor": processor if machine.accelerator == "kvm" else "emulated",
        "board": machine.machine, "devices": sha256("\0".join(words).encode()).hexdigest(),
        "images": sha256("\0".join(sorted(images)).encode()).hexdigest(),
    }


def difference(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What keeps memory of a machine with the features `then` from one with those of `now`; empty: nothing."""
    for key, words in _CHANGED.items():
        if then.get(key) != now.get(key) and not (key == "board" and _is_same_board(then.get(key), now.get(key))):
            return words.format(now=now.get(key), then=then.get(key))
    return ""


def _is_same_board(one: str | None, other: str | None) -> bool:
    """Whether one is the name by which the other's version is meant: QEMU is the same, so it has not moved on."""
    aliases = {"q35": "pc-q35-", "pc": "pc-i440fx-"}
    return any(str(long).startswith(aliases.get(str(short), "?")) for short, long in ((one, other), (other, one)))


def changed_disk(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """A disk that is not as it was left; empty when all are."""
    found = sorted(one for one in {*then, *now} if then.get(one) != now.get(one))
    return f"its disk {found[0]} was changed since" if found else ""
