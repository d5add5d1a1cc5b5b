"""Questions and orders to a running machine: KubeVirt's subresources that are not streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from vmpod.base.errors import Problem
from vmpod.base.files import open_plain
from vmpod.drivers.qemu.qmp import Refused
from vmpod.drivers.qemu.screen import png_from_ppm
from vmpod.model import status
from vmpod.node.machine_freeze import timeout_s
from vmpod.node.machine_watch import Watch
from vmpod.node.status.machine import guest_os

Answer = dict[str, Any]
Ask = Callable[[Watch, Mapping[str, Any]], Awaitable[Answer]]
_RESOURCE = "virtualmachineinstance.kubevirt.io"
_INSIDE = "/run/vm"


async def ask(watch: Watch, verb: str, params: Mapping[str, Any]) -> Answer:
    """Answer one question. Raises ApiError: 409 when the machine cannot now, 404 for an unknown verb."""
    found = _ASKS.get(verb)
    if found is None:
        raise status.not_found(f"{_RESOURCE}/{verb}", watch.machine.name)
    try:
        return await found(watch, params)
    except status.ApiError:
        raise
    except Problem as problem:
        raise status.conflict(_RESOURCE, watch.machine.name, problem.why) from None


async def _pause(watch: Watch, params: Mapping[str, Any]) -> Answer:
    if watch.seen.is_paused:
        raise status.conflict(_RESOURCE, watch.machine.name, "VMI is already paused")
    await watch.qmp.stop()
    watch.observe(run_state=await watch.qmp.status())
    return {}


async def _unpause(watch: Watch, params: Mapping[str, Any]) -> Answer:
    if not watch.seen.is_paused:
        raise status.conflict(_RESOURCE, watch.machine.name, "VMI is not paused")
    await watch.qmp.cont()
    watch.observe(run_state=await watch.qmp.status())
    return {}


async def _reset(watch: Watch, params: Mapping[str, Any]) -> Answer:
    await watch.qmp.reset()
    return {}


async def _soft_reboot(watch: Watch, params: Mapping[str, Any]) -> Answer:
    await watch.soft_reboot()
    return {}


async def _freeze(watch: Watch, params: Mapping[str, Any]) -> Answer:
    await watch.freezer.freeze(timeout_s(str(params.get("unfreezeTimeout") or "")))
    return {}


async def _unfreeze(watch: Watch, params: Mapping[str, Any]) -> Answer:
    await watch.freezer.thaw()
    return {}


async def _guest_os_info(watch: Watch, params: Mapping[str, Any]) -> Answer:
    """VirtualMachineInstanceGuestAgentInfo; what this guest's agent does not know is left out."""
    info = await watch.ask("guest-info")
    commands = [{"name": one["name"], "enabled": bool(one.get("enabled"))} for one in info["supported_commands"]]
    answer: Answer = {"guestAgentVersion": info.get("version", ""), "supportedCommands": commands}
    answer["os"] = guest_os(await watch.ask_if_known("guest-get-osinfo") or {})
    if name := (await watch.ask_if_known("guest-get-host-name") or {}).get("host-name"):
        answer["hostname"] = name
    if zone := await watch.ask_if_known("guest-get-timezone"):
        answer["timezone"] = f"{zone.get('zone', '')}, {zone.get('offset', 0)}"
    answer["userList"] = _users(await watch.ask_if_known("guest-get-users") or [])
    answer["fsInfo"] = {"disks": _filesystems(await watch.ask_if_known("guest-get-fsinfo") or [])}
    return answer


async def _user_list(watch: Watch, params: Mapping[str, Any]) -> Answer:
    return {"metadata": {}, "items": _users(await watch.ask("guest-get-users"))}


async def _filesystem_list(watch: Watch, params: Mapping[str, Any]) -> Answer:
    return {"metadata": {}, "items": _filesystems(await watch.ask("guest-get-fsinfo"))}


def _users(found: list[Mapping[str, Any]]) -> list[Answer]:
    return [{"userName": one.get("user", ""), "domain": one.get("domain", ""), "loginTime": one.get("login-time", 0)}
            for one in found]


def _filesystems(found: list[Mapping[str, Any]]) -> list[Answer]:
    return [{
        "diskName": one.get("name", ""), "mountPoint": one.get("mountpoint", ""), "fileSystemType": one.get("type", ""),
        "usedBytes": one.get("used-bytes", 0), "totalBytes": one.get("total-bytes", 0),
    } for one in found]


async def _screenshot(watch: Watch, params: Mapping[str, Any]) -> Answer:
    """A PNG; QEMU before 7.1 draws only PPM."""
    file = watch.machine.folder / "screen.png"
    try:
        try:
            await watch.qmp.screenshot(f"{_INSIDE}/{file.name}")
        except Refused as refused:
            if "format" not in refused.why:
                raise
            await watch.qmp.execute("screendump", filename=f"{_INSIDE}/{file.name}")
        return {"data": _picture(file), "contentType": "image/png"}
    finally:
        file.unlink(missing_ok=True)


def _picture(file: Path) -> bytes:
    with open_plain(file) as picture:
        data = picture.read()
    return png_from_ppm(data) if data.startswith(b"P6") else data


_ASKS: Final[Mapping[str, Ask]] = {
    "pause": _pause, "unpause": _unpause, "reset": _reset, "softreboot": _soft_reboot, "freeze": _freeze,
    "unfreeze": _unfreeze, "guestosinfo": _guest_os_info, "userlist": _user_list,
    "filesystemlist": _filesystem_list, "screenshot": _screenshot,
}
