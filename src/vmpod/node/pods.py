"""Pods of this node: what to do next, decided from all that is known of one pod (as kubelet's SyncPod decides).

The effects are in `node.work`, the status in `node.status.pod`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vmpod.base import clock
from vmpod.drivers.net.attachments import Attachment
from vmpod.drivers.podman.container import Container
from vmpod.kinds import POD
from vmpod.kinds.parts.migration import is_awaiting
from vmpod.model import conditions, meta
from vmpod.model.meta import Object
from vmpod.node import restarts
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
    Rewire,
    RunPostStart,
    StartContainer,
    StartProbes,
    StopContainer,
    StopProbes,
    TellMachine,
    TellNetworks,
)
from vmpod.node.seen import (
    IMAGE,
    Seen,
    find_container,
    grace_s,
    init_containers,
    is_launcher,
    is_sidecar,
    is_terminal,
    main_containers,
    spec,
    uses_host_network,
)
from vmpod.node.translate import networks
from vmpod.reconcile.actions import Note

KIND = POD
VOLUME_PAUSE_S = 1.0
PULL_FAILURE_SHOWN_S = 2.0  # so long a failed pull is ErrImagePull, then ImagePullBackOff
_GUEST_GRACE_S = 30  # KubeVirt's terminationGracePeriodSeconds where none is set
KEPT_ATTEMPTS = 2  # the newest and the one that `kubectl logs --previous` shows


@dataclass
class _Draft:
    """A plan being written."""

    actions: list[NodeAction] = field(default_factory=list)
    events: list[Note] = field(default_factory=list)
    again_in: float | None = None

    def add(self, *actions: NodeAction) -> None:
        self.actions += actions

    def again(self, seconds: float) -> None:
        wanted = max(seconds, 0.0)
        self.again_in = wanted if self.again_in is None else min(self.again_in, wanted)

    def again_at(self, seen: Seen, moment: datetime) -> None:
        self.again((moment - seen.now).total_seconds() + 0.01)

    def done(self) -> NodePlan:
        return NodePlan(tuple(self.actions), self.again_in, tuple(self.events))


def plan(seen: Seen) -> NodePlan:
    """The next safe steps for a pod, and for what is left of former pods of its name."""
    draft = _Draft()
    draft.add(*(CleanUp(uid) for uid in seen.leftovers))
    pod = seen.pod
    if pod is None:
        return draft.done()
    draft.add(*_probes(seen, pod), *_machine_ends(seen, pod))
    if meta.is_deleting(pod):
        _end(seen, pod, draft)
    elif is_terminal(pod) or is_overdue(seen):
        _wind_down(seen, pod, draft)
    else:
        _run(seen, pod, draft)
    return draft.done()


# --- the end of a pod -------------------------------------------------------------------------------------


def _end(seen: Seen, pod: Object, draft: _Draft) -> None:
    """Deletion: everything stops within the grace period; then nothing is left, then the object goes."""
    deadline = _ends_at(seen, pod)
    running = [one for one in seen.containers if one.is_running]
    for one in running:
        _stop(seen, pod, one, deadline, f"Stopping container {one.container}", draft)
    if running:
        draft.again_at(seen, max(deadline, seen.now) + timedelta(seconds=5))
        return
    draft.add(CleanUp(seen.uid), FinishDeletion(pod))


def _ends_at(seen: Seen, pod: Object) -> datetime:
    """When what still runs of a deleted pod is killed.

    A launcher is given more time than its guest (KubeVirt: 15 s more); here nothing of it outlives the guest, so
    one that is deaf to its power button ends when its own grace period is over.
    """
    deadline = clock.parse(str(meta.metadata(pod)["deletionTimestamp"]))
    own = meta.get(seen.machine, "spec", "terminationGracePeriodSeconds", default=_GUEST_GRACE_S)
    if seen.machine is None or not is_launcher(pod):
        return deadline
    return min(deadline, deadline - timedelta(seconds=grace_s(pod)) + timedelta(seconds=int(own)))


def is_overdue(seen: Seen) -> bool:
    """Whether activeDeadlineSeconds are over (kubelet: reason DeadlineExceeded)."""
    pod = seen.pod
    limit, started = meta.get(pod, "spec", "activeDeadlineSeconds"), meta.get(pod, "status", "startTime")
    if limit is None or started is None:
        return False
    return seen.now >= clock.parse(started) + timedelta(seconds=int(limit))


def _wind_down(seen: Seen, pod: Object, draft: _Draft) -> None:
    """An ended pod keeps its containers for their logs; nothing runs, its address and its disks are free."""
    deadline = seen.now + timedelta(seconds=grace_s(pod))
    running = [one for one in seen.containers if one.is_running]
    if is_overdue(seen) and not is_terminal(pod):
        why = "Pod was active on the node longer than the specified deadline"
        draft.events.append(Note("Normal", "DeadlineExceeded", why, pod))
    for one in running:
        _stop(seen, pod, one, deadline, f"Stopping container {one.container}", draft)
    if not running and is_terminal(pod) and seen.attachment is not None:
        draft.add(Detach(seen.uid))
    if not running and is_terminal(pod) and seen.has_disks:
        draft.add(HideDisks(seen.uid))


def _stop(seen: Seen, pod: Object, one: Container, deadline: datetime, message: str, draft: _Draft) -> None:
    before = seen.memory.stopping.get(one.id)
    if before is None:
        draft.add(StopContainer(pod, one.container, one.id, deadline, message))
    elif deadline < before - timedelta(seconds=1):
        draft.add(StopContainer(pod, one.container, one.id, deadline, ""))


def _probes(seen: Seen, pod: Object) -> Iterator[NodeAction]:
    """Probes follow the containers that run; a pod that is being deleted is not probed for life any more."""
    running = {one.id: one for one in seen.containers if one.is_running and one.id not in seen.memory.stopping}
    for id in seen.probes:
        if id not in running:
            yield StopProbes(id)
    for id, one in running.items():
        if id not in seen.probes and not meta.is_deleting(pod) and has_probes(seen, one.container):
            yield StartProbes(pod, one.container, id, _was_ready(pod, one))


def _machine_ends(seen: Seen, pod: Object) -> Iterator[NodeAction]:
    for one in seen.containers:
        if is_launcher(pod) and seen.has_ended(one) and one.id not in seen.memory.told:
            yield TellMachine(pod, one.id, seen.exit_code(one))


def has_probes(seen: Seen, name: str) -> bool:
    """Whether this container is probed; a machine's probes are written in its VMI and are no matter of the pod's."""
    assert seen.pod is not None
    source = {} if is_launcher(seen.pod) else find_container(seen.pod, name)
    return any(source.get(kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe"))


def _was_ready(pod: Object, one: Container) -> bool:
    rows = (*meta.get(pod, "status", "containerStatuses", default=()),
            *meta.get(pod, "status", "initContainerStatuses", default=()))
    return any(row.get("containerID") == f"podman://{one.id}" and row.get("ready") for row in rows)


# --- the life of a pod ------------------------------------------------------------------------------------


def _run(seen: Seen, pod: Object, draft: _Draft) -> None:
    _prune(seen, pod, draft)
    _deadline(seen, pod, draft)
    if seen.lost_disk:
        _show_again(seen, pod, draft)
        return
    if not _is_set_up(seen, pod, draft):
        return
    for container in init_containers(pod):
        if not _step_init(seen, pod, container, draft):
            return
    for container in main_containers(pod):
        _step(seen, pod, container, draft, init=False)
    _end_sidecars(seen, pod, draft)


def _prune(seen: Seen, pod: Object, draft: _Draft) -> None:
    for container in (*init_containers(pod), *main_containers(pod)):
        attempts = sorted(seen.attempts(str(container["name"])), key=lambda one: one.attempt)
        draft.add(*(RemoveContainer(one.id, seen.uid) for one in attempts[:-KEPT_ATTEMPTS] if not one.is_running))


def _deadline(seen: Seen, pod: Object, draft: _Draft) -> None:
    limit, started = spec(pod).get("activeDeadlineSeconds"), meta.get(pod, "status", "startTime")
    if limit is not None and started is not None:
        draft.again_at(seen, clock.parse(started) + timedelta(seconds=int(limit)))


def _is_set_up(seen: Seen, pod: Object, draft: _Draft) -> bool:
    """Network, volumes and the first image are asked for at the same time; whether network and volumes are there."""
    ready = True
    if seen.attachment is None and not uses_host_network(pod):
        ready = False
        trouble = seen.memory.network
        if trouble is not None and trouble.retry_at > seen.now:
            draft.again_at(seen, trouble.retry_at)
        else:
            draft.add(Attach(pod))
            draft.again(0)
    elif seen.attachment is not None:
        told = networks.status_text(pod, seen.attachment)
        if told and meta.annotations(pod).get(networks.STATUS) != told:
            draft.add(TellNetworks(pod, told))
        _rewire(seen, pod, seen.attachment, draft)
    volumes = seen.memory.volumes
    if volumes is None:
        ready = False
        draft.add(PrepareVolumes(pod))
        draft.again(0)
    elif any(volume.pending for volume in volumes.values()):
        ready = False
        trouble = seen.memory.mounting
        if trouble is not None and trouble.retry_at > seen.now:
            draft.again_at(seen, trouble.retry_at)
        else:
            draft.add(PrepareVolumes(pod))
            draft.again(VOLUME_PAUSE_S)
        for name, volume in volumes.items():
            if name and volume.pending:
                said = f'MountVolume.SetUp failed for volume "{name}" : {volume.pending}'
                draft.events.append(Note("Warning", "FailedMount", said, pod))
    if not ready and not seen.containers:
        for container in (init_containers(pod) or main_containers(pod))[:8]:
            _has_image(seen, pod, container, 0, draft)
    return ready


def _show_again(seen: Seen, pod: Object, draft: _Draft) -> None:
    """Containers keep what was mounted when they were made; so they end, and begin anew as their pod's policy says."""
    running = [one for one in seen.containers if one.is_running]
    for one in running:
        said = f"Container {one.container} lost the disk of a claim: the process that showed it has ended"
        _stop(seen, pod, one, seen.now + timedelta(seconds=grace_s(pod)), said, draft)
    if not running:
        draft.add(PrepareVolumes(pod))
        draft.again(0)


def _rewire(seen: Seen, pod: Object, attachment: Attachment, draft: _Draft) -> None:
    """A machine's cards on further networks come and go while it runs."""
    if not (is_launcher(pod) and networks.differs(pod, attachment)):
        return
    trouble = seen.memory.network
    if trouble is not None and trouble.retry_at > seen.now:
        draft.again_at(seen, trouble.retry_at)
    else:
        draft.add(Rewire(pod))
        draft.again(0)


def has_begun(seen: Seen, pod: Object) -> bool:
    """Whether a main container was ever made: then the init containers are over, whatever is left of them."""
    return any(seen.latest(str(container["name"])) for container in main_containers(pod))


def is_initialized(seen: Seen, pod: Object, container: Object) -> bool:
    """Whether the pod need not wait for this init container any more."""
    if is_sidecar(container):
        one = seen.latest(str(container["name"]))
        return one is not None and one.is_running and is_started(seen, one)
    if has_begun(seen, pod):
        return True
    one = seen.latest(str(container["name"]))
    return one is not None and one.has_exited and one.exit_code == 0


def is_started(seen: Seen, one: Container) -> bool:
    """Whether a running container has passed its post-start hook and startup probe."""
    if not one.is_running or one.id in seen.memory.hooks:
        return False
    if one.id in seen.probes:
        return seen.probes[one.id].started
    return not has_probes(seen, one.container)


def _step_init(seen: Seen, pod: Object, container: Object, draft: _Draft) -> bool:
    """Bring one init container on; whether the next one may begin."""
    if is_sidecar(container):
        _step(seen, pod, container, draft, init=True)
        return is_initialized(seen, pod, container) or has_begun(seen, pod)
    if is_initialized(seen, pod, container):
        return True
    _step(seen, pod, container, draft, init=True)
    return False


def _step(seen: Seen, pod: Object, container: Object, draft: _Draft, *, init: bool) -> None:
    name = str(container["name"])
    one = seen.latest(name)
    if one is None:
        _make(seen, pod, container, 0, None, draft)
    elif one.is_running:
        _watch_over(seen, pod, container, one, draft)
    elif seen.has_ended(one):
        _again(seen, pod, container, one, draft, init=init)
    else:
        draft.add(*_start(pod, container, one.attempt, one.id))
        draft.again(0)


def _watch_over(seen: Seen, pod: Object, container: Object, one: Container, draft: _Draft) -> None:
    deadline = seen.now + timedelta(seconds=grace_s(pod))
    state, name = seen.probes.get(one.id), one.container
    if one.id in seen.memory.stopping:
        return
    if seen.memory.hooks.get(one.id) == "failed":
        _stop(seen, pod, one, deadline, "FailedPostStartHook", draft)
    elif state is not None and state.unhealthy:
        probe = meta.get(container, f"{state.unhealthy}Probe", default={})
        own = probe.get("terminationGracePeriodSeconds")
        deadline = deadline if own is None else seen.now + timedelta(seconds=int(own))
        said = f"Container {name} failed {state.unhealthy} probe, will be restarted"
        _stop(seen, pod, one, deadline, said, draft)
    elif not is_launcher(pod) and one.labels.get(IMAGE, container.get("image")) != container.get("image"):
        said = f"Container {name} definition changed, will be restarted"
        _stop(seen, pod, one, deadline, said, draft)


def _again(seen: Seen, pod: Object, container: Object, one: Container, draft: _Draft, *, init: bool) -> None:
    if not restarts.runs_again(seen, container, one, init=init):
        return
    if is_sidecar(container) and _has_finished(seen, pod):
        return
    due = restarts.due(seen, one)
    if due > seen.now:
        said = f"Back-off restarting failed container {one.container} in pod {_pod_in_words(pod)}"
        draft.events.append(Note("Warning", "BackOff", said, pod))
        draft.again_at(seen, due)
        return
    _make(seen, pod, container, one.attempt + 1, one, draft)


def _pod_in_words(pod: Object) -> str:
    return f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"


def _make(
    seen: Seen, pod: Object, container: Object, attempt: int, before: Container | None, draft: _Draft
) -> None:
    """One attempt, once its image is here."""
    name = str(container["name"])
    trouble = seen.memory.creation.get(name)
    if trouble is not None and trouble.attempt == attempt and trouble.retry_at > seen.now:
        draft.again_at(seen, trouble.retry_at)
        return
    if not _has_image(seen, pod, container, attempt, draft):
        return
    draft.add(CreateContainer(pod, name, attempt, restarts.next_backoff_s(seen, before)))
    draft.add(*_start(pod, container, attempt, ""))
    draft.again(0)


def _start(pod: Object, container: Object, attempt: int, id: str) -> Iterator[NodeAction]:
    name = str(container["name"])
    yield StartContainer(pod, name, attempt, id)
    if meta.get(container, "lifecycle", "postStart"):
        yield RunPostStart(pod, name)


def _has_image(seen: Seen, pod: Object, container: Object, attempt: int, draft: _Draft) -> bool:
    """Whether the image is ready for this attempt; asks for it where it is not."""
    if is_launcher(pod):
        return True
    name = str(container["name"])
    image = seen.memory.images.get(name)
    if image is None or image.attempt != attempt:
        draft.add(PullImage(pod, name, attempt))
        draft.again(0)
        return False
    if image.state == "failed":
        _pull_again(seen, pod, container, attempt, draft)
    return image.state == "ready"


def _pull_again(seen: Seen, pod: Object, container: Object, attempt: int, draft: _Draft) -> None:
    image = seen.memory.images[str(container["name"])]
    if image.retry_at is None or image.failed_at is None:
        return
    shown_until = image.failed_at + timedelta(seconds=PULL_FAILURE_SHOWN_S)
    if seen.now >= image.retry_at:
        draft.add(PullImage(pod, str(container["name"]), attempt))
        draft.again(0)
    elif seen.now < shown_until:
        draft.again_at(seen, shown_until)
    else:
        draft.again_at(seen, image.retry_at)
        if image.reason == "ErrImagePull":
            said = f'Back-off pulling image "{container.get("image")}"'
            draft.events += [
                Note("Normal", "BackOff", said, pod), Note("Warning", "Failed", "Error: ImagePullBackOff", pod),
            ]


def _has_finished(seen: Seen, pod: Object) -> bool:
    """Whether all main containers have ended and stay so."""
    for container in main_containers(pod):
        one = seen.latest(str(container["name"]))
        if one is None or not seen.has_ended(one) or restarts.runs_again(seen, container, one, init=False):
            return False
    return True


def _end_sidecars(seen: Seen, pod: Object, draft: _Draft) -> None:
    if not _has_finished(seen, pod):
        return
    deadline = seen.now + timedelta(seconds=grace_s(pod))
    for container in init_containers(pod):
        one = seen.latest(str(container["name"]))
        if one is not None and one.is_running:
            _stop(seen, pod, one, deadline, f"Stopping container {one.container}", draft)


def is_ready(seen: Seen, one: Container) -> bool:
    """Whether traffic may be sent to this container: running, started, readiness probe passed.

    The one container of a launcher is as ready as its machine.
    """
    assert seen.pod is not None
    if not is_started(seen, one):
        return False
    if is_launcher(seen.pod):
        is_here = not is_awaiting(seen.machine, seen.pod)
        return is_here and conditions.is_true(meta.get(seen.machine, "status", "conditions", default=[]), "Ready")
    return seen.probes[one.id].ready if one.id in seen.probes else True
