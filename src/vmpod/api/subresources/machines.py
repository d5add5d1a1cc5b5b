"""subresources.kubevirt.io, VirtualMachineInstance: consoles, ports, and questions to the running guest."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from vmpod.api import sockets
from vmpod.api.call import Call
from vmpod.api.discovery import version_info
from vmpod.api.representation import body_response
from vmpod.api.sockets import PLAIN, Tunnel
from vmpod.api.streams import StreamRef
from vmpod.api.subresources.virtualmachines import read_options, refused
from vmpod.client.inprocess import Response
from vmpod.kinds import VIRTUALMACHINE, VIRTUALMACHINEINSTANCE
from vmpod.model import conditions, meta, status
from vmpod.model.meta import Object

NOT_RUNNING: Final = "VMI is not running"
VM_NOT_RUNNING: Final = "VM is not running"  # which of the two is said of a VMI depends on the verb, as upstream
_NO_AGENT: Final = "VMI does not have guest agent connected"
_LOOKS, _LOOK_EVERY_S = 20, 0.05
_LISTS: Final = {
    "guestosinfo": "VirtualMachineInstanceGuestAgentInfo",
    "userlist": "VirtualMachineInstanceGuestOSUserList",
    "filesystemlist": "VirtualMachineInstanceFileSystemList",
}


def machine_named(call: Call) -> Object:
    """The VMI that the call names. Raises ApiError 404."""
    call = call.about(VIRTUALMACHINEINSTANCE, call.namespace, call.name)
    machine: Object = orjson.loads(call.current().value)
    return machine


def is_running(machine: Object) -> bool:
    """Whether its phase is Running."""
    return bool(meta.get(machine, "status", "phase") == "Running")


def _has(machine: Object, condition: str) -> bool:
    return conditions.is_true(meta.get(machine, "status", "conditions", default=[]), condition)


def vmi_refused(call: Call, why: str) -> status.ApiError:
    """409; KubeVirt names the resource in the singular."""
    return status.conflict("virtualmachineinstance.kubevirt.io", call.name, why)


def _check_connectable(call: Call, machine: Object) -> None:
    """virtctl tries again on 400 and on nothing else: a machine that is still coming up answers 400."""
    if meta.get(machine, "status", "phase") == "Failed":
        raise vmi_refused(call, "VMI is in failed status")
    if not is_running(machine):
        raise status.bad_request(NOT_RUNNING)


async def console(call: Call) -> Tunnel:
    """GET …/console: the first serial port."""
    machine = machine_named(call)
    if meta.get(machine, "spec", "domain", "devices", "autoattachSerialConsole") is False:
        raise status.bad_request("No serial consoles are present.")
    return await _connect(call, machine, "console", {})


async def vnc(call: Call) -> Tunnel:
    """GET …/vnc: RFB."""
    machine = machine_named(call)
    _check_graphics(machine)
    return await _connect(call, machine, "vnc", {"preserveSession": call.flag("preserveSession")})


async def usbredir(call: Call) -> Tunnel:
    """GET …/usbredir: one of the USB ports that the machine has for clients."""
    machine = machine_named(call)
    if meta.get(machine, "spec", "domain", "devices", "clientPassthrough") is None:
        raise vmi_refused(call, "Not configured with USB Redirection")
    return await _connect(call, machine, "usbredir", {})


async def vsock(call: Call) -> Tunnel:
    """GET …/vsock?port=N: refused, for no machine is stored with the device."""
    machine_named(call)
    raise status.bad_request("VSOCK is not attached.")


def _check_graphics(machine: Object) -> None:
    if meta.get(machine, "spec", "domain", "devices", "autoattachGraphicsDevice") is False:
        raise status.bad_request("No graphics devices are present.")


async def portforward(call: Call) -> Tunnel:
    """GET …/portforward/PORT[/PROTOCOL], of a VMI or of the VM with its name."""
    port = call.rest[0] if call.rest else ""
    protocol = call.rest[1].lower() if len(call.rest) > 1 else "tcp"
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise status.bad_request(f"port {status.quote(port)} is not valid")
    if protocol not in ("tcp", "udp"):
        raise status.bad_request(f"protocol {status.quote(protocol)} is not supported: use tcp or udp")
    machine = machine_named(call)
    if _has(machine, "Paused"):
        raise vmi_refused(call, "VMI is paused")
    return await _connect(call, machine, "portforward", {"port": int(port), "protocol": protocol})


async def _connect(call: Call, machine: Object, verb: str, params: dict[str, Any]) -> Tunnel:
    _check_connectable(call, machine)
    protocol = sockets.choose_protocol(call, (PLAIN,))
    return sockets.plain(await call.backend.streams.open(_ref(call), verb, params), protocol)


def _ref(call: Call) -> StreamRef:
    return StreamRef("virtualmachineinstances", call.namespace, call.name)


def _check_running(call: Call, machine: Object, why: str = VM_NOT_RUNNING) -> None:
    if not is_running(machine):
        raise vmi_refused(call, why)


async def pause(call: Call) -> Response:
    """PUT …/pause."""
    machine = machine_named(call)
    _check_running(call, machine)
    if meta.get(machine, "spec", "livenessProbe"):
        why = "Pausing VMIs with LivenessProbe is currently not supported"
        raise status.forbidden("virtualmachineinstance.kubevirt.io", call.name, why)
    if _has(machine, "Paused"):
        raise vmi_refused(call, "VMI is already paused")
    if _is_migrating(machine):
        raise vmi_refused(call, f"Cannot pause VM '{call.name}' because it is currently being migrated")
    return await _shown(call, await _told(call, "pause"), is_paused=True)


def _is_migrating(machine: Object) -> bool:
    state = meta.get(machine, "status", "migrationState", default={})
    return bool(state) and not state.get("completed")


async def unpause(call: Call) -> Response:
    """PUT …/unpause: not while a snapshot of the VirtualMachine is being made."""
    owner = call.store.get(VIRTUALMACHINE.resource, call.namespace, call.name)
    if owner is not None and meta.get(orjson.loads(owner.value), "status", "snapshotInProgress") is not None:
        raise refused(call, "VM snapshot is in progress")
    machine = machine_named(call)
    _check_running(call, machine, NOT_RUNNING)
    if not _has(machine, "Paused"):
        raise vmi_refused(call, "VMI is not paused")
    return await _shown(call, await _told(call, "unpause"), is_paused=False)


async def _shown(call: Call, answer: Response, *, is_paused: bool) -> Response:
    """Give the answer when the status tells what was done, so that the opposite may be asked for at once."""
    for _ in range(0 if read_options(call).get("dryRun") else _LOOKS):
        if _has(machine_named(call), "Paused") == is_paused:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    return answer


async def softreboot(call: Call) -> Response:
    """PUT …/softreboot: ask the guest, by its agent or ACPI."""
    machine = machine_named(call)
    _check_running(call, machine)
    if _has(machine, "Paused"):
        raise vmi_refused(call, "VMI is paused")
    acpi = meta.get(machine, "spec", "domain", "features", "acpi", "enabled", default=True)
    if not acpi and not _has(machine, "AgentConnected"):
        raise vmi_refused(call, "VMI neither have the agent connected nor the ACPI feature enabled")
    return await _told(call, "softreboot")


async def reset(call: Call) -> Response:
    """PUT …/reset: the machine's reset button."""
    machine = machine_named(call)
    if not is_running(machine):
        phase = meta.get(machine, "status", "phase", default="")
        why = f"Unable to connect to VirtualMachineInstance because phase is {phase} instead of Running"
        raise status.bad_request(f"Failed to reset non-running VMI with phase {phase}: {why}")
    return await _told(call, "reset")


async def freeze(call: Call) -> Response:
    """PUT …/freeze: the guest's agent holds its file systems still, for `unfreezeTimeout` at most."""
    machine = machine_named(call)
    _check_running(call, machine)
    _check_agent(call, machine)
    return await _told(call, "freeze")


async def unfreeze(call: Call) -> Response:
    """PUT …/unfreeze."""
    machine = machine_named(call)
    _check_running(call, machine, NOT_RUNNING)
    _check_agent(call, machine)
    return await _told(call, "unfreeze")


def _check_agent(call: Call, machine: Object) -> None:
    if not is_running(machine):
        raise vmi_refused(call, NOT_RUNNING)
    if not _has(machine, "AgentConnected"):
        raise vmi_refused(call, _NO_AGENT)


async def _told(call: Call, verb: str) -> Response:
    options = read_options(call)
    if not options.get("dryRun"):
        await call.backend.streams.ask(_ref(call), verb, options)
    return Response(200)


def asked_of_agent(verb: str) -> Callable[[Call], Awaitable[Response]]:
    """GET …/guestosinfo, …/userlist, …/filesystemlist: answered by the guest's agent."""

    async def endpoint(call: Call) -> Response:
        _check_agent(call, machine_named(call))
        found = await call.backend.streams.ask(_ref(call), verb, {})
        return body_response(call, {"kind": _LISTS[verb], "apiVersion": "kubevirt.io/v1", **found})

    return endpoint


async def screenshot(call: Call) -> Response:
    """GET …/vnc/screenshot: a PNG."""
    machine = machine_named(call)
    _check_graphics(machine)
    _check_connectable(call, machine)
    found = await call.backend.streams.ask(_ref(call), "screenshot", {"moveCursor": call.flag("moveCursor")})
    data = found["data"]
    picture = data if isinstance(data, bytes) else base64.b64decode(data)
    return Response(200, {"content-type": str(found.get("contentType") or "image/png")}, picture)


async def version(call: Call) -> Response:
    """GET /apis/subresources.kubevirt.io/VERSION/version: the KubeVirt release whose behaviour we follow."""
    return body_response(call, version_info(call.backend.config.kubevirt_version))


async def guestfs(call: Call) -> Response:
    """GET /apis/subresources.kubevirt.io/VERSION/guestfs: the image with libguestfs that virtctl makes a pod of."""
    release = call.backend.config.kubevirt_version.partition("+")[0]
    image = {"registry": "quay.io/kubevirt", "tag": release, "digest": "", "imagePrefix": "", "gsImage": ""}
    return body_response(call, image)


async def healthz(call: Call) -> Response:
    """GET /apis/subresources.kubevirt.io/VERSION/healthz."""
    return body_response(call, {"apiserver": {"connectivity": "ok"}})
