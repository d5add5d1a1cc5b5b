"""The plan for a pod, by tables and by a small world in which plans are carried out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vmpod.base import clock
from vmpod.drivers.net.attachments import Attachment
from vmpod.drivers.podman.container import ATTEMPT, CONTAINER, POD, Container
from vmpod.model import conditions
from vmpod.model.meta import Object
from vmpod.node import pods
from vmpod.node.actions import (
    Attach,
    CleanUp,
    CreateContainer,
    Detach,
    FinishDeletion,
    HideDisks,
    NodeAction,
    NodePlan,
    PrepareVolumes,
    PullImage,
    RemoveContainer,
    StartContainer,
    StartProbes,
    StopContainer,
)
from vmpod.node.prepared import PreparedVolume
from vmpod.node.seen import BACKOFF, ImageState, Memory, ProbeState, Seen, Trouble
from vmpod.node.status.pod import status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WIRE = Attachment("u", "n", "/run/netns/n", "10.1.0.20", "", "")


def pod(*, inits: tuple[Object, ...] = (), mains: tuple[Object, ...] = (), **spec: Any) -> Object:
    metadata = {"name": "p", "namespace": "default", "uid": "u"} | spec.pop("metadata", {})
    wanted: Object = {"containers": list(mains) or [{"name": "a", "image": "i"}], **spec}
    if inits:
        wanted["initContainers"] = list(inits)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": wanted}


def container(name: str = "a", attempt: int = 0, state: str = "running", code: int = 0, *, age_s: float = 5,
              backoff: int = 0) -> Container:
    started = NOW - timedelta(seconds=age_s)
    return Container(
        id=f"{name}{attempt}", name=f"{name}-{attempt}", image="i:latest", image_id="x", image_digest="",
        labels={POD: "u", CONTAINER: name, ATTEMPT: str(attempt), BACKOFF: str(backoff)}, state=state,
        pid=1 if state == "running" else 0, exit_code=code, oom_killed=False, created=started,
        started=None if state == "created" else started, finished=NOW if state == "exited" else None, log_path="",
        stop_signal=15,
    )


def seen(of: Object | None = None, *containers: Container, **rest: Any) -> Seen:
    memory = rest.pop("memory", Memory(volumes={}, images={"a": ImageState(0, "ready")}))
    return Seen(NOW, of or pod(), tuple(containers), rest.pop("attachment", WIRE), memory, host_ip="10.1.0.1", **rest)


def kinds(plan: NodePlan) -> list[type[NodeAction]]:
    return [type(action) for action in plan.actions]


def deleted(**spec: Any) -> Object:
    stamp = clock.rfc3339(NOW + timedelta(seconds=30))
    return pod(metadata={"deletionTimestamp": stamp, "deletionGracePeriodSeconds": 30}, **spec)


def test_a_new_pod_gets_its_surroundings_first() -> None:
    plan = pods.plan(seen(attachment=None, memory=Memory()))
    assert kinds(plan) == [Attach, PrepareVolumes, PullImage]


def test_then_its_container() -> None:
    assert kinds(pods.plan(seen())) == [CreateContainer, StartContainer]


def test_what_was_made_is_started() -> None:
    assert kinds(pods.plan(seen(None, container(state="created")))) == [StartContainer]


def test_a_running_pod_is_left_alone() -> None:
    plan = pods.plan(seen(None, container()))
    assert plan.actions == () and plan.again_in is None


def test_a_container_with_probes_is_probed() -> None:
    probed = pod(mains=({"name": "a", "image": "i", "readinessProbe": {"tcpSocket": {"port": 1}}},))
    assert kinds(pods.plan(seen(probed, container()))) == [StartProbes]
    ready = replace(seen(probed, container()), probes={"a0": ProbeState(started=True, ready=True)})
    assert pods.plan(ready).actions == ()


def test_a_container_that_fails_its_liveness_probe_is_stopped() -> None:
    probed = pod(mains=({"name": "a", "image": "i", "livenessProbe": {"tcpSocket": {"port": 1}}},))
    ill = replace(seen(probed, container()), probes={"a0": ProbeState(started=True, unhealthy="liveness")})
    (action,) = pods.plan(ill).actions
    assert isinstance(action, StopContainer) and "failed liveness probe" in action.message


def test_the_first_end_is_followed_by_a_new_attempt_at_once() -> None:
    memory = Memory(volumes={}, images={"a": ImageState(1, "ready")})
    made = pods.plan(seen(None, container(state="exited", code=1), memory=memory)).actions[0]
    assert isinstance(made, CreateContainer) and (made.attempt, made.backoff_s) == (1, 10)


def test_the_second_waits() -> None:
    plan = pods.plan(seen(None, container(attempt=1, state="exited", code=1, backoff=10)))
    assert plan.actions == () and plan.again_in is not None and 10 <= plan.again_in < 10.1
    assert plan.events[0].reason == "BackOff"


def test_one_that_lived_long_starts_anew() -> None:
    memory = Memory(volumes={}, images={"a": ImageState(5, "ready")})
    old = container(attempt=4, state="exited", code=1, backoff=160, age_s=700)
    made = pods.plan(seen(None, old, memory=memory)).actions[0]
    assert isinstance(made, CreateContainer) and made.backoff_s == 10


def test_old_attempts_are_removed_but_the_previous_one() -> None:
    attempts = [container(attempt=n, state="exited", code=1, backoff=300) for n in range(4)]
    assert [a.id for a in pods.plan(seen(None, *attempts)).actions if isinstance(a, RemoveContainer)] == ["a0", "a1"]


def test_never_means_never() -> None:
    assert pods.plan(seen(pod(restartPolicy="Never"), container(state="exited", code=1))).actions == ()


def test_a_volume_that_is_not_ready_is_asked_for_again() -> None:
    from pathlib import Path

    volumes = {"v": PreparedVolume(Path("/"), pending="not yet")}
    plan = pods.plan(seen(memory=Memory(volumes=volumes, images={"a": ImageState(0, "ready")})))
    assert kinds(plan)[0] is PrepareVolumes and plan.again_in == pods.VOLUME_PAUSE_S
    assert 'volume "v" : not yet' in plan.events[0].message


def test_a_disk_that_is_lost_ends_what_has_it_open_and_is_shown_again() -> None:
    lost = replace(seen(None, container()), lost_disk=True)
    (stop,) = pods.plan(lost).actions
    assert isinstance(stop, StopContainer) and "lost the disk" in stop.message
    ended = replace(seen(None, container(state="exited")), lost_disk=True)
    assert kinds(pods.plan(ended)) == [PrepareVolumes] and pods.plan(ended).again_in == 0


def test_a_pod_that_has_ended_has_no_disks() -> None:
    over = pod() | {"status": {"phase": "Succeeded"}}
    assert kinds(pods.plan(replace(seen(over, container(state="exited"), attachment=None), has_disks=True))) == [HideDisks]


def test_trouble_waits_for_its_time() -> None:
    trouble = Trouble("CreateContainerConfigError", "x", NOW + timedelta(seconds=3), 0)
    memory = Memory(volumes={}, images={"a": ImageState(0, "ready")}, creation={"a": trouble})
    plan = pods.plan(seen(memory=memory))
    assert plan.actions == () and plan.again_in is not None and plan.again_in > 2.9


def test_deletion_stops_then_cleans_then_finishes() -> None:
    (stop,) = pods.plan(seen(deleted(), container())).actions
    assert isinstance(stop, StopContainer) and stop.deadline == NOW + timedelta(seconds=30)
    under_way = Memory(volumes={}, stopping={"a0": stop.deadline})
    assert pods.plan(seen(deleted(), container(), memory=under_way)).actions == ()
    assert kinds(pods.plan(seen(deleted(), container(state="exited")))) == [CleanUp, FinishDeletion]


def test_a_shorter_grace_period_brings_the_end_forward() -> None:
    later = Memory(volumes={}, stopping={"a0": NOW + timedelta(seconds=300)})
    (stop,) = pods.plan(seen(deleted(), container(), memory=later)).actions
    assert isinstance(stop, StopContainer) and stop.message == ""


def test_leftovers_of_a_pod_without_object_go() -> None:
    plan = pods.plan(Seen(NOW, None, leftovers=("old",)))
    assert plan.actions == (CleanUp("old"),)
    again = pods.plan(replace(seen(), leftovers=("old",)))
    assert kinds(again)[0] is CleanUp


def test_an_ended_pod_leaves_the_network_but_keeps_its_containers() -> None:
    over = pod(restartPolicy="Never") | {"status": {"phase": "Succeeded"}}
    assert kinds(pods.plan(seen(over, container(state="exited")))) == [Detach]


def test_the_active_deadline_ends_a_pod() -> None:
    late = pod(activeDeadlineSeconds=10) | {"status": {"startTime": clock.rfc3339(NOW - timedelta(seconds=11))}}
    look = seen(late, container())
    plan = pods.plan(look)
    assert kinds(plan) == [StopContainer]
    ended = status(seen(late, container(state="exited", code=137)), NodePlan())
    assert ended is not None and (ended["phase"], ended["reason"]) == ("Failed", "DeadlineExceeded")


def test_init_containers_go_one_by_one() -> None:
    both = pod(inits=({"name": "i1", "image": "i"}, {"name": "i2", "image": "i"}))
    memory = Memory(volumes={}, images={name: ImageState(0, "ready") for name in ("i1", "i2", "a")})
    first = pods.plan(seen(both, memory=memory)).actions[0]
    assert isinstance(first, CreateContainer) and first.container == "i1"
    assert pods.plan(seen(both, container("i1"), memory=memory)).actions == ()
    second = pods.plan(seen(both, container("i1", state="exited"), memory=memory)).actions[0]
    assert isinstance(second, CreateContainer) and second.container == "i2"
    shown = status(seen(both, container("i1", state="exited"), memory=memory), NodePlan())
    assert shown is not None and shown["phase"] == "Pending"
    assert not conditions.is_true(shown["conditions"], "Initialized")


def test_sidecars_run_on_and_end_with_the_pod() -> None:
    side = {"name": "s", "image": "i", "restartPolicy": "Always"}
    both = pod(inits=(side,), restartPolicy="Never")
    memory = Memory(volumes={}, images={name: ImageState(0, "ready") for name in ("s", "a")})
    main = pods.plan(seen(both, container("s"), memory=memory)).actions[0]
    assert isinstance(main, CreateContainer) and main.container == "a"
    (end,) = pods.plan(seen(both, container("s"), container("a", state="exited"), memory=memory)).actions
    assert isinstance(end, StopContainer) and end.container == "s"


def shown(look: Seen) -> Object:
    found = status(look, pods.plan(look))
    assert found is not None
    return found


def test_the_status_of_a_running_pod() -> None:
    found = shown(seen(None, container(attempt=2), container(attempt=1, state="exited", code=9)))
    (row,) = found["containerStatuses"]
    assert found["phase"] == "Running" and row["ready"] and row["started"] and row["restartCount"] == 2
    assert row["lastState"]["terminated"]["exitCode"] == 9 and found["podIP"] == "10.1.0.20"
    assert [c["type"] for c in found["conditions"]] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    assert conditions.is_true(found["conditions"], "Ready")


def test_the_status_settles() -> None:
    """Written and looked at again, the status is the same: no write causes another."""
    look = seen(None, container())
    first = shown(look)
    assert look.pod is not None
    assert shown(replace(look, pod=look.pod | {"status": first}, now=NOW + timedelta(seconds=60))) == first


def test_image_trouble_is_shown() -> None:
    bad = ImageState(0, "failed", "ErrImagePull", "no such host", 1, NOW, NOW + timedelta(seconds=10))
    look = seen(memory=Memory(volumes={}, images={"a": bad}))
    assert shown(look)["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull"
    later = shown(replace(look, now=NOW + timedelta(seconds=3)))["containerStatuses"][0]["state"]["waiting"]
    assert later == {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i": ErrImagePull: no such host'}


def test_phases_of_ended_pods() -> None:
    for policy, code, phase in (("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded"),
                                ("OnFailure", 1, "Running"), ("Always", 0, "Running")):
        look = seen(pod(restartPolicy=policy), container(state="exited", code=code))
        assert shown(look)["phase"] == phase, (policy, code)


def test_a_deaf_guest_has_its_own_grace_period_and_not_the_longer_one_of_its_launcher() -> None:
    of = deleted()
    of["metadata"] |= {"labels": {"kubevirt.io": "virt-launcher"}}
    for own_s, left_s in ((3, 3), (0, 0), (60, 30)):
        machine = {"spec": {"terminationGracePeriodSeconds": own_s}}
        (stop,) = [one for one in pods.plan(seen(of, container(), machine=machine)).actions if isinstance(one, StopContainer)]
        assert stop.deadline == NOW + timedelta(seconds=left_s)


@dataclass
class World:
    """A host on which every action succeeds, and containers end as they are told to."""

    pod: Object
    codes: list[int]
    now: datetime = NOW
    attached: bool = False
    containers: dict[str, Container] = field(default_factory=dict)
    images: dict[str, ImageState] = field(default_factory=dict)
    volumes: dict[str, PreparedVolume] | None = None
    finished: bool = False
    made: int = 0

    def look(self) -> Seen:
        memory = Memory(images=dict(self.images), volumes=self.volumes)
        return Seen(self.now, self.pod, tuple(self.containers.values()), WIRE if self.attached else None, memory)

    def turn(self) -> NodePlan:
        plan = pods.plan(self.look())
        for action in plan.actions:
            self.apply(action)
        found = status(self.look(), plan)
        if found is not None:
            self.pod = self.pod | {"status": found}
        return plan

    def apply(self, action: NodeAction) -> None:
        match action:
            case Attach():
                self.attached = True
            case Detach():
                self.attached = False
            case PrepareVolumes():
                self.volumes = {}
            case PullImage(_, name, attempt):
                self.images[name] = ImageState(attempt, "ready")
            case CreateContainer(_, name, attempt, backoff):
                fresh = replace(container(name, attempt, "created", backoff=backoff), created=self.now)
                assert fresh.id not in self.containers
                self.containers[fresh.id] = fresh
            case StartContainer(_, name, attempt):
                one = self.containers[f"{name}{attempt}"]
                self.containers[one.id] = replace(one, state="running", started=self.now, pid=1)
            case StopContainer(_, _, id):
                self.end(id, 143)
            case RemoveContainer(id, _):
                del self.containers[id]
            case CleanUp():
                self.containers.clear()
                self.attached = False
            case FinishDeletion():
                self.finished = True

    def end(self, id: str, code: int) -> None:
        one = self.containers[id]
        self.containers[id] = replace(one, state="exited", exit_code=code, finished=self.now, pid=0)

    def settle(self) -> NodePlan:
        for _ in range(60):
            plan = self.turn()
            if self.finished or not plan.actions:
                return plan
        raise AssertionError(f"no end: {self.turn()}")


policies = st.sampled_from(["Always", "OnFailure", "Never"])


@given(policies, st.integers(0, 2), st.integers(1, 2), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_plans_converge_and_deletion_ends(policy: str, inits: int, mains: int, ends: list[tuple[int, int]]) -> None:
    of = pod(
        inits=tuple({"name": f"i{n}", "image": "i"} for n in range(inits)),
        mains=tuple({"name": f"m{n}", "image": "i"} for n in range(mains)), restartPolicy=policy,
    )
    world = World(of, [])
    world.settle()
    for which, code in ends:
        running = [one for one in world.containers.values() if one.is_running]
        if running:
            world.end(running[which % len(running)].id, code)
        names = [one.container for one in world.containers.values() if one.is_running]
        assert len(names) == len(set(names)), "two attempts of one container run"
        world.settle()
        world.now += timedelta(seconds=400)
        world.settle()
        for name in {one.container for one in world.containers.values()}:
            assert len([one for one in world.containers.values() if one.container == name]) <= pods.KEPT_ATTEMPTS
    stamp = clock.rfc3339(world.now)
    world.pod = world.pod | {"metadata": world.pod["metadata"] | {"deletionTimestamp": stamp}}
    world.settle()
    assert world.finished and not world.containers and not world.attached


def test_an_ended_pod_keeps_how_its_containers_ended_when_nobody_else_knows() -> None:
    end = {"terminated": {"exitCode": 128, "reason": "StartError"}}
    former = {"phase": "Failed", "containerStatuses": [{"name": "a", "state": end, "ready": False, "restartCount": 2}]}
    for containers in ((), (container(state="created"),)):
        told = status(seen({**pod(), "status": former}, *containers), NodePlan())
        assert told is not None
        assert (told["phase"], told["containerStatuses"][0]["state"]) == ("Failed", end)


def test_out_of_memory_is_remembered() -> None:
    end = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "containerID": "podman://a0"}}
    former = {"phase": "Failed", "containerStatuses": [{"name": "a", "state": end, "ready": False}]}
    told = status(seen({**pod(restartPolicy="Never"), "status": former}, container(state="exited", code=137)), NodePlan())
    assert told is not None
    assert told["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_an_image_that_came_during_back_off_is_used_at_once() -> None:
    failed = ImageState(0, "failed", "ErrImagePull", "no", 1, NOW - timedelta(seconds=11), NOW)
    plan = pods.plan(seen(memory=Memory(volumes={}, images={"a": failed})))
    assert kinds(plan) == [PullImage]
    assert plan.again_in == 0
