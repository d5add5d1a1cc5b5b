"""How large a guest sees its disks, for `status.volumeStatus`: read off QEMU."""

from __future__ import annotations

from vmpod.drivers.qemu.qmp import Monitor
from vmpod.model.meta import get

_DEVICE = "ua-"


async def measure(qmp: Monitor) -> dict[str, int]:
    """The bytes of each disk, by the name of its volume. Raises Gone, Refused."""
    found = {}
    for one in await qmp.block_devices():
        size = get(one, "inserted", "image", "virtual-size")
        for word in str(one.get("qdev")).split("/"):
            if size is not None and word.startswith(_DEVICE):
                found[word.removeprefix(_DEVICE)] = int(size)
    return found
