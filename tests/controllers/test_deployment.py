"""Deployments, with their ReplicaSets and pods in a small world."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmpod.base.clock import rfc3339
from vmpod.controllers import deployment as controller
from vmpod.controllers import garbage, replicaset
from vmpod.kinds import DEPLOYMENT, POD, REPLICASET
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.testing.objects import condition, deployment
from vmpod.testing.world import World

KEY = ("default", "web")
CONTROLLERS: dict[ModuleType, dict[str, Any]] = {controller: {}, replicaset: {}, garbage: {}}


class Kubelet:
    """Pods become ready, unless their image is broken; pods on their way out end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.least = 10**6
        self.most = 0

    def __call__(self) -> None:
        found = self.world.list(POD)
        self.most = max(self.most, len([pod for pod in found if not meta.is_deleting(pod)]))
        for pod in found:
            image = pod["spec"]["containers"][0]["image"]
            if meta.is_deleting(pod):
                self.world.delete(POD, "default", meta.name(pod), grace_s=0)
            elif meta.get(pod, "status", "phase") == "Pending" and image != "broken":
                self._start(pod)
        ready = [pod for pod in self.world.list(POD) if meta.get(pod, "status", "phase") == "Running"]
        self.least = min(self.least, len(ready))

    def _start(self, pod: Object) -> None:
        ready = condition("Ready") | {"lastTransitionTime": rfc3339(self.world.now)}
        self.world.update(POD, "default", meta.name(pod), {"spec": {"nodeName": "n1"}})
        self.world.update(POD, "default", meta.name(pod), {"status": {"phase": "Running", "conditions": [ready]}}, "status")


def started(**spec: Any) -> tuple[World, Kubelet]:
    world = World()
    kubelet = Kubelet(world)
    world.put(DEPLOYMENT, deployment(**spec))
    settle(world, kubelet)
    return world, kubelet


def settle(world: World, kubelet: Kubelet) -> None:
    kubelet.least, kubelet.most = 10**6, 0
    world.settle(CONTROLLERS, kubelet)


def change(world: World, **spec: Any) -> None:
    world.update(DEPLOYMENT, *KEY, {"spec": spec})


def image(name: str) -> Object:
    return {"spec": {"containers": [{"name": "web", "image": name}]}}


def present(world: World) -> Object:
    found = world.get(DEPLOYMENT, *KEY)
    assert found is not None
    return found


def progressing(world: World) -> tuple[str, str]:
    found = conditions.find(present(world)["status"]["conditions"], "Progressing")
    assert found is not None
    return found["status"], found["reason"]


def images(world: World) -> list[str]:
    return [pod["spec"]["containers"][0]["image"] for pod in world.list(POD)]


def sizes(world: World) -> list[int]:
    return [one["spec"]["replicas"] for one in sorted(world.list(REPLICASET), key=_revision)]


def _revision(replicaset: Object) -> int:
    return int(meta.annotations(replicaset)["deployment.kubernetes.io/revision"])


def test_it_comes_up() -> None:
    world, _ = started(replicas=3)
    status = present(world)["status"]
    counts = {key: status[key] for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
    assert set(counts.values()) == {3}
    assert status["observedGeneration"] == 1
    assert "unavailableReplicas" not in status
    assert conditions.is_true(status["conditions"], "Available")
    assert progressing(world) == ("True", "NewReplicaSetAvailable")
    (made,) = world.list(REPLICASET)
    assert made["spec"]["selector"]["matchLabels"]["pod-template-hash"] in meta.name(made)
    assert meta.annotations(present(world))["deployment.kubernetes.io/revision"] == "1"


def test_a_rolling_update_stays_within_its_bounds() -> None:
    world, kubelet = started(replicas=4)
    change(world, template=image("web:2"))
    settle(world, kubelet)
    assert images(world) == ["web:2"] * 4
    assert sizes(world) == [0, 4]
    assert (kubelet.least, kubelet.most) == (4, 5)
    assert progressing(world) == ("True", "NewReplicaSetAvailable")
    reasons = {note.reason for note in world.notes if note.about["kind"] == "Deployment"}
    assert reasons == {"ScalingReplicaSet"}


def test_a_broken_image_stops_the_rollout_and_is_told_after_the_deadline() -> None:
    world, kubelet = started(replicas=4, progressDeadlineSeconds=60)
    change(world, template=image("broken"))
    settle(world, kubelet)
    assert kubelet.least >= 3
    assert progressing(world) == ("True", "ReplicaSetUpdated")
    plan = world.turn(controller, KEY)
    assert plan is not None
    assert plan.again_in == 60
    world.pass_time(61)
    settle(world, kubelet)
    assert progressing(world) == ("False", "ProgressDeadlineExceeded")
    change(world, template=image("web:1"))
    settle(world, kubelet)
    assert progressing(world) == ("True", "NewReplicaSetAvailable")


def test_a_rollback_uses_the_old_replicaset_with_a_new_revision() -> None:
    world, kubelet = started()
    first = meta.name(world.list(REPLICASET)[0])
    change(world, template=image("web:2"))
    settle(world, kubelet)
    change(world, template=image("web:1"))
    settle(world, kubelet)
    assert len(world.list(REPLICASET)) == 2
    found = world.get(REPLICASET, "default", first)
    assert found is not None
    assert found["spec"]["replicas"] == 2
    assert meta.annotations(found)["deployment.kubernetes.io/revision"] == "3"
    assert meta.annotations(found)["deployment.kubernetes.io/revision-history"] == "1"
    assert meta.annotations(present(world))["deployment.kubernetes.io/revision"] == "3"


def test_recreate_never_runs_both_revisions() -> None:
    world, kubelet = started(replicas=3, strategy={"type": "Recreate"})
    change(world, template=image("web:2"))
    for _ in range(20):
        for key in (KEY,):
            world.turn(controller, key)
        for one in world.list(REPLICASET):
            world.turn(replicaset, ("default", meta.name(one)))
        kubelet()
        assert len(set(images(world))) <= 1
    assert images(world) == ["web:2"] * 3


def test_scaling_changes_no_revision() -> None:
    world, kubelet = started(replicas=1)
    change(world, replicas=5)
    settle(world, kubelet)
    assert len(images(world)) == 5
    change(world, replicas=0)
    settle(world, kubelet)
    assert images(world) == []
    assert len(world.list(REPLICASET)) == 1


def test_a_paused_one_scales_but_does_not_roll() -> None:
    world, kubelet = started(replicas=2)
    change(world, paused=True, replicas=3, template=image("web:2"))
    settle(world, kubelet)
    assert images(world) == ["web:1"] * 3
    assert progressing(world) == ("Unknown", "DeploymentPaused")
    change(world, paused=None)
    settle(world, kubelet)
    assert images(world) == ["web:2"] * 3
    assert progressing(world) == ("True", "NewReplicaSetAvailable")


def test_old_revisions_beyond_the_limit_are_removed() -> None:
    world, kubelet = started(replicas=1, revisionHistoryLimit=2)
    for number in range(2, 7):
        change(world, template=image(f"web:{number}"))
        settle(world, kubelet)
        world.pass_time(1)
    assert sizes(world) == [0, 0, 1]


def test_pods_without_their_owner_are_adopted_again() -> None:
    world, kubelet = started(replicas=2)
    world.delete(DEPLOYMENT, *KEY, propagation="Orphan")
    world.pass_time(5)
    settle(world, kubelet)
    pods = {meta.uid(pod) for pod in world.list(POD)}
    world.put(DEPLOYMENT, deployment())
    settle(world, kubelet)
    assert {meta.uid(pod) for pod in world.list(POD)} == pods
    assert len(world.list(REPLICASET)) == 1


def test_deletion_takes_everything_along() -> None:
    world, kubelet = started()
    world.pass_time(5)
    world.delete(DEPLOYMENT, *KEY)
    settle(world, kubelet)
    assert world.list(REPLICASET) == world.list(POD) == []


def test_a_foreground_deletion_ends_last() -> None:
    world, kubelet = started()
    world.delete(DEPLOYMENT, *KEY, propagation="Foreground")
    world.settle({garbage: {}, controller: {}})
    assert world.get(DEPLOYMENT, *KEY) is not None
    settle(world, kubelet)
    assert world.list(DEPLOYMENT) == world.list(REPLICASET) == world.list(POD) == []


_CHANGES = st.one_of(
    st.integers(0, 4).map(lambda size: {"replicas": size}),
    st.sampled_from(["web:1", "web:2", "broken"]).map(lambda name: {"template": image(name)}),
    st.sampled_from([True, None]).map(lambda word: {"paused": word}),
    st.sampled_from([{"type": "Recreate", "rollingUpdate": None}, {"type": "RollingUpdate"}]).map(
        lambda strategy: {"strategy": strategy}),
)  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_CHANGES, min_size=1, max_size=5), st.integers(0, 3))
def test_whatever_is_changed_it_settles_on_the_wish(changes: list[Object], turns: int) -> None:
    world, kubelet = started(replicas=2)
    for wish in changes:
        change(world, **wish)
        for _ in range(turns):
            world.turn(controller, KEY)
            for one in world.list(REPLICASET):
                world.turn(replicaset, ("default", meta.name(one)))
            kubelet()
    settle(world, kubelet)
    change(world, paused=None, template=image("web:9"))
    settle(world, kubelet)
    wanted = present(world)["spec"]["replicas"]
    assert images(world) == ["web:9"] * wanted
    assert present(world)["status"].get("availableReplicas", 0) == wanted
    assert progressing(world) == ("True", "NewReplicaSetAvailable")
