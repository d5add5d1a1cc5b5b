"""A VirtualMachineInstance as a machine for QEMU. Pure; the meaning of every field is KubeVirt's.

`virtual machine → board` is here; disks, cards and the container around it are in the modules beside this one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from vmpod.base.errors import Problem
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.qemu import spec as qemu
from vmpod.drivers.qemu.args import pci
from vmpod.kinds.parts import console_log, kernel_boot, machine_state
from vmpod.kinds.parts.acpi_tables import table_volumes
from vmpod.kinds.parts.kubevirt_config import smbios
from vmpod.model import quantity
from vmpod.model.meta import Object, get, name
from vmpod.model.meta import annotations as annotations_of
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate import addresses
from vmpod.node.translate.machine_disks import disks
from vmpod.node.translate.machine_features import clock, page_bytes, processor_flags
from vmpod.node.translate.machine_nics import Wire, nics
from vmpod.node.translate.machine_shares import shares

ACCELERATOR = "vmpod.io/accelerator"
FIRMWARE_VARIABLES, TPM_FOLDER = "/run/vm/efi-vars.fd", "/run/vm/tpm"
KERNELS = "/disks/boot"
TABLES = "/disks/acpi"
STATE = "/state"
"""Where the container finds the claim of what the machine keeps beside its disks"""
_NAMESPACE = uuid.UUID("6a1a24a1-4061-4607-8bf4-a3963d0c5895")  # KubeVirt's: the UUID follows from the name
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OFF = ("disable", "forbid")
_REDIRECTIONS = 4  # as many as KubeVirt gives a client
_CHASSIS = ("manufacturer", "version", "serial", "asset", "sku")
_REFUSED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("cpu", "realtime"), "there is no real-time scheduling of processors"),
    (("devices", "gpus"), "GPUs are not passed through"),
    (("devices", "hostDevices"), "devices of the host are not passed through"),
    (("launchSecurity",), "memory encryption is not supported"),
)


def machine_spec(
    vmi: Object, volumes: Mapping[str, PreparedVolume], wire: Wire | None, facts: HostFacts,
    config: Object | None = None,
) -> qemu.MachineSpec:
    """The machine of a VMI. Raises Problem for what this host or vmpod cannot do, naming the field.

    `config` is the KubeVirt object's.
    """
    domain: Mapping[str, Any] = get(vmi, "spec", "domain", default={})
    _refuse(vmi, domain)
    if facts.numa_nodes > 1 and get(domain, "cpu", "numa", "guestMappingPassthrough") is not None:
        where = "spec.domain.cpu.numa.guestMappingPassthrough"
        raise _problem(vmi, f"{where}: the {facts.numa_nodes} NUMA nodes of this host are not shown to guests")
    devices: Mapping[str, Any] = domain.get("devices") or {}
    made = qemu.MachineSpec(
        name=f"{get(vmi, 'metadata', 'namespace', default='')}_{name(vmi)}",
        uuid=machine_uuid(vmi),
        memory_bytes=boot_memory_bytes(vmi),
        max_memory_bytes=_bytes(get(domain, "memory", "maxGuest")),
        plugged_memory_bytes=_bytes(get(vmi, "status", "memory", "guestCurrent")) - _bytes(
            get(vmi, "status", "memory", "guestAtBoot")),
        machine=_board(vmi),
        accelerator=accelerator(vmi, facts),
        cpu=_cpu(vmi),
        disks=disks(vmi, volumes),
        nics=nics(vmi, wire, facts.open_files),
        shares=shares(vmi, volumes, facts),
        sockets=_sockets(devices),
        firmware=_firmware(vmi, facts),
        kernel=_kernel(vmi),
        watchdog=_watchdog(devices),
        clock=clock(vmi),
        inputs=tuple(_input(vmi, one) for one in _inputs(devices)),
        serial=str(get(domain, "firmware", "serial", default="")),
        rng="rng" in devices,
        balloon=bool(get(devices, "autoattachMemBalloon", default=True)),
        graphics=bool(get(devices, "autoattachGraphicsDevice", default=True)),
        acpi=bool(get(domain, "features", "acpi", "enabled", default=True)),
        hotplug=not devices.get("disableHotplug"),
        start_paused=get(vmi, "spec", "startStrategy") == "Paused",
        stop_on_reboot=get(domain, "rebootPolicy") == "Terminate",
        panic=_panic(devices),
        sound=_sound(devices),
        video=_video(vmi, devices),
        usb_redirections=_REDIRECTIONS if "clientPassthrough" in devices else 0,
        transitional=bool(devices.get("useVirtioTransitional")),
        bios_on_serial=bool(get(domain, "firmware", "bootloader", "bios", "useSerial")),
        page_bytes=page_bytes(vmi),
        tpm=_tpm(vmi, devices),
        chassis=_chassis(domain),
        smbios=tuple({**dict(qemu.MAKER), **smbios(config or {})}.items()),
        acpi_tables=tuple(f"{TABLES}/{key}" for key in table_volumes(vmi["spec"]).values()),
    )
    fixed = addresses.ports(vmi)
    return replace(made, ports=pci.arranged(pci.plugged(made), fixed)) if fixed else made


def _refuse(vmi: Object, domain: Mapping[str, Any]) -> None:
    for path, why in _REFUSED:
        found = get(domain, *path)
        if found or isinstance(found, dict):  # an empty mapping asks for it as well
            raise _problem(vmi, f"spec.domain.{'.'.join(path)}: {why}")


def _problem(vmi: Object, why: str, fix: str = "") -> Problem:
    return Problem(f"start the machine {name(vmi)}", why, fix, "Unsupported")


def accelerator(vmi: Object, facts: HostFacts) -> qemu.Accelerator:
    """The best that works here, or what the machine's annotation names. Raises Problem for KVM where there is none."""
    wanted = annotations_of(vmi).get(ACCELERATOR, "")
    if wanted not in ("", "kvm", "tcg"):
        raise _problem(vmi, f"the annotation {ACCELERATOR} says {wanted!r}", "say kvm or tcg, or leave it out")
    if wanted == "kvm" and not facts.has_kvm:
        why = f"it asks for KVM ({ACCELERATOR}), and here {facts.accelerator_reason or 'KVM is not available'}"
        raise _problem(vmi, why, f"vmpod doctor; or leave out the annotation {ACCELERATOR}")
    return "kvm" if facts.has_kvm and wanted != "tcg" else "tcg"


def guest_memory_bytes(vmi: Object) -> int:
    """What the guest gets: memory.guest, else hugepages' sibling requests.memory, else limits.memory.

    Raises Problem when none of them says.
    """
    for path in (("memory", "guest"), ("resources", "requests", "memory"), ("resources", "limits", "memory")):
        wanted = get(vmi, "spec", "domain", *path)
        if wanted is not None:
            return quantity.to_bytes(wanted)
    raise _problem(vmi, "it says nowhere how much memory it has", "set spec.template.spec.domain.memory.guest")


def boot_memory_bytes(vmi: Object) -> int:
    """What the guest starts with; what was plugged in since is on top of it."""
    return _bytes(get(vmi, "status", "memory", "guestAtBoot")) or guest_memory_bytes(vmi)


def _bytes(amount: Any) -> int:
    return quantity.to_bytes(amount) if amount is not None else 0


def vcpus(vmi: Object) -> tuple[int, int, int]:
    """Sockets, cores and threads; without a topology as many sockets as the CPU limit or request rounds up to."""
    cpu: Mapping[str, Any] = get(vmi, "spec", "domain", "cpu", default={})
    if any(cpu.get(key) for key in ("sockets", "cores", "threads")):
        return int(cpu.get("sockets") or 1), int(cpu.get("cores") or 1), int(cpu.get("threads") or 1)
    resources = get(vmi, "spec", "domain", "resources", default={})
    wanted = get(resources, "limits", "cpu") or get(resources, "requests", "cpu")
    return (max(1, -(-quantity.to_milli(wanted) // 1000)) if wanted else 1), 1, 1


def _cpu(vmi: Object) -> qemu.Cpu:
    cpu: Mapping[str, Any] = get(vmi, "spec", "domain", "cpu", default={})
    sockets, cores, threads = vcpus(vmi)
    features = tuple(
        (_word(vmi, "features", feature["name"]), feature.get("policy") not in _OFF)
        for feature in cpu.get("features") or () if feature.get("policy") != "optional"
    )
    model = _word(vmi, "model", cpu.get("model") or "host-model")
    present = int(get(vmi, "status", "currentCPUTopology", "sockets", default=0)) or sockets
    flags, most = (*features, *processor_flags(vmi)), int(cpu.get("maxSockets") or 0)
    return qemu.Cpu(present, cores, threads, model, flags, most)


def _word(vmi: Object, field: str, text: str) -> str:
    """Names go into a comma-separated option of QEMU's: anything but a plain word would be another option."""
    if not _WORD.fullmatch(text):
        raise _problem(vmi, f"spec.domain.cpu.{field}: {text!r} is not the name of one")
    return text


def machine_uuid(vmi: Object) -> str:
    """The UUID that the guest sees: the one it was given, else the one that KubeVirt derives from its name."""
    given = get(vmi, "spec", "domain", "firmware", "uuid")
    try:
        return str(uuid.UUID(given)) if given else str(uuid.uuid5(_NAMESPACE, name(vmi)))
    except ValueError:
        raise _problem(vmi, f"spec.domain.firmware.uuid: {given!r} is not a UUID") from None


def _board(vmi: Object) -> str:
    kind = str(get(vmi, "spec", "domain", "machine", "type", default="q35"))
    if re.fullmatch(r"q35|pc|pc-q35-[0-9.]+|pc-i440fx-[0-9.]+", kind):
        return kind
    if kind.startswith(("pc-q35-", "pc-i440fx-")):
        return "q35" if kind.startswith("pc-q35-") else "pc"  # a distribution's own version of it
    raise _problem(vmi, f"spec.domain.machine.type: there is no board {kind!r} here", "use q35")


def _sockets(devices: Mapping[str, Any]) -> qemu.Sockets:
    if not get(devices, "autoattachSerialConsole", default=True):
        return qemu.Sockets(serial="", serial_log="")
    is_kept = console_log.is_kept({"domain": {"devices": devices}})
    return qemu.Sockets() if is_kept else qemu.Sockets(serial_log="")


def _firmware(vmi: Object, facts: HostFacts) -> qemu.Firmware | None:
    efi = get(vmi, "spec", "domain", "firmware", "bootloader", "efi")
    if efi is None:
        return None
    secure = bool(efi.get("secureBoot", True))
    found = next((one for one in facts.firmware if one.secure_boot is secure), None)
    if found is None:
        kind = "with" if secure else "without"
        raise _problem(vmi, f"no UEFI firmware {kind} secure boot is installed", "vmpod doctor")
    form: Any = found.format
    kept = machine_state.keeps_variables(vmi["spec"])
    variables = f"{STATE}/nvram/{name(vmi)}_VARS.fd" if kept else FIRMWARE_VARIABLES
    return qemu.Firmware(found.code, variables, secure, form, found.variables)


def _kernel(vmi: Object) -> qemu.Kernel | None:
    """The kernel where the container finds it. Raises Problem for an initrd alone: QEMU loads it for a kernel only."""
    boot = kernel_boot.kernel_boot(vmi["spec"])
    if not boot:
        return None
    if not get(boot, "container", "kernelPath"):
        where = "spec.domain.firmware.kernelBoot.container"
        raise _problem(vmi, f"{where}: an initrd is loaded for a kernel only", f"set {where}.kernelPath")
    initrd = f"{KERNELS}/initrdPath" if get(boot, "container", "initrdPath") else ""
    return qemu.Kernel(f"{KERNELS}/kernelPath", initrd, str(boot.get("kernelArgs") or ""))


def _tpm(vmi: Object, devices: Mapping[str, Any]) -> qemu.Tpm | None:
    """The models are KubeVirt's choice."""
    if "tpm" not in devices or get(devices, "tpm", "enabled") is False:
        return None
    kept = machine_state.keeps_tpm(vmi["spec"])
    return qemu.Tpm(f"{STATE}/swtpm", "tpm-crb") if kept else qemu.Tpm(TPM_FOLDER)


def _watchdog(devices: Mapping[str, Any]) -> qemu.Watchdog | None:
    if not devices.get("watchdog"):
        return None
    action = get(devices, "watchdog", "i6300esb", "action", default="reset")
    return qemu.Watchdog(action=action)


def _inputs(devices: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that are named; where none is, one may be attached unasked."""
    given = list(devices.get("inputs") or ())
    return given if given or not devices.get("autoattachInputDevice") else [{"name": "default-0", "type": "tablet"}]


def _input(vmi: Object, one: Mapping[str, Any]) -> qemu.Input:
    bus: Any = one.get("bus") or "usb"
    if one.get("type") != "tablet" or bus not in ("usb", "virtio"):
        raise _problem(vmi, f"spec.domain.devices.inputs: there is no {one.get('type')} on {bus}", "use tablet on usb")
    return qemu.Input(str(one.get("name") or "tablet"), bus)


def _panic(devices: Mapping[str, Any]) -> str:
    """The first that is a device; the one of Hyper-V is a flag of the processor."""
    models = {"isa": "pvpanic", "pvpanic": "pvpanic-pci"}
    wanted = [one.get("model") or "isa" for one in devices.get("panicDevices") or ()]
    return next((models[one] for one in wanted if one in models), "")


def _sound(devices: Mapping[str, Any]) -> str:
    return str(get(devices, "sound", "model", default="ich9")) if devices.get("sound") else ""


def _video(vmi: Object, devices: Mapping[str, Any]) -> Any:
    kind = str(get(devices, "video", "type", default="") or "vga")
    if kind not in get_args(qemu.Video):
        fix = f"use one of {', '.join(get_args(qemu.Video))}"
        raise _problem(vmi, f"spec.domain.devices.video.type: there is no card {kind!r} here", fix)
    return kind


def _chassis(domain: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    given: Mapping[str, Any] = domain.get("chassis") or {}
    return tuple((key, str(given[key])) for key in _CHASSIS if given.get(key))
