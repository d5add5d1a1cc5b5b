"""Sockets to the outside: monitor (QMP), serial console, guest agent."""

from __future__ import annotations

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec, Sockets

AGENT_PORT = "org.qemu.guest_agent.0"
AGENT_CHARDEV = "agent0"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """One chardev each. The serial console is also kept in a file: a socket alone loses what nobody reads."""
    return (*_monitor(spec.sockets), *_serial(spec.sockets), *_agent(spec))


def _socket(name: str, path: str, log: str | None = None) -> str:
    return pairs("socket", id=name, path=path, server=True, wait=False, logfile=log, logappend=True if log else None)


def _monitor(sockets: Sockets) -> tuple[str, ...]:
    return ("-chardev", _socket("monitor0", sockets.at(sockets.qmp)), "-mon", "chardev=monitor0,mode=control")


def _serial(sockets: Sockets) -> tuple[str, ...]:
    if not sockets.serial:
        return ()
    log = sockets.at(sockets.serial_log) if sockets.serial_log else None
    chardev = _socket("serial0", sockets.at(sockets.serial), log)
    return ("-chardev", chardev, "-device", "isa-serial,chardev=serial0,id=serial0-dev")


def _agent(spec: MachineSpec) -> tuple[str, ...]:
    sockets = spec.sockets
    if not sockets.agent:
        return ()
    port = pairs("virtserialport", bus="channel0.0", chardev=AGENT_CHARDEV, id="agent0-dev", name=AGENT_PORT)
    channel = pairs(pci.virtio(spec, "virtio-serial-pci"), id="channel0")
    return ("-device", channel, "-chardev", _socket(AGENT_CHARDEV, sockets.at(sockets.agent)), "-device", port)
