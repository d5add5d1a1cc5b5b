"""Network cards that come and go while their machine runs.

What QEMU has is compared with what the VMI says and what the network made, again and again: nothing is remembered, so
an engine that was killed between two steps goes on where the other stopped. A card comes after its tap and goes before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vmpod.drivers.qemu.args import net as arguments
from vmpod.drivers.qemu.args.pci import SPARE_PORTS
from vmpod.drivers.qemu.qmp import Monitor, Refused
from vmpod.drivers.qemu.spec import Nic
from vmpod.model.meta import Object
from vmpod.node.translate import machine_nics

_LEFT_S = 30.0
_LOOK_S = 0.2
Tell = Callable[[str, str, str], None]
"""(type, reason, message) of an event"""


async def cards(qmp: Monitor) -> frozenset[str]:
    """The names of the cards that the machine has now. Raises Gone, Refused."""
    there = await qmp.execute("qom-list", path="/machine/peripheral")
    return frozenset(name for one in there if (name := arguments.name_of(str(one["name"]))))


async def settle(
    qmp: Monitor, vmi: Object, wire: machine_nics.Wire | None, tell: Tell, begin: Callable[[], None]
) -> bool:
    """Plug and unplug until the machine has the cards that its VMI says and the network made; whether that is so.

    `begin` is called before anything changes. Raises Gone when the machine ends meanwhile.
    """
    has = await cards(qmp)
    wanted = {nic.name: nic for nic in machine_nics.nics(vmi, wire)}
    gone, came = has & machine_nics.leaving(vmi), wanted.keys() - has
    if gone or came:
        begin()
    done = True
    for name in sorted(gone):
        done &= await _unplug(qmp, name, tell)
    for name in came:
        done &= await _plug(qmp, wanted[name], tell)
    return done


async def _plug(qmp: Monitor, nic: Nic, tell: Tell) -> bool:
    try:
        await _drop_backend(qmp, nic.name)  # what a killed engine left without its card
        await qmp.execute("netdev_add", **arguments.backend(nic))
        await _add_device(qmp, nic)
    except Refused as refused:
        await _drop_backend(qmp, nic.name)
        tell("Warning", "FailedAttach", f"cannot plug the network card {nic.name}: {refused.why}")
        return False
    tell("Normal", "InterfaceReady", f"Successfully attached the network card {nic.name} to the machine")
    return True


async def _add_device(qmp: Monitor, nic: Nic) -> None:
    """In the first free root port; on a board without any, on its one bus."""
    ports: tuple[str | None, ...] = SPARE_PORTS if await _has_ports(qmp) else (None,)
    for number, port in enumerate(ports, 1):
        try:
            await qmp.execute("device_add", **arguments.plug(nic, port))
            return
        except Refused as refused:
            if number == len(ports) or "in use" not in refused.why:
                raise


async def _has_ports(qmp: Monitor) -> bool:
    there = await qmp.execute("qom-list", path="/machine/peripheral")
    return any(one["name"] == SPARE_PORTS[0] for one in there)


async def _unplug(qmp: Monitor, name: str, tell: Tell) -> bool:
    """Ask the guest to let go, wait for it, and close the tap."""
    try:
        await qmp.execute("device_del", id=arguments.device(name))
    except Refused as refused:
        if "already in the process" not in refused.why:
            tell("Warning", "FailedDetach", f"cannot unplug the network card {name}: {refused.why}")
            return False
    deadline = asyncio.get_running_loop().time() + _LEFT_S
    while name in await cards(qmp):
        if asyncio.get_running_loop().time() > deadline:
            why = f"the guest has not let go of the network card {name} within {_LEFT_S:g} s; it is asked again"
            tell("Warning", "DetachTimeout", why)
            return False
        await asyncio.sleep(_LOOK_S)
    await _drop_backend(qmp, name)
    tell("Normal", "InterfaceDetached", f"The network card {name} was unplugged from the machine")
    return True


async def _drop_backend(qmp: Monitor, name: str) -> None:
    try:
        await qmp.execute("netdev_del", id=arguments.backend_id(name))
    except Refused:
        pass  # there is none

