"""ReplicaSets: how many pods, which ones go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from vmpod.base.clock import rfc3339
from vmpod.controllers import replicaset as controller
from vmpod.controllers.replicaset import Seen
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.reconcile.actions import Create, Delete, Patch
from vmpod.testing.clock import EPOCH


def replicas(count: int, *, ready_s: int = 0, **more: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": count, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = {"name": "web-1", "namespace": "default", "uid": "r1", "resourceVersion": "7", "generation": 2, **more}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": made, "spec": spec | {"minReadySeconds": ready_s}}


def pod(name: str, *, phase: str = "Running", node: str = "n1", ready_at: float | None = 0, born: float = 0,
        restarts: int = 0, cost: str = "", deleting: bool = False) -> Object:  # fmt: skip
    found = [] if ready_at is None else [
        {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(EPOCH + timedelta(seconds=ready_at))}]
    made: Object = {"name": name, "namespace": "default", "uid": f"u-{name}", "labels": {"app": "web"},
                    "creationTimestamp": rfc3339(EPOCH + timedelta(seconds=born))}
    if cost:
        made["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    if deleting:
        made["deletionTimestamp"] = rfc3339(EPOCH)
    return {"metadata": made, "spec": {"nodeName": node} if node else {},
            "status": {"phase": phase, "conditions": found, "containerStatuses": [{"restartCount": restarts}]}}


def seen(owner: Object, *pods: Object, orphans: tuple[Object, ...] = (), later_s: float = 100) -> Seen:
    return Seen(owner, pods, orphans, EPOCH + timedelta(seconds=later_s))


def test_missing_pods_are_made_under_names_that_follow_from_what_is_seen() -> None:
    plan = controller.plan(seen(replicas(2)))
    made = [action.obj for action in plan.actions if isinstance(action, Create)]
    assert len({meta.name(one) for one in made}) == 2
    assert [meta.get(meta.controller_of(one), "uid") for one in made] == ["r1", "r1"]
    assert controller.plan(seen(replicas(2))) == plan
    moved = replicas(2) | {"metadata": {**replicas(2)["metadata"], "resourceVersion": "8"}}
    assert {meta.name(action.obj) for action in controller.plan(seen(moved)).actions if isinstance(action, Create)}.isdisjoint(
        meta.name(one) for one in made)
    assert [note.reason for note in plan.events] == ["SuccessfulCreate", "SuccessfulCreate"]


def test_pods_that_ended_or_go_do_not_count() -> None:
    found = seen(replicas(2), pod("a"), pod("b", phase="Failed"), pod("c", deleting=True))
    assert [type(action) for action in controller.plan(found).actions] == [Create]


def test_matching_pods_without_a_controller_are_taken_in_first() -> None:
    (action,) = controller.plan(seen(replicas(1), orphans=(pod("a"),))).actions
    assert isinstance(action, Patch)
    assert action.patch["metadata"]["ownerReferences"][0]["uid"] == "r1"


@pytest.mark.parametrize(
    ("victim", "other"),
    [
        (pod("v", node="", phase="Pending", ready_at=None), pod("o", phase="Pending", ready_at=None)),
        (pod("v", phase="Pending", ready_at=None), pod("o", phase="Running", ready_at=None)),
        (pod("v", ready_at=None), pod("o")),
        (pod("v", cost="-5"), pod("o")),
        (pod("v"), pod("o", cost="5", ready_at=50)),
        (pod("v", ready_at=50), pod("o", ready_at=10)),
        (pod("v", restarts=3), pod("o", restarts=1)),
        (pod("v", born=50), pod("o", born=10)),
    ],
)
def test_the_pod_that_is_missed_least_goes_first(victim: Object, other: Object) -> None:
    for order in ((victim, other), (other, victim)):
        (action,) = controller.plan(seen(replicas(1), *order)).actions
        assert isinstance(action, Delete)
        assert action.name == "v"


def test_nothing_is_made_while_it_goes() -> None:
    going = replicas(2, deletionTimestamp=rfc3339(EPOCH))
    assert controller.plan(seen(going)).actions == ()


def test_the_status_counts() -> None:
    found = seen(replicas(3), pod("a"), pod("b", ready_at=None), pod("c", phase="Failed"))
    assert controller.status(found, controller.plan(found)) == {
        "replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 2,
    }  # fmt: skip


def test_a_pod_is_available_after_min_ready_seconds() -> None:
    early = seen(replicas(1, ready_s=30), pod("a"), later_s=10)
    plan = controller.plan(early)
    assert plan.again_in == 20
    assert "availableReplicas" not in (controller.status(early, plan) or {})
    late = seen(replicas(1, ready_s=30), pod("a"), later_s=31)
    assert (controller.status(late, controller.plan(late)) or {})["availableReplicas"] == 1
