"""Network cards."""

from __future__ import annotations

from vmpod.drivers.qemu.args import passt, pci
from vmpod.drivers.qemu.args.options import pairs
from vmpod.drivers.qemu.spec import MachineSpec, Nic

_PREFIX = "nic-"
_MODELS = {"virtio": "virtio-net-pci"}


def device(name: str) -> str:
    """The id of the card that a VMI calls `name`."""
    return f"{_PREFIX}{name}"


def name_of(device_id: str) -> str:
    """The name of the card with this id; empty for what is no card."""
    return device_id.removeprefix(_PREFIX) if device_id.startswith(_PREFIX) else ""


def backend_id(name: str) -> str:
    """The id of what joins a card to its tap."""
    return f"host-{name}"


def args(spec: MachineSpec) -> tuple[str, ...]:
    """Each card on its tap or passt. The option ROM is left out unless a machine boots from it: it costs time."""
    return tuple(word for nic in spec.nics for word in ("-netdev", _backend(spec, nic), "-device", _card(spec, nic)))


def backend(nic: Nic) -> dict[str, object]:
    """What `netdev_add` is told for a card that is plugged into a running machine."""
    values = {"type": "tap", "id": backend_id(nic.name), "ifname": nic.tap, "script": "no", "downscript": "no",
              "vhost": False}
    return values | ({"queues": nic.queues} if nic.queues > 1 else {})


def plug(nic: Nic, bus: str | None) -> dict[str, object]:
    """What `device_add` is told for such a card."""
    several = nic.model == "virtio" and nic.queues > 1
    values = {
        "driver": _MODELS.get(nic.model, nic.model), "id": device(nic.name), "netdev": backend_id(nic.name),
        "mac": nic.mac, "bus": bus, "acpi-index": nic.acpi_index or None, "romfile": "",
        "mq": True if several else None, "vectors": 2 * nic.queues + 2 if several else None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _backend(spec: MachineSpec, nic: Nic) -> str:
    if nic.passt is not None:
        there = {"addr.type": "unix", "addr.path": passt.socket(spec.sockets, nic.name)}
        return pairs("stream", id=backend_id(nic.name), server=False, **there)
    queues = nic.queues if nic.queues > 1 else None
    return pairs("tap", id=backend_id(nic.name), ifname=nic.tap, script="no", downscript="no", vhost=False,
                 queues=queues)


def _card(spec: MachineSpec, nic: Nic) -> str:
    model = pci.virtio(spec, _MODELS["virtio"]) if nic.model == "virtio" else nic.model
    several = nic.model == "virtio" and nic.queues > 1
    return pairs(
        model, netdev=backend_id(nic.name), id=device(nic.name), mac=nic.mac,
        **pci.place(spec, device(nic.name), nic.slot), bootindex=nic.boot_index or None,
        acpi_index=nic.acpi_index or None,
        romfile=None if nic.boot_index else "", mq=True if several else None,
        vectors=2 * nic.queues + 2 if several else None,
    )
