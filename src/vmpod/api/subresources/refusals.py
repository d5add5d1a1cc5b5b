"""Subresources of KubeVirt that depend on what this server does not have: refused as KubeVirt refuses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from vmpod.api.call import Call
from vmpod.api.subresources.machines import is_running, machine_named, vmi_refused
from vmpod.client.inprocess import Response
from vmpod.model import status

Endpoint = Callable[[Call], Awaitable[Response]]
_NO_SEV: Final = "'WorkloadEncryptionSEV' feature gate is not enabled"


async def sev(call: Call) -> Response:
    """…/sev/…: the feature gate that KubeVirt asks first is off, for no guest's memory is encrypted here."""
    raise status.bad_request(_NO_SEV)


async def backup(call: Call) -> Response:
    """PUT …/backup."""
    if not is_running(machine_named(call)):
        raise vmi_refused(call, "VM is not running")
    raise vmi_refused(call, "backup is not supported here: changed blocks are not tracked")


async def redefine_checkpoint(call: Call) -> Response:
    """PUT …/redefine-checkpoint."""
    machine_named(call)
    raise vmi_refused(call, "ChangedBlockTracking is not enabled")


def profiler(action: str) -> Endpoint:
    """GET …/start-cluster-profiler and its siblings."""

    async def endpoint(call: Call) -> NoReturn:
        raise status.ApiError(
            403, "Forbidden", f'Unable to {action}. "ClusterProfiler" feature gate must be enabled')

    return endpoint
