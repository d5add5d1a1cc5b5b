"""Migrations: phases, the second launcher, the hand-over, and what is cleared away, as tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from vmpod.base.clock import rfc3339
from vmpod.controllers import evacuation, migrationpolicies
from vmpod.controllers import virtualmachineinstancemigration as controller
from vmpod.controllers.migrationphases import Seen
from vmpod.kinds import POD, VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.kinds.parts.migration import JOB, MACHINE
from vmpod.kinds.virtualmachineinstancemigration import FINALIZER
from vmpod.model import conditions
from vmpod.model.meta import Object
from vmpod.reconcile.actions import Create, Delete, Patch
from vmpod.testing.clock import EPOCH
from vmpod.testing.objects import condition, instance

MINE: Object = {"migrationUid": "m1", "sourcePod": "old", "targetPod": "new"}


def migration(phase: str = "", *, deleting: bool = False, **status: Any) -> Object:
    meta: Object = {"name": "move", "namespace": "default", "uid": "m1", "labels": {MACHINE: "orders"},
                    "finalizers": [FINALIZER], "creationTimestamp": rfc3339(EPOCH)}  # fmt: skip
    meta |= {"deletionTimestamp": rfc3339(EPOCH)} if deleting else {}
    found = {"phase": phase, **status} if phase else {}
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "metadata": meta,
            "spec": {"vmiName": "orders"}, "status": found}  # fmt: skip


def vmi(state: Object | None = None, phase: str = "Running", **status: Any) -> Object:
    made = instance()
    made["metadata"]["uid"] = "i1"
    made["status"] = {"phase": phase, "nodeName": "n1", **status} | ({"migrationState": state} if state else {})
    return made


def launcher(name: str, job: str = "", phase: str = "Running", node: str = "n1", **more: Any) -> Object:
    meta: Object = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {JOB: job} if job else {},
                    "creationTimestamp": rfc3339(EPOCH), **more}  # fmt: skip
    return {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": {"phase": phase}}


OLD = launcher("old")


def new(phase: str = "Running", node: str = "n2", **more: Any) -> Object:
    return launcher("new", "m1", phase, node, **more)


def seen(about: Object, machine: Object | None, *pods: Object, crowd: str = "", older: tuple[Object, ...] = (),
         policy: Object | None = None, later_s: float = 0) -> Seen:  # fmt: skip
    return Seen(about, machine, pods, crowd, older, policy, EPOCH + timedelta(seconds=later_s))


def follows(found: Seen) -> str:
    made = controller.status(found, controller.plan(found))
    assert made is not None
    return str(made["phase"])


@pytest.mark.parametrize(
    ("phase", "state", "pods", "expected"),
    [
        ("", None, (OLD,), "Pending"),
        ("Pending", None, (OLD,), "Pending"),
        ("Pending", None, (OLD, new("Pending")), "Scheduling"),
        ("Scheduling", None, (OLD, new("Pending")), "Scheduling"),
        ("Scheduling", None, (OLD, new()), "Scheduled"),
        ("Scheduled", None, (OLD, new()), "Scheduled"),
        ("Scheduled", MINE, (OLD, new()), "PreparingTarget"),
        ("PreparingTarget", MINE, (OLD, new()), "PreparingTarget"),
        ("PreparingTarget", MINE | {"targetNodeAddress": "x"}, (OLD, new()), "TargetReady"),
        ("TargetReady", MINE | {"startTimestamp": "t"}, (OLD, new()), "Running"),
        ("Running", MINE | {"startTimestamp": "t"}, (OLD, new()), "Running"),
        ("Running", MINE | {"completed": True}, (OLD, new()), "Succeeded"),
        ("Running", MINE | {"completed": True, "failed": True}, (OLD, new()), "Failed"),
        ("Scheduling", None, (OLD, new("Failed")), "Failed"),
        ("Scheduling", None, (OLD,), "Failed"),
        ("Scheduled", {"migrationUid": "m0", "sourcePod": "old", "completed": True, "failed": True}, (OLD, new()),
         "Scheduled"),
        ("Succeeded", None, (), "Succeeded"),
    ],
)  # fmt: skip
def test_phases_follow_one_another(phase: str, state: Object | None, pods: tuple[Object, ...], expected: str) -> None:
    assert follows(seen(migration(phase), vmi(state), *pods)) == expected


def test_a_machine_that_ends_ends_its_migration() -> None:
    assert follows(seen(migration("Running"), vmi(MINE, phase="Succeeded"), OLD, new())) == "Failed"


def test_the_target_is_another_launcher_of_the_same_machine() -> None:
    (made,) = controller.plan(seen(migration("Pending"), vmi(), OLD)).actions
    assert isinstance(made, Create) and made.kind is POD
    meta, spec = made.obj["metadata"], made.obj["spec"]
    assert meta["name"].startswith("virt-launcher-orders-") and meta["name"] != "old"
    assert meta["labels"][JOB] == "m1" and meta["annotations"]["vmpod.io/migration-source"] == "uid-old"
    (rule,) = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["labelSelector"]["matchLabels"] == {"kubevirt.io/created-by": "i1"}


def test_it_waits_its_turn_and_says_so() -> None:
    found = seen(migration("Pending"), vmi(), OLD, crowd="5 machines are on the move")
    plan = controller.plan(found)
    assert plan.actions == () and plan.again_in
    told = conditions.find((controller.status(found, plan) or {})["conditions"], "vmpod.io/Waiting") or {}
    assert (told["reason"], told["message"]) == ("TooManyMigrations", "5 machines are on the move")


def test_a_target_without_a_node_tells_why_and_fails_in_the_end() -> None:
    waits = new("Pending", node="")
    waits["status"]["conditions"] = [condition("PodScheduled", False, reason="Unschedulable", message="no room")]
    found = seen(migration("Scheduling"), vmi(), OLD, waits)
    made = controller.status(found, controller.plan(found)) or {}
    assert (conditions.find(made["conditions"], "vmpod.io/Waiting") or {})["message"] == "no room"
    assert follows(seen(migration("Scheduling"), vmi(), OLD, waits, later_s=301)) == "Failed"


def test_the_hand_over_forgets_an_earlier_move() -> None:
    before = {"migrationUid": "m0", "sourcePod": "older", "targetPod": "old", "completed": True, "endTimestamp": "t"}
    policy = {"metadata": {"name": "p"}, "spec": {"bandwidthPerMigration": "1Mi", "allowPostCopy": True}}
    old = launcher("old", "m0")
    actions = controller.plan(seen(migration("Scheduled"), vmi(before), old, new(), policy=policy)).actions
    mark, told = actions
    assert isinstance(mark, Patch) and mark.patch == {"metadata": {"labels": {controller.TARGET_NODE: "n2"}}}
    assert isinstance(told, Patch) and told.kind is VIRTUALMACHINEINSTANCE and told.subresource == "status"
    state = told.patch["status"]["migrationState"]
    assert {key: state[key] for key in ("migrationUid", "sourcePod", "targetPod", "sourceNode", "targetNode")} == {
        "migrationUid": "m1", "sourcePod": "old", "targetPod": "new", "sourceNode": "n1", "targetNode": "n2"}  # fmt: skip
    assert state["completed"] is None and state["endTimestamp"] is None and state["migrationPolicyName"] == "p"
    assert state["migrationConfiguration"]["bandwidthPerMigration"] == "1Mi"
    assert state["migrationConfiguration"]["allowPostCopy"] is False


@pytest.mark.parametrize(
    ("phase", "state", "lost"),
    [
        ("Succeeded", MINE | {"completed": True}, "old"),
        ("Failed", MINE | {"completed": True, "failed": True}, "new"),
        ("Failed", None, "new"),
    ],
)
def test_the_launcher_without_a_guest_goes(phase: str, state: Object | None, lost: str) -> None:
    actions = controller.plan(seen(migration(phase), vmi(state), OLD, new())).actions
    assert [one.name for one in actions if isinstance(one, Delete)] == [lost]
    assert any(isinstance(one, Patch) and one.patch["metadata"]["finalizers"] == [] for one in actions)


def test_only_the_last_ended_migrations_stay() -> None:
    older = tuple(migration("Succeeded") for _ in range(6))
    for number, one in enumerate(older):
        one["metadata"] |= {"uid": f"o{number}", "name": f"o{number}",
                            "creationTimestamp": rfc3339(EPOCH - timedelta(minutes=number + 1))}  # fmt: skip
    actions = controller.plan(seen(migration("Succeeded"), vmi(), OLD, older=older)).actions
    assert [one.name for one in actions if isinstance(one, Delete)] == ["o4", "o5"]


def test_a_deletion_cancels() -> None:
    begun = seen(migration("Running", deleting=True), vmi(MINE), OLD, new())
    (told,) = controller.plan(begun).actions
    assert isinstance(told, Patch) and told.patch == {"status": {"migrationState": {"abortRequested": True}}}
    assert follows(begun) == "Running"
    early = seen(migration("Scheduling", deleting=True), vmi(), OLD, new("Pending"))
    assert controller.plan(early).actions == () and follows(early) == "Failed"


def test_a_migration_without_a_machine_goes() -> None:
    for phase in ("Running", "Succeeded"):
        (gone,) = controller.plan(seen(migration(phase), None)).actions
        assert isinstance(gone, Delete)
    (freed,) = controller.plan(seen(migration("Running", deleting=True), None)).actions
    assert isinstance(freed, Patch) and freed.patch["metadata"]["finalizers"] == []


def policy(name: str, **selectors: dict[str, str]) -> Object:
    return {"metadata": {"name": name}, "spec": {"selectors": selectors}}


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], None),
        ([policy("all")], None),
        ([policy("a", virtualMachineInstanceSelector={"tier": "db"})], "a"),
        ([policy("b", virtualMachineInstanceSelector={"tier": "web"})], None),
        ([policy("c", namespaceSelector={"team": "x"}), policy("a", virtualMachineInstanceSelector={"tier": "db"})], "a"),
        ([policy("a", virtualMachineInstanceSelector={"tier": "db"}),
          policy("z", virtualMachineInstanceSelector={"tier": "db"}, namespaceSelector={"team": "x"})], "z"),
    ],
)  # fmt: skip
def test_the_policy_that_names_most_applies(policies: list[Object], expected: str | None) -> None:
    machine = vmi()
    machine["metadata"]["labels"] = {"tier": "db"}
    found = migrationpolicies.matching(policies, machine, {"metadata": {"labels": {"team": "x"}}})
    assert (found or {}).get("metadata", {}).get("name") == expected


# evacuation


def leaving(strategy: str = "LiveMigrate", node: str = "n1", movable: bool = True) -> Object:
    made = vmi(evacuationNodeName=node, conditions=[condition("LiveMigratable", movable)])
    made["spec"]["evictionStrategy"] = strategy
    return made


def evacuated(phase: str, ended_s: float = 0) -> Object:
    moment = rfc3339(EPOCH + timedelta(seconds=ended_s))
    made = migration(phase, phaseTransitionTimestamps=[{"phase": phase, "phaseTransitionTimestamp": moment}])
    made["metadata"]["annotations"] = {evacuation.EVACUATION: "n1"}
    return made


@pytest.mark.parametrize(
    ("machine", "migrations", "moves"),
    [
        (leaving(), (), True),
        (leaving("LiveMigrateIfPossible"), (), True),
        (leaving("External"), (), False),
        (leaving(node="n9"), (), False),
        (leaving(movable=False), (), False),
        (leaving(), (migration("Running"),), False),
        (leaving(), (evacuated("Succeeded"),), True),
        (leaving(), (evacuated("Failed"),), False),
        (leaving(), (evacuated("Failed", -21),), True),
        (leaving(), (evacuated("Failed", -21), evacuated("Failed", -60)), False),
    ],
)
def test_a_machine_that_shall_leave_gets_one_migration(machine: Object, migrations: Any, moves: bool) -> None:
    plan = evacuation.plan(evacuation.Seen(machine, migrations, EPOCH))
    assert bool(plan.actions) is moves
    for made in plan.actions:
        assert isinstance(made, Create) and made.kind is VIRTUALMACHINEINSTANCEMIGRATION
        assert made.obj["metadata"]["name"].startswith("kubevirt-evacuation-")
        assert made.obj["metadata"]["annotations"] == {evacuation.EVACUATION: "n1"}


def test_settings_of_the_cluster_and_of_a_policy() -> None:
    cluster = {"migrations": {"progressTimeout": 7, "completionTimeoutPerGiB": 9, "parallelMigrationsPerCluster": 1}}
    policy = {"spec": {"completionTimeoutPerGiB": 11}}
    made = migrationpolicies.configuration(policy, cluster)
    assert (made["progressTimeout"], made["completionTimeoutPerGiB"], made["parallelMigrationsPerCluster"]) == (7, 11, 1)
    assert migrationpolicies.configuration(None) == migrationpolicies.DEFAULTS
