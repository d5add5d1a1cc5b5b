"""The word that `kubectl get vm` shows."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.controllers.printablestatus import View, printable_status
from vmpod.model.meta import Object
from vmpod.testing.objects import condition


def view(strategy: str = "Always", vmi: Object | None = None, **more: Any) -> View:
    vm: Object = {"metadata": {"uid": "m1", **more.pop("meta", {})}, "spec": {"runStrategy": strategy}}
    vm["spec"]["dataVolumeTemplates"] = more.pop("templates", [])
    vm["status"] = more.pop("status", {})
    return View(vm, vmi, tuple(more.get("volumes", ())), more.get("claims", {}), more.get("left", 0.0))


def vmi(phase: str = "", *found: Object, deleting: bool = False, **status: Any) -> Object:
    meta = {"uid": "i1"} | ({"deletionTimestamp": "x"} if deleting else {})
    return {"metadata": meta, "status": {"phase": phase, "conditions": list(found), **status}}


def volume(phase: str, *found: Object) -> Object:
    return {"metadata": {"name": "disk"}, "status": {"phase": phase, "conditions": list(found)}}


_GONE = condition("Synchronized", False, reason="FailedPvcNotFound")
_PULL = condition("Synchronized", False, reason="ErrImagePull")
_BACK_OFF = condition("Synchronized", False, reason="ImagePullBackOff")
_NO_ROOM = condition("PodScheduled", False, reason="Unschedulable")
_ERROR = condition("Running", False, reason="Error")
_STOP = {"stateChangeRequests": [{"action": "Stop", "uid": "i1"}]}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (view(meta={"deletionTimestamp": "x"}, vmi=vmi("Running")), "Terminating"),
        (view(vmi=vmi("Running", deleting=True)), "Stopping"),
        (view("Halted", vmi("Running")), "Stopping"),
        (view(vmi=vmi("Running"), status=_STOP), "Stopping"),
        (view(vmi=vmi("Running", migrationState={"completed": False})), "Migrating"),
        (view(vmi=vmi("Running", migrationState={"completed": True})), "Running"),
        (view(vmi=vmi("Running", condition("Paused"))), "Paused"),
        (view(vmi=vmi("Running")), "Running"),
        (view(vmi=vmi("Pending", _GONE)), "ErrorPvcNotFound"),
        (view(volumes=[volume("Failed")], templates=[{}]), "DataVolumeError"),
        (view(volumes=[volume("ImportScheduled", _ERROR)], templates=[{}]), "DataVolumeError"),
        (view(vmi=vmi("Scheduling", _NO_ROOM)), "ErrorUnschedulable"),
        (view(templates=[{}]), "Provisioning"),
        (view(volumes=[volume("ImportInProgress")], templates=[{}]), "Provisioning"),
        (view("Halted", volumes=[volume("ImportInProgress")], templates=[{}]), "Stopped"),
        (view(claims={"disk": {"status": {"phase": "Pending"}}}), "WaitingForVolumeBinding"),
        (view(vmi=vmi("Scheduling", _PULL)), "ErrImagePull"),
        (view(vmi=vmi("Scheduling", _BACK_OFF)), "ImagePullBackOff"),
        (view(), "Starting"),
        (view(vmi=vmi("Scheduled")), "Starting"),
        (view(left=12.0), "CrashLoopBackOff"),
        (view(vmi=vmi("Failed"), left=12.0), "CrashLoopBackOff"),
        (view("Halted"), "Stopped"),
        (view("Manual", vmi("Succeeded")), "Stopped"),
        (view(vmi=vmi("Unknown")), "Unknown"),
    ],
)  # fmt: skip
def test_the_first_row_that_matches_wins(seen: View, expected: str) -> None:
    assert printable_status(seen) == expected
