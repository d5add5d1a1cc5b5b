"""What is seen of a machine, as the status of its VirtualMachineInstance. Pure.

Words, reasons and messages are those of KubeVirt's virt-handler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vmpod.base.clock import rfc3339
from vmpod.drivers.net.links import Link
from vmpod.kinds.parts.hotplug import source_name
from vmpod.kinds.parts.migration import MIGRATABLE, obstacle
from vmpod.model import conditions, quantity
from vmpod.model.meta import Object, get, name, uid
from vmpod.node.status import stages
from vmpod.node.status.stages import Progress
from vmpod.node.translate.machine import boot_memory_bytes, guest_memory_bytes, vcpus
from vmpod.node.translate.machine_disks import targets
from vmpod.node.translate.machine_nics import further, interface, queues

QEMU_UID = 107
FINAL = ("Succeeded", "Failed")
_NOT_OURS = ("", "Pending", "Scheduling")  # until Scheduled the controller has the word
_STOPPED = ("paused", "suspended", "io-error", "watchdog", "guest-panicked", "internal-error")
_NO_KVM = "NoKVM"


@dataclass(frozen=True)
class Guest:
    """What the guest agent told; `connected` is known before the rest."""

    connected: bool = False
    asked: bool = False
    version: str = ""
    os_info: Mapping[str, str] = field(default_factory=dict)
    interfaces: Mapping[str, str] = field(default_factory=dict)
    """MAC address → the guest's name of the card"""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """MAC address → the addresses that the guest gave the card"""


@dataclass(frozen=True)
class Size:
    """What a machine has: sockets with all their processors, and the memory that its guest took beyond the first.

    None: this machine does not grow in this way. `has_driver`: whether the guest drives the device that memory comes
    by; None where QEMU does not tell.
    """

    sockets: int | None = None
    plugged_bytes: int | None = None
    has_driver: bool | None = None


@dataclass(frozen=True)
class Observed:
    """One machine, now. `run_state` is QEMU's, empty while its monitor does not answer.

    `ready` None: no probe has said anything yet. `exit_code` is set once QEMU has ended.
    """

    run_state: str = ""
    machine_type: str = ""
    ips: tuple[str, ...] = ()
    mac: str = ""
    links: tuple[Link, ...] = ()
    cards: frozenset[str] | None = None
    """The cards that QEMU has; None while it was not asked: then those that the network made"""
    cards_moved: bool = False
    """Whether a card came or went since the machine started"""
    down: frozenset[str] = frozenset()
    """Cards whose links are down"""
    guest: Guest = Guest()
    ready: bool | None = None
    ready_why: str = ""
    trouble: tuple[str, str] | None = None
    plugged: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    """volume that came or goes while the machine runs → phase, reason, message"""
    disks: Mapping[str, int] = field(default_factory=dict)
    """volume → bytes of the disk that the guest sees"""
    exit_code: int | None = None
    stop_wished: bool = False
    guest_stopped: bool = False
    panicked: bool = False
    frozen: bool = False
    held: bool = False
    """Whether it stands still for a moment, of which nobody needs to know"""
    size: Size = Size()
    cpu_trouble: str = ""
    memory_trouble: str = ""
    progress: Progress = stages.OFF
    credentials: str | None = None
    """What keeps keys and passwords from the guest; empty: nothing does, None: there are none"""

    @property
    def ip(self) -> str:
        """Its pod's first address, empty without one."""
        return next(iter(self.ips), "")

    @property
    def is_up(self) -> bool:
        """Whether QEMU answers: KubeVirt's Running begins here, not when the guest has booted.

        A guest that has just left (postmigrate) runs on; in which launcher is said elsewhere in a moment.
        """
        return self.exit_code is None and self.run_state not in ("", "shutdown")

    @property
    def is_paused(self) -> bool:
        return self.is_up and not self.held and self.run_state in (*_STOPPED, "prelaunch")


def phase(vmi: Object, seen: Observed) -> str:
    """The phase that follows; the present one while there is nothing to say."""
    now = str(get(vmi, "status", "phase", default=""))
    if now in FINAL or now in _NOT_OURS:
        return now
    if seen.exit_code is not None:
        return "Succeeded" if _is_orderly(seen) else "Failed"
    return "Running" if seen.is_up else now


def _is_orderly(seen: Observed) -> bool:
    """QEMU ends with 0 when the guest powers off; one that had to be killed after the wish to stop is no failure."""
    if seen.panicked:
        return False
    return seen.exit_code == 0 or seen.guest_stopped or seen.stop_wished


def status(
    vmi: Object, pod: Object | None, seen: Observed, *, emulated: str, now: datetime,
    claim: Callable[[str], Object | None] = lambda _: None,
) -> Object | None:
    """The whole new status, or None when it is not the node's to write. `emulated` says why there is no KVM.

    `claim` finds the PersistentVolumeClaim of a name in the machine's namespace.
    """
    old: Object = dict(vmi.get("status") or {})
    if old.get("phase", "") in (*_NOT_OURS, *FINAL):
        return None
    fresh: Object = {**old, "phase": phase(vmi, seen)}
    if fresh["phase"] != old.get("phase"):
        moved = {"phase": fresh["phase"], "phaseTransitionTimestamp": rfc3339(now)}
        fresh["phaseTransitionTimestamps"] = [*(old.get("phaseTransitionTimestamps") or ()), moved]
    fresh.pop("fsFreezeStatus", None)
    if seen.frozen:
        fresh["fsFreezeStatus"] = "frozen"
    if seen.is_up:
        fresh |= _machine(vmi, pod, old, seen) | {"volumeStatus": _volumes(vmi, pod, old, seen, claim)}
    found = _conditions(old.get("conditions") or [], {**vmi, "status": fresh}, seen, emulated, now)
    fresh["conditions"] = _growth(found, vmi, fresh, seen, now)
    return fresh


def _machine(vmi: Object, pod: Object | None, old: Object, seen: Observed) -> Object:
    made: Object = {
        "currentCPUTopology": _topology(vmi, seen), "memory": _memory(vmi, seen),
        "runtimeUser": QEMU_UID, "selinuxContext": "none", "interfaces": _interfaces(vmi, old, seen),
        "guestOSInfo": _guest_os(old, seen), "migrationMethod": "LiveMigration", "migrationTransport": "Unix",
    }
    if seen.machine_type:
        made["machine"] = {"type": seen.machine_type}
    return made | (_placement(pod) if pod else {})


def _topology(vmi: Object, seen: Observed) -> Object:
    sockets, cores, threads = vcpus(vmi)
    return {"sockets": seen.size.sockets or sockets, "cores": cores, "threads": threads}


def _memory(vmi: Object, seen: Observed) -> Object:
    """What it began with, what it has, and what it shall have."""
    boot, wanted = boot_memory_bytes(vmi), guest_memory_bytes(vmi)
    now = boot + seen.size.plugged_bytes if seen.size.plugged_bytes is not None else boot
    sizes = {"guestAtBoot": boot, "guestCurrent": now, "guestRequested": wanted}
    return {key: quantity.format_bytes(size) for key, size in sizes.items()}


def _placement(pod: Object) -> Object:
    node = str(get(pod, "spec", "nodeName", default=""))
    made: Object = {"activePods": {uid(pod): node}, "nodeName": node}
    made["launcherContainerImageVersion"] = str(get(pod, "spec", "containers", 0, "image", default=""))
    made["qosClass"] = str(get(pod, "status", "qosClass", default="Burstable"))
    return made


def _guest_os(old: Object, seen: Observed) -> Object:
    """Kept while the agent is connected and was not asked yet: a new engine does not blank what is still true."""
    if seen.guest.connected and not seen.guest.asked:
        return dict(old.get("guestOSInfo") or {})
    return dict(seen.guest.os_info)


def _interfaces(vmi: Object, old: Object, seen: Observed) -> list[Object]:
    """Every card in the order of the VMI; that on the pod network with the pod's address: it is what others reach,
    whatever the guest calls its own."""
    card = interface(vmi)
    made: dict[str, Object] = {}
    if card is not None and seen.mac:
        made[str(card["name"])] = _interface(vmi, card["name"], seen.mac, "eth0", list(seen.ips), old, seen)
    others = further(vmi, leaving=True) | further(vmi)
    for link in seen.links:
        one = others.get(link.wish.interface)
        if one and (seen.cards is None or one.name in seen.cards):
            inside = list(seen.guest.addresses.get(link.mac.lower(), ()))
            ips = inside or [address.partition("/")[0] for address in link.addresses]
            found = _interface(vmi, one.name, link.mac, link.wish.interface, ips, old, seen)
            made[one.name] = found | {"infoSource": f"{found['infoSource']}, multus-status"}
    given = [str(one["name"]) for one in get(vmi, "spec", "domain", "devices", "interfaces", default=())]
    return [made[one] for one in given or made if one in made]


def _interface(
    vmi: Object, name: str, mac: str, inside_pod: str, ips: list[str], old: Object, seen: Observed
) -> Object:
    model = next((str(one.get("model") or "virtio") for one in
                  get(vmi, "spec", "domain", "devices", "interfaces", default=()) if one["name"] == name), "virtio")
    made: Object = {
        "name": name, "mac": mac, "infoSource": "domain", "queueCount": queues(vmi, model),
        "podInterfaceName": inside_pod, "linkState": "down" if name in seen.down else "up",
    }
    if ips:
        made |= {"ipAddress": ips[0], "ipAddresses": ips}
    return made | _guest_card(name, mac, old, seen)


def _guest_card(name: str, mac: str, old: Object, seen: Observed) -> Object:
    """What the agent says of a card; what it said stays while it is connected and was not asked yet."""
    inside = seen.guest.interfaces.get(mac.lower())
    if seen.guest.connected and not seen.guest.asked:
        kept: Object = next((one for one in old.get("interfaces") or () if one.get("name") == name), {})
        inside = kept.get("interfaceName")
        if inside:
            told: Object = {key: kept[key] for key in ("ipAddress", "ipAddresses") if key in kept}
            return {**told, "interfaceName": inside, "infoSource": "domain, guest-agent"}
    return {"interfaceName": inside, "infoSource": "domain, guest-agent"} if inside else {}


def _volumes(
    vmi: Object, pod: Object | None, old: Object, seen: Observed, claim: Callable[[str], Object | None]
) -> list[Object]:
    """One entry a volume: what others wrote about it, and its place in the guest."""
    known = {one.get("name"): one for one in old.get("volumeStatus") or ()}
    places = targets(vmi)
    sources = {str(one["name"]): source_name(one) for one in get(vmi, "spec", "volumes", default=())}
    full = places.keys() & sources.keys()  # an empty drive has no volume
    names = sorted({one for one, row in known.items() if "hotplugVolume" not in row} | {*full, *seen.plugged})
    rows = [{**known.get(one, {"name": one}), **({"target": places[one]} if one in places else {})} for one in names]
    named = {one: get(known.get(one), "persistentVolumeClaimInfo", "claimName") for one in names}
    sources |= {one: one for one in names if one == named[one] and one not in sources}  # that of its state
    for row in rows:
        row |= _claim(claim(sources.get(row["name"], ""))) | _plugged(row["name"], pod, seen)
        row |= {"size": seen.disks[row["name"]]} if row["name"] in seen.disks else {}
    return rows


def _claim(found: Object | None) -> Object:
    """What KubeVirt tells of the claim behind a volume. All of its room is the disk's: nothing is kept back."""
    if found is None:
        return {}
    mode = str(get(found, "spec", "volumeMode", default="Filesystem"))
    told: Object = {
        "claimName": name(found), "accessModes": get(found, "spec", "accessModes", default=[]), "volumeMode": mode,
        "capacity": get(found, "status", "capacity", default={}),
        "requests": get(found, "spec", "resources", "requests", default={}),
    }
    return {"persistentVolumeClaimInfo": told | ({"filesystemOverhead": "0"} if mode == "Filesystem" else {})}


def _plugged(volume: str, pod: Object | None, seen: Observed) -> Object:
    """There is no pod that holds the disk for the machine: it is attached in the launcher's own."""
    if volume not in seen.plugged:
        return {}
    phase, reason, message = seen.plugged[volume]
    where = {"attachPodName": name(pod), "attachPodUID": uid(pod)} if pod else {}
    return {"hotplugVolume": where, "phase": phase, "reason": reason, "message": message}


def _conditions(old: list[Object], vmi: Object, seen: Observed, emulated: str, now: datetime) -> list[Object]:
    phase = str(vmi["status"]["phase"])
    result = conditions.set_condition(old, "Ready", *_ready(phase, seen), now)
    if phase in FINAL:
        gone = ("AgentConnected", "AccessCredentialsSynchronized", "Paused", "Synchronized", "SoftwareEmulation",
                stages.CONDITION)
        return [one for one in result if one.get("type") not in gone]
    if seen.is_up:
        result = _migratable(result, vmi, now)
    result = _emulation(result, seen, emulated, now)
    result = _paused(result, seen, now)
    result = _credentials(stages.tell(_agent(result, seen, now), seen.progress), seen, now)
    return _trouble(result, seen, now)


def _migratable(old: list[Object], vmi: Object, now: datetime) -> list[Object]:
    found = obstacle(vmi)
    return conditions.set_condition(old, MIGRATABLE, found is None, *(found or ("", "")), now)


def _growth(old: list[Object], vmi: Object, fresh: Object, seen: Observed, now: datetime) -> list[Object]:
    """HotVCPUChange and HotMemoryChange: True while something is under way, False when it failed."""
    if not seen.is_up:
        return [one for one in old if one.get("type") not in ("HotVCPUChange", "HotMemoryChange")]
    sockets, has = vcpus(vmi)[0], fresh["currentCPUTopology"]["sockets"]
    text = f"{has} of {sockets} CPU sockets are plugged in"
    result = _hot(old, "HotVCPUChange", text if has != sockets else "", seen.cpu_trouble, now)
    memory = fresh["memory"]
    text = f"the guest has taken {memory['guestCurrent']} of {memory['guestRequested']} of memory"
    waits = memory["guestCurrent"] != memory["guestRequested"]
    text += "; it has no virtio_mem driver that would take it" if seen.size.has_driver is False else ""
    return _hot(result, "HotMemoryChange", text if waits else "", seen.memory_trouble, now)


def _hot(old: list[Object], type: str, waits: str, trouble: str, now: datetime) -> list[Object]:
    if trouble:
        return conditions.set_condition(old, type, False, "HotplugFailed", trouble, now)
    if waits:
        return conditions.set_condition(old, type, True, "HotplugInProgress", waits, now)
    return conditions.without(old, type)


def _ready(phase: str, seen: Observed) -> tuple[bool, str, str]:
    if phase != "Running" or not seen.is_up:
        return False, "GuestNotRunning", "Guest VM is not reported as running"
    if seen.is_paused:
        return False, "GuestNotRunning", "Guest VM is paused"
    if seen.ready is False:
        return False, "ContainersNotReady", seen.ready_why or "containers with unready status: [compute]"
    return True, "", ""


def _emulation(old: list[Object], seen: Observed, why: str, now: datetime) -> list[Object]:
    if not why:
        return conditions.without(old, "SoftwareEmulation")
    if not seen.is_up:
        return old
    text = f"The guest's processors are emulated in software, which is much slower than KVM: {why}"
    return conditions.set_condition(old, "SoftwareEmulation", True, _NO_KVM, text, now)


def _paused(old: list[Object], seen: Observed, now: datetime) -> list[Object]:
    if not seen.is_paused or (seen.stop_wished and seen.run_state == "paused"):  # its memory is being kept
        return conditions.without(old, "Paused")
    if seen.run_state == "io-error":
        return conditions.set_condition(old, "Paused", True, "PausedIOError",
                                        "VMI was paused, low-level IO error detected", now)
    return conditions.set_condition(old, "Paused", True, "PausedByUser", "VMI was paused by user", now)


def _agent(old: list[Object], seen: Observed, now: datetime) -> list[Object]:
    if not seen.guest.connected:
        return conditions.without(old, "AgentConnected")
    return conditions.set_condition(old, "AgentConnected", True, "", "", now)


def _credentials(old: list[Object], seen: Observed, now: datetime) -> list[Object]:
    if seen.credentials is None:
        return conditions.without(old, "AccessCredentialsSynchronized")
    why = seen.credentials
    return conditions.set_condition(old, "AccessCredentialsSynchronized", not why, "", why, now)


def _trouble(old: list[Object], seen: Observed, now: datetime) -> list[Object]:
    if seen.trouble is None:
        return conditions.without(old, "Synchronized") if seen.is_up else old
    return conditions.set_condition(old, "Synchronized", False, *seen.trouble, now)


def is_ready(seen: Observed) -> bool | str:
    """Whether the launcher pod is ready, or why not."""
    ready, _, why = _ready("Running" if seen.is_up else "", seen)
    return True if ready else why


def emulation_reason(accelerator: str, reason: str, wanted: str = "") -> str:
    """The text for SoftwareEmulation, empty under KVM; a machine may want to be emulated."""
    if accelerator == "kvm":
        return "the machine asks for it (vmpod.io/accelerator: tcg)" if wanted == "tcg" else ""
    return reason or "KVM is not available"


def guest_os(answers: Mapping[str, Any]) -> dict[str, str]:
    """status.guestOSInfo from the agent's guest-get-osinfo."""
    names = {"name": "name", "kernelRelease": "kernel-release", "version": "version", "prettyName": "pretty-name",
             "versionId": "version-id", "kernelVersion": "kernel-version", "machine": "machine", "id": "id"}
    return {ours: str(answers[theirs]) for ours, theirs in names.items() if answers.get(theirs)}
