"""The status of one container: what podman shows, in the words of the API."""

from __future__ import annotations

from datetime import timedelta

from vmpod.base import clock
from vmpod.drivers.podman.container import Container
from vmpod.kinds.parts import console_log
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node import pods, restarts
from vmpod.node.seen import ImageState, Seen, init_containers, is_launcher, is_sidecar, is_terminal

CREATING = {"waiting": {"reason": "ContainerCreating"}}
INITIALIZING = {"waiting": {"reason": "PodInitializing"}}


def container_status(seen: Seen, container: Object, *, init: bool) -> Object:
    """An entry of `containerStatuses` or `initContainerStatuses`."""
    name = str(container["name"])
    one = seen.latest(name)
    status: Object = {
        "name": name, "state": _state(seen, container, one, init=init),
        "lastState": _last_state(seen, container, one, init=init),
        "ready": _is_ready(seen, container, one, init=init), "restartCount": one.attempt if one else 0,
        "image": (one.image if one else "") or str(container.get("image", "")),
        "imageID": image_id(one) if one else "", "started": bool(one and pods.is_started(seen, one)),
    }  # fmt: skip
    if one is not None:
        status["containerID"] = container_id(one)
    if container.get("resources"):
        status["resources"] = container["resources"]
    return _kept(seen, status)


def console_log_status(pod: Object, mains: list[Object]) -> list[Object]:
    """The entry of the container that a launcher's log is named by: there while its machine is, and well."""
    if not (is_launcher(pod) and console_log.is_listed(pod) and mains) or "waiting" in mains[0]["state"]:
        return []
    compute, runs = mains[0], "running" in mains[0]["state"]
    state = {key: {**value, "exitCode": 0, "reason": "Completed"} if key == "terminated" else value
             for key, value in compute["state"].items()}  # fmt: skip
    for ended in state.values():
        ended.pop("message", None)
    return [{"name": console_log.CONTAINER, "state": state, "lastState": {}, "ready": runs, "started": runs,
             "restartCount": 0, **{key: compute[key] for key in ("image", "imageID", "containerID") if key in compute}}]


def _kept(seen: Seen, status: Object) -> Object:
    """How a container of an ended pod ended is remembered, also when podman or this process no longer know it."""
    if seen.pod is None or not is_terminal(seen.pod) or "terminated" in status["state"]:
        return status
    former = meta.get(seen.pod, "status", default={})
    rows = (*(former.get("containerStatuses") or ()), *(former.get("initContainerStatuses") or ()))
    ended = (row for row in rows if row.get("name") == status["name"] and "terminated" in (row.get("state") or {}))
    return status if "running" in status["state"] else next(ended, status)


def container_id(one: Container) -> str:
    return f"podman://{one.id}"


def image_id(one: Container) -> str:
    """The image by its content."""
    repository = one.image.rpartition(":")[0] if ":" in one.image.rpartition("/")[2] else one.image
    if one.image_digest and repository:
        return f"{repository.partition('@')[0]}@{one.image_digest}"
    return f"sha256:{one.image_id}" if one.image_id else ""


def _is_ready(seen: Seen, container: Object, one: Container | None, *, init: bool) -> bool:
    if one is None:
        return False
    if init and not is_sidecar(container):
        return one.has_exited and one.exit_code == 0
    return pods.is_ready(seen, one)


def _state(seen: Seen, container: Object, one: Container | None, *, init: bool) -> Object:
    if one is None:
        return _waiting(seen, container, 0)
    if one.is_running:
        return {"running": {"startedAt": clock.rfc3339(one.started or one.created)}}
    if not seen.has_ended(one):
        return CREATING
    if _waits_for_restart(seen, container, one, init=init):
        return _between_attempts(seen, container, one)
    return {"terminated": terminated(seen, one)}


def _waits_for_restart(seen: Seen, container: Object, one: Container, *, init: bool) -> bool:
    """Whether the state to show is that of the next attempt, which is not made yet."""
    pod = seen.pod
    if pod is None or meta.is_deleting(pod) or meta.get(pod, "status", "phase") in ("Succeeded", "Failed"):
        return False
    return restarts.runs_again(seen, container, one, init=init)


def _between_attempts(seen: Seen, container: Object, one: Container) -> Object:
    """Back-off, or what keeps the next attempt from being made; else still the end of this one."""
    if restarts.due(seen, one) > seen.now:
        assert seen.pod is not None
        where = f"{meta.name(seen.pod)}_{meta.namespace(seen.pod)}({meta.uid(seen.pod)})"
        said = f"back-off {_duration(restarts.pause_s(one))} restarting failed container={one.container} pod={where}"
        return {"waiting": {"reason": "CrashLoopBackOff", "message": said}}
    waiting = _waiting(seen, container, one.attempt + 1)
    return waiting if "message" in waiting["waiting"] else {"terminated": terminated(seen, one)}


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _waiting(seen: Seen, container: Object, attempt: int) -> Object:
    name = str(container["name"])
    trouble = seen.memory.creation.get(name)
    if trouble is not None and trouble.attempt == attempt:
        return {"waiting": {"reason": trouble.reason, "message": trouble.message}}
    if (pending := _mounting(seen)) and attempt == 0:
        return {"waiting": pending}
    image = seen.memory.images.get(name)
    if image is not None and image.attempt == attempt and image.state == "failed":
        return {"waiting": _image_trouble(seen, container, image)}
    assert seen.pod is not None
    return INITIALIZING if init_containers(seen.pod) else CREATING


def _mounting(seen: Seen) -> Object:
    """What keeps a machine's card and disks from being ready; other pods only have events about theirs (kubelet)."""
    if seen.pod is None or not is_launcher(seen.pod):
        return {}
    if (trouble := seen.memory.network or seen.memory.mounting) is not None:
        return {"reason": trouble.reason, "message": trouble.message}
    volumes = seen.memory.volumes or {}
    waits = next((f"volume {name}: {one.pending}" for name, one in volumes.items() if name and one.pending), "")
    return {"reason": "FailedMount", "message": waits} if waits else {}


def _image_trouble(seen: Seen, container: Object, image: ImageState) -> Object:
    shown = timedelta(seconds=pods.PULL_FAILURE_SHOWN_S)
    if image.reason == "ErrImagePull" and image.failed_at is not None and seen.now >= image.failed_at + shown:
        said = f'Back-off pulling image "{container.get("image")}": ErrImagePull: {image.message}'
        return {"reason": "ImagePullBackOff", "message": said}
    return {"reason": image.reason, "message": image.message}


def _last_state(seen: Seen, container: Object, one: Container | None, *, init: bool) -> Object:
    if one is None:
        return {}
    shown = _state(seen, container, one, init=init)
    if seen.has_ended(one) and "terminated" not in shown:
        return {"terminated": terminated(seen, one)}
    before = seen.previous(one.container)
    return {"terminated": terminated(seen, before)} if before is not None and seen.has_ended(before) else {}


def terminated(seen: Seen, one: Container) -> Object:
    """How an attempt ended (ContainerStateTerminated)."""
    failed_start = seen.memory.starts.get(one.id) if seen.has_failed_start(one) else None
    code = seen.exit_code(one)
    state: Object = {
        "exitCode": code, "containerID": container_id(one),
        "reason": "OOMKilled" if _was_oom_killed(seen, one) else _reason(one, code),
        "startedAt": clock.rfc3339(one.started) if one.started else None,
        "finishedAt": clock.rfc3339(one.finished or one.created),
    }  # fmt: skip
    message = failed_start.message if failed_start else seen.memory.messages.get(one.id, "")
    if failed_start:
        state["reason"] = "StartError"
    if one.lost:
        state["reason"] = "ContainerStatusUnknown"
        message = "The container could not be located when the pod was terminated"
    if message:
        state["message"] = message
    return state


def _was_oom_killed(seen: Seen, one: Container) -> bool:
    """Whether it was said before: the kernel's log forgets."""
    status = meta.get(seen.pod, "status", default={})
    rows = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    ends = (meta.get(row, key, "terminated", default={}) for row in rows for key in ("state", "lastState"))
    return any(end.get("containerID") == container_id(one) and end.get("reason") == "OOMKilled" for end in ends)


def _reason(one: Container, code: int) -> str:
    if one.oom_killed:
        return "OOMKilled"
    return "Completed" if code == 0 else "Error"
