"""The one table of machines and containers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from vmpod.cli.ready import verdict
from vmpod.cli.status_ import rows_of, state, table

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
BORN = "2026-01-01T00:00:00Z"


def obj(name: str, labels: dict[str, str] | None = None, space: str = "default", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": space, "labels": labels or {}, "creationTimestamp": BORN}, **more}


def test_machines_and_pods_side_by_side() -> None:
    vm = obj("db", spec={"template": {"metadata": {"labels": {"app": "db"}}}}, status={"printableStatus": "Running"})
    vmi = obj("db", {"app": "db"}, status={"conditions": [{"type": "Ready", "status": "True"}],
                                           "interfaces": [{"ipAddress": "10.1.0.2"}]})  # fmt: skip
    pods = [
        obj("web-1", {"app": "web"}, spec={"containers": [{}]},
            status={"phase": "Running", "podIP": "10.1.0.3", "containerStatuses": [{"ready": True, "restartCount": 2}]}),
        obj("virt-launcher-db-x", {"app": "db", "kubevirt.io": "virt-launcher"}),
    ]  # fmt: skip
    services = [
        obj("db", spec={"selector": {"app": "db"}, "ports": [{"port": 5432}]}),
        obj("web", spec={"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]},
            status={"loadBalancer": {"ingress": [{"ip": "10.2.0.1"}]}}),
    ]  # fmt: skip
    assert table(rows_of([vm], [vmi], pods, services, now=NOW)).splitlines() == [
        "KIND             NAME    STATE     READY   IP         ADDRESSES          AGE   RESTARTS",
        "VirtualMachine   db      Running   1/1     10.1.0.2   db:5432            5m    0",
        "Pod              web-1   Running   1/1     10.1.0.3   http://10.2.0.1/   5m    2",
    ]


def test_how_far_a_guest_has_come() -> None:
    stage = {"type": "vmpod.io/GuestStage", "status": "True", "reason": "Agent",
             "message": "firmware 0 s, kernel 1 s, init 8 s, agent 12 s"}  # fmt: skip
    vm = obj("db", spec={"template": {"metadata": {"labels": {}}}}, status={"printableStatus": "Running"})
    (row,) = rows_of([vm], [obj("db", status={"conditions": [stage]})], [], [], now=NOW)
    assert row["guest"] == ["firmware 0 s", "kernel 1 s", "init 8 s", "agent 12 s"]
    head, line = table([row]).splitlines()
    assert head.split()[4] == "GUEST" and "   kernel 1 s, init 8 s, agent 12 s   " in line
    running = obj("db", kind="VirtualMachine", status={"printableStatus": "Running", "conditions": [stage]})
    assert verdict(running).why == ("the machine runs, its application does not answer yet; "
                                    "guest: firmware 0 s, kernel 1 s, init 8 s, agent 12 s")  # fmt: skip


def test_a_stopped_machine_and_another_namespace() -> None:
    vm = obj("db", space="shop", spec={"template": {"metadata": {"labels": {}}}}, status={})
    (row,) = rows_of([vm], [], [], [], now=NOW)
    assert (row["state"], row["ready"], row["ip"], row["addresses"]) == ("Stopped", "0/1", "", [])
    assert "NAMESPACE" in table([row])


@pytest.mark.parametrize(
    ("pod", "word"),
    [
        ({"metadata": {"deletionTimestamp": BORN}}, "Terminating"),
        ({"status": {"phase": "Running"}}, "Running"),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
        ({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}}, "ErrImagePull"),
        ({"status": {"containerStatuses": [{"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}},
         "Completed"),
        ({"status": {"initContainerStatuses": [{"state": {"terminated": {"reason": "Error", "exitCode": 1}}}],
                     "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}}, "Init:Error"),
        ({"status": {"phase": "Running", "initContainerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}},
         "Running"),
    ],
)  # fmt: skip
def test_states(pod: dict[str, Any], word: str) -> None:
    assert state(pod) == word
