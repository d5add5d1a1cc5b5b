"""All that a plan for a pod may look at: the object, what podman shows, and what only this process knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vmpod.drivers.net.attachments import Attachment
from vmpod.drivers.podman.container import Container
from vmpod.kinds.parts import console_log
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node.prepared import PreparedVolume

BACKOFF = "io.vmpod.backoff"  # label: seconds that the end of this attempt keeps the next one waiting
IMAGE = "io.vmpod.image"  # label: the image as the pod wrote it when the attempt was made
LAUNCHER = "virt-launcher"


@dataclass(frozen=True)
class ImageState:
    """Where the image of an attempt stands: pulling, ready or failed (then told why, and when to try again)."""

    attempt: int
    state: str
    reason: str = ""
    message: str = ""
    failures: int = 0
    failed_at: datetime | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True)
class Trouble:
    """A step that did not work, why, and when to try it again."""

    reason: str
    message: str
    retry_at: datetime
    attempt: int = -1


@dataclass(frozen=True)
class ProbeState:
    """What the probes of a running container say. `unhealthy` is the name of the probe that wants it restarted."""

    started: bool = False
    ready: bool = False
    unhealthy: str = ""


@dataclass(frozen=True)
class Memory:
    """What only this process knows of a pod, as it is now. Lost with the process, and harmless to lose."""

    images: Mapping[str, ImageState] = field(default_factory=dict)
    volumes: Mapping[str, PreparedVolume] | None = None
    mounting: Trouble | None = None  # what last kept all volumes from being made
    creation: Mapping[str, Trouble] = field(default_factory=dict)
    starts: Mapping[str, Trouble] = field(default_factory=dict)  # by container id
    network: Trouble | None = None
    stopping: Mapping[str, datetime] = field(default_factory=dict)  # container id → when it is killed
    hooks: Mapping[str, str] = field(default_factory=dict)  # container id → running | failed
    messages: Mapping[str, str] = field(default_factory=dict)  # container id → termination message
    told: frozenset[str] = frozenset()  # ids of ended containers of which the machine knows


@dataclass(frozen=True)
class Seen:
    """`leftovers` are uids of pods of this name that have no object any more, but something here."""

    now: datetime
    pod: Object | None
    containers: tuple[Container, ...] = ()
    attachment: Attachment | None = None
    memory: Memory = Memory()
    probes: Mapping[str, ProbeState] = field(default_factory=dict)
    leftovers: tuple[str, ...] = ()
    machine: Object | None = None
    host_ip: str = ""
    has_disks: bool = False  # disks of claims are shown to it as files
    lost_disk: bool = False  # what served one has ended

    @property
    def uid(self) -> str:
        return meta.uid(self.pod) if self.pod else ""

    def latest(self, name: str) -> Container | None:
        """The newest attempt of a container."""
        return max(self.attempts(name), key=lambda one: one.attempt, default=None)

    def previous(self, name: str) -> Container | None:
        """The attempt before the newest."""
        attempts = sorted(self.attempts(name), key=lambda one: one.attempt)
        return attempts[-2] if len(attempts) > 1 else None

    def attempts(self, name: str) -> list[Container]:
        return [one for one in self.containers if one.container == name]

    def has_failed_start(self, one: Container) -> bool:
        """Whether podman could not start this attempt; it counts as one that ended at once."""
        return one.state == "created" and one.id in self.memory.starts

    def has_ended(self, one: Container) -> bool:
        return one.has_exited or self.has_failed_start(one)

    def exit_code(self, one: Container) -> int:
        return 128 if self.has_failed_start(one) else one.exit_code


def spec(pod: Object) -> Mapping[str, Any]:
    """The pod's spec."""
    found = pod.get("spec")
    return found if isinstance(found, Mapping) else {}


def init_containers(pod: Object) -> list[Object]:
    """Those that run before the others, or beside them."""
    found = spec(pod).get("initContainers") or []
    return [one for one in found if not (is_launcher(pod) and console_log.is_it(one))]


def main_containers(pod: Object) -> list[Object]:
    return list(spec(pod).get("containers") or [])


def find_container(pod: Object, name: str) -> Object:
    """The container of this name in the spec, an empty one when it was not found."""
    return next((one for one in (*init_containers(pod), *main_containers(pod)) if one.get("name") == name), {})


def is_sidecar(container: Object) -> bool:
    """Whether an init container keeps running beside the main ones (restartPolicy Always)."""
    return container.get("restartPolicy") == "Always"


def is_launcher(pod: Object) -> bool:
    """Whether a machine runs in this pod."""
    return meta.labels(pod).get("kubevirt.io") == LAUNCHER


def restart_policy(pod: Object) -> str:
    return str(spec(pod).get("restartPolicy") or "Always")


def uses_host_network(pod: Object) -> bool:
    return bool(spec(pod).get("hostNetwork"))


def grace_s(pod: Object) -> int:
    """How long its containers may take to end, in seconds; a deletion may have shortened it."""
    asked = meta.metadata(pod).get("deletionGracePeriodSeconds")
    if asked is None:
        asked = spec(pod).get("terminationGracePeriodSeconds")
    return int(30 if asked is None else asked)


def is_terminal(pod: Object) -> bool:
    """Whether its phase says that it has ended for good."""
    return meta.get(pod, "status", "phase") in ("Succeeded", "Failed")
