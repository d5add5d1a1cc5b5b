"""The board: machine type, accelerator, identity, clock, what happens on reboot, confinement."""

from __future__ import annotations

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
        "-smbios", _identity(spec),
        "-rtc", _clock(spec.clock),
        *_actions(spec),
        "-boot", "menu=off,strict=on",
        "-msg", "timestamp=on",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    )  # fmt: skip


def _machine(spec: MachineSpec) -> str:
    secure = spec.firmware is not None and spec.firmware.secure_boot
    return pairs(spec.machine, usb=False, vmport=False, dump_guest_core=False,
                 smm=None if not spec.is_pcie else secure, acpi=None if spec.acpi else False)


def _accelerator(spec: MachineSpec) -> str:
    if spec.accelerator == "kvm":
        return "kvm"
    return pairs("tcg", thread="multi", tb_size=TCG_BUFFER_MIB)


def _identity(spec: MachineSpec) -> str:
    values = dict(spec.smbios) | ({"serial": spec.serial} if spec.serial else {})
    return pairs("type=1", **values)


def _clock(clock: Clock) -> str:
    return "base=localtime" if clock.local else "base=utc"


def _actions(spec: MachineSpec) -> tuple[str, ...]:
    actions = {"reboot": "shutdown"} if spec.stop_on_reboot else {}
    if spec.watchdog:
        actions["watchdog"] = spec.watchdog.action
    paused = ("-S",) if spec.start_paused else ()
    return paused + (("-action", ",".join(f"{k}={v}" for k, v in actions.items())) if actions else ())
