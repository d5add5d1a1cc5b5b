"""The board: machine type, accelerator, identity, clock, what happens on reboot, confinement."""

from __future__ import annotations

from vmpod.drivers.qemu.args import memory
from vmpod.drivers.qemu.args.options import pairs, text
from vmpod.drivers.qemu.spec import Clock, MachineSpec

TCG_BUFFER_MIB = 256
"""Room for translated code; QEMU's own default is an eighth of the host's memory, up to 1 GiB."""


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Board and accelerator, without any device that was not asked for."""
    return (
        "-name", f"guest={text(spec.name)},debug-threads=on",
        "-nodefaults",
        "-no-user-config",
        "-machine", _machine(spec),
        "-accel", _accelerator(spec),
        "-uuid", spec.uuid,
        *_identity(spec),
        "-rtc", _clock(spec.clock),
        *_timers(spec),
        *_actions(spec),
        "-boot", "menu=off,strict=on",
        "-msg", "timestamp=on",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    )  # fmt: skip


def _machine(spec: MachineSpec) -> str:
    secure = spec.firmware is not None and spec.firmware.secure_boot
    return pairs(spec.machine, usb=False, vmport=False, dump_guest_core=False,
                 hpet=None if spec.clock.hpet else False, pit=None if spec.clock.pit else False,
                 graphics=False if spec.bios_on_serial else None,
                 memory_backend=memory.BACKEND if memory.has_backend(spec) else None,
                 smm=None if not spec.is_pcie else secure, acpi=None if spec.acpi else False)


def _accelerator(spec: MachineSpec) -> str:
    if spec.accelerator == "kvm":
        return "kvm"
    return pairs("tcg", thread="multi", tb_size=TCG_BUFFER_MIB)


def _identity(spec: MachineSpec) -> tuple[str, ...]:
    values = dict(spec.smbios) | ({"serial": spec.serial} if spec.serial else {})
    chassis = ("-smbios", pairs("type=3", **dict(spec.chassis))) if spec.chassis else ()
    return ("-smbios", pairs("type=1", **values), *chassis)


def _clock(clock: Clock) -> str:
    base = "base=localtime" if clock.local else "base=utc"
    return pairs(base, clock=clock.driver or None, driftfix="slew" if clock.slew else None)


def _timers(spec: MachineSpec) -> tuple[str, ...]:
    """Emulation loses no tick of the old timer: only KVM's has a rule for lost ones."""
    ticks = spec.clock.pit_ticks if spec.accelerator == "kvm" else ""
    return ("-global", f"kvm-pit.lost_tick_policy={ticks}") if ticks else ()


def _actions(spec: MachineSpec) -> tuple[str, ...]:
    """A panic ends QEMU with 1, so that it is told from a shutdown also by an engine that did not see it happen."""
    actions = {"panic": "exit-failure"}
    if spec.stop_on_reboot:
        actions["reboot"] = "shutdown"
    if spec.watchdog:
        actions["watchdog"] = spec.watchdog.action
    paused = ("-S",) if spec.start_paused else ()
    awaiting = ("-incoming", "defer") if spec.incoming else ()
    return (*paused, *awaiting, "-action", ",".join(f"{key}={value}" for key, value in actions.items()))
