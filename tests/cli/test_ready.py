"""When objects are ready."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.cli.ready import Verdict, running_machine, verdict

READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("obj", "why", "hopeless"),
    [
        ({"kind": "ConfigMap"}, "", False),
        ({"kind": "Deployment", "metadata": {"generation": 2}, "status": {"observedGeneration": 1}},
         "waits for the deployment controller", False),
        ({"kind": "Deployment", "spec": {"replicas": 2}, "status": {"updatedReplicas": 2, "availableReplicas": 1}},
         "1 of 2 replicas are available", False),
        ({"kind": "Deployment", "spec": {"replicas": 1},
          "status": {"updatedReplicas": 1, "availableReplicas": 1, "replicas": 1}}, "", False),
        ({"kind": "Deployment", "spec": {"replicas": 1},
          "status": {"updatedReplicas": 1, "availableReplicas": 1, "replicas": 2}}, "1 of 1 replicas are available", False),
        ({"kind": "Pod", "status": {"phase": "Succeeded"}}, "", False),
        ({"kind": "Pod", "status": {"phase": "Failed"}}, "the pod is Failed", True),
        ({"kind": "Pod", "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}},
         "ErrImagePull", False),
        ({"kind": "VirtualMachine", "spec": {"runStrategy": "Halted"}}, "", False),
        ({"kind": "VirtualMachine", "spec": {"running": False}}, "", False),
        ({"kind": "VirtualMachine", "spec": {"runStrategy": "Always"}, "status": {"printableStatus": "Provisioning"}},
         "the machine is Provisioning", False),
        ({"kind": "VirtualMachine", "spec": {"running": True}, "status": {"conditions": READY}}, "", False),
        ({"kind": "VirtualMachine", "metadata": {"name": "a", "namespace": "n"}, "spec": {"runStrategy": "Always"},
          "status": {"printableStatus": "Running", "conditions": [
              {"type": "Ready", "status": "False", "message": "probe failed"}, {"type": "RestartRequired", "status": "True"}]}},
         "probe failed (it has changes that wait for a restart: vmpod restart a -n n)", False),
        ({"kind": "DataVolume", "status": {"phase": "ImportInProgress", "progress": "12.5%"}},
         "ImportInProgress 12.5%", False),
        ({"kind": "DataVolume", "status": {"phase": "Failed"}}, "Failed", True),
        ({"kind": "PersistentVolumeClaim", "status": {"phase": "Bound"}}, "", False),
        ({"kind": "PersistentVolumeClaim", "status": {"phase": "Lost"}}, "the claim is Lost", True),
        ({"kind": "Service", "spec": {"type": "ClusterIP"}}, "", False),
        ({"kind": "Service", "spec": {"type": "LoadBalancer"}}, "waits for an address", False),
    ],
)  # fmt: skip
def test_verdicts(obj: dict[str, Any], why: str, hopeless: bool) -> None:
    assert verdict(obj) == Verdict(why, hopeless)


def test_a_machine_that_is_asked_to_run_is_not_done_while_it_is_off() -> None:
    assert not running_machine({"kind": "VirtualMachine", "spec": {"runStrategy": "Manual"}}).is_ready
