"""The screen, as VNC on a unix socket, pointers, devices of the client and sound."""

from __future__ import annotations

from vmpod.drivers.qemu.args import pci
from vmpod.drivers.qemu.args.options import pairs, text
from vmpod.drivers.qemu.spec import MachineSpec

_CARDS = {"virtio": "virtio-vga", "bochs": "bochs-display", "cirrus": "cirrus-vga"}
_USB_PORTS = 15  # as many as the controller has


def args(spec: MachineSpec) -> tuple[str, ...]:
    """A VGA card that every guest knows unless another was asked for; without graphics no display at all."""
    return (*_screen(spec), *_inputs(spec), *_sound(spec))


def _screen(spec: MachineSpec) -> tuple[str, ...]:
    if not spec.graphics:
        return ("-display", "none")
    vnc = f"unix:{text(spec.sockets.at(spec.sockets.vnc))}"
    slot = pci.GRAPHICS_SLOT if spec.is_pcie else None
    if spec.video == "ramfb":  # a piece of memory on no bus
        return ("-vnc", vnc, "-device", "ramfb,id=video0")
    if spec.video == "vga":
        return ("-vnc", vnc, "-device", pairs("VGA", id="video0", vgamem_mb=16, addr=slot))
    return ("-vnc", vnc, "-device", pairs(_CARDS[spec.video], id="video0", addr=slot))


def _inputs(spec: MachineSpec) -> tuple[str, ...]:
    words: list[str] = []
    if spec.usb_redirections or "usb" in [*(i.bus for i in spec.inputs), *(d.bus for d in spec.disks)]:
        words += ("-device", pairs("qemu-xhci", id="xhci", p2=_USB_PORTS, p3=_USB_PORTS))
    for pointer in spec.inputs:
        words += ("-device", pairs("usb-tablet", id=f"input-{pointer.name}", bus="xhci.0") if pointer.bus == "usb"
                  else pairs("virtio-tablet-pci", id=f"input-{pointer.name}"))
    for number in range(spec.usb_redirections):
        path = spec.sockets.at(f"usbredir{number}.sock")
        words += ("-chardev", pairs("socket", id=f"usbredir{number}", path=path, server=True, wait=False),
                  "-device", pairs("usb-redir", id=f"redir{number}", chardev=f"usbredir{number}", bus="xhci.0"))
    return tuple(words)


def _sound(spec: MachineSpec) -> tuple[str, ...]:
    if not spec.sound:
        return ()
    backend = ("-audiodev", "none,id=audio0")
    if spec.sound == "ac97":
        return (*backend, "-device", "AC97,audiodev=audio0")
    return (*backend, "-device", "ich9-intel-hda,id=sound0", "-device", "hda-duplex,bus=sound0.0,audiodev=audio0")
