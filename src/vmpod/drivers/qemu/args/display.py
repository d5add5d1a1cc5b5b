"""The screen, as VNC on a unix socket, pointers and sound."""

from __future__ import annotations

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.args.options import pairs, text
from vmpod.drivers.qemu.spec import MachineSpec


def args(spec: MachineSpec) -> tuple[str, ...]:
    """A VGA card that every guest knows; without graphics no display at all."""
    return (*_screen(spec), *_inputs(spec), *_sound(spec))


def _screen(spec: MachineSpec) -> tuple[str, ...]:
    if not spec.graphics:
        return ("-display", "none")
    vnc = f"unix:{text(spec.sockets.at(spec.sockets.vnc))}"
    slot = pci.GRAPHICS_SLOT if spec.is_pcie else None
    return ("-vnc", vnc, "-device", pairs("VGA", id="video0", vgamem_mb=16, addr=slot))


def _inputs(spec: MachineSpec) -> tuple[str, ...]:
    words: list[str] = []
    if any(i.bus == "usb" for i in spec.inputs) or any(d.bus == "usb" for d in spec.disks):
        words += ("-device", pairs("qemu-xhci", id="xhci"))
    for pointer in spec.inputs:
        words += ("-device", pairs("usb-tablet", id=f"input-{pointer.name}", bus="xhci.0") if pointer.bus == "usb"
                  else pairs("virtio-tablet-pci", id=f"input-{pointer.name}"))
    return tuple(words)


def _sound(spec: MachineSpec) -> tuple[str, ...]:
    if not spec.sound:
        return ()
    backend = ("-audiodev", "none,id=audio0")
    if spec.sound == "ac97":
        return (*backend, "-device", "AC97,audiodev=audio0")
    return (*backend, "-device", "ich9-intel-hda,id=sound0", "-device", "hda-duplex,bus=sound0.0,audiodev=audio0")
