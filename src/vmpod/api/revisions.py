"""The resourceVersion parameters of list and watch (Kubernetes API concepts, "Resource versions")."""

from __future__ import annotations

import asyncio
from typing import Final

from vmpod.api.call import Call
from vmpod.model import status

_WAIT_S: Final = 3.0
_POLL_S: Final = 0.02


def read_revision(call: Call) -> int:
    """`resourceVersion` of the query, 0 when absent. Raises ApiError 400 for what is none."""
    text = call.query("resourceVersion") or "0"
    if not (text.isascii() and text.isdigit()):
        raise status.bad_request(
            f"invalid resource version: resourceVersion: Invalid value: {status.quote(text)}: "
            f"strconv.ParseUint: parsing {status.quote(text)}: invalid syntax"
        )
    return int(text)


async def check_list_revision(call: Call) -> None:
    """Wait until a list can be as new as asked. Raises ApiError for what cannot be had.

    We keep only the present, so `Exact` is answered at the newest revision and else with 410.
    """
    wanted, match = read_revision(call), call.query("resourceVersionMatch")
    _check_parameters(call, match)
    if call.query("continue"):
        return
    await _reached(call, wanted)
    if match == "Exact" and wanted < call.store.revision:
        raise status.gone(f"The resourceVersion for the provided list is too old: {wanted} ({call.store.revision})")


def _check_parameters(call: Call, match: str) -> None:
    revision, faults = call.query("resourceVersion"), []
    if match and match not in ("Exact", "NotOlderThan"):
        faults.append(status.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
    if match and not revision:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        faults.append(status.refused("resourceVersionMatch", why))
    if match == "Exact" and revision == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        faults.append(status.refused("resourceVersionMatch", why))
    if match and call.query("continue"):
        why = "resourceVersionMatch is forbidden when continue is provided"
        faults.append(status.refused("resourceVersionMatch", why))
    if call.query("sendInitialEvents"):
        faults.append(status.refused("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if faults:
        raise status.invalid("ListOptions.meta.k8s.io", "", faults)


async def _reached(call: Call, wanted: int) -> None:
    deadline = asyncio.get_running_loop().time() + _WAIT_S
    while wanted > call.store.revision:
        if asyncio.get_running_loop().time() > deadline:
            raise too_large(wanted, call.store.revision)
        await asyncio.sleep(_POLL_S)


def too_large(wanted: int, current: int) -> status.ApiError:
    """504 for a revision that is still to come (storage.NewTooLargeResourceVersionError)."""
    message = f"Too large resource version: {wanted}, current: {current}"
    error = status.timeout(message)
    error.details |= {
        "retryAfterSeconds": 1,
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
    }
    return error


def check_watch_parameters(call: Call) -> None:
    """Raises ApiError 422 for combinations that the server refuses (ValidateListOptions)."""
    match, initial = call.query("resourceVersionMatch"), call.query("sendInitialEvents")
    faults = []
    if match and not initial:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        faults.append(status.refused("resourceVersionMatch", why))
    if initial and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        faults.append(status.refused("resourceVersionMatch", why))
    if call.query("continue"):
        faults.append(status.refused("continue", "continue is forbidden for watch"))
    if faults:
        raise status.invalid("ListOptions.meta.k8s.io", "", faults)
