"""A container of a pod, as podman is told to make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vmpod.drivers.podman import container as labels_
from vmpod.drivers.podman.images import Image
from vmpod.drivers.podman.spec import ContainerSpec, Mount
from vmpod.kinds.parts.pod_defaults import qos_class
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate import env, etc, resources
from vmpod.node.translate.env import Sources
from vmpod.node.translate.mounts import VolumeMount, volume_mounts
from vmpod.node.translate.security import security

BACKOFF_LABEL = "io.vmpod.backoff"
IMAGE_LABEL = "io.vmpod.image"
# Only upwards: lowering it needs CAP_SYS_RESOURCE.
_OOM_ADJUSTMENT = {"BestEffort": 1000, "Burstable": 500}


@dataclass(frozen=True)
class Setting:
    """Where one attempt of a container is to live. `resolv_conf`, `hosts`, `termination` are files of the host."""

    home_id: str
    attempt: int
    backoff_s: int
    image: Image
    netns: str
    sources: Sources
    volumes: Mapping[str, PreparedVolume] = field(default_factory=dict)
    resolv_conf: str = ""
    hosts: str = ""
    termination: str = ""


@dataclass(frozen=True)
class Translated:
    """The specification and, of its mounts, those that must be made and checked below a volume."""

    spec: ContainerSpec
    mounts: tuple[VolumeMount, ...]


def container_name(home_id: str, pod: Object, container: str, attempt: int) -> str:
    """The name in podman; it is the same whenever the same attempt is made."""
    return f"vmpod-{home_id}_{meta.namespace(pod)}_{meta.name(pod)}_{container}_{meta.uid(pod)[:8]}_{attempt}"


def container_labels(pod: Object, container: str, attempt: int, backoff_s: int, image: str) -> dict[str, str]:
    """By these an engine finds the container again."""
    return {
        labels_.POD: meta.uid(pod), labels_.CONTAINER: container, labels_.ATTEMPT: str(attempt),
        labels_.NAMESPACE: meta.namespace(pod), labels_.POD_NAME: meta.name(pod),
        BACKOFF_LABEL: str(backoff_s), IMAGE_LABEL: image,
    }  # fmt: skip


def stamp(spec: ContainerSpec, pod: Object, container: str, setting: Setting) -> ContainerSpec:
    """A specification with our name and labels on it."""
    labels = container_labels(pod, container, setting.attempt, setting.backoff_s, spec.image)
    name = container_name(setting.home_id, pod, container, setting.attempt)
    return replace(spec, name=name, labels={**spec.labels, **labels})


def translate(pod: Object, container: Object, setting: Setting) -> Translated:
    """Raises Problem, reason CreateContainerConfigError, when the container cannot be described."""
    name = str(container["name"])
    variables = env.environment(pod, container, setting.sources)
    mounts = volume_mounts(container, setting.volumes, variables)
    command, arguments = container.get("command"), container.get("args")
    asked = security(pod, container, setting.image.user)
    spec = ContainerSpec(
        name=container_name(setting.home_id, pod, name, setting.attempt),
        image=setting.image.name or setting.image.id,
        entrypoint=tuple(env.expand(str(word), variables) for word in command) if command else None,
        command=tuple(env.expand(str(word), variables) for word in arguments) if arguments else None,
        env={"HOSTNAME": etc.hostname(pod), **variables},
        labels=container_labels(pod, name, setting.attempt, setting.backoff_s, str(container.get("image", ""))),
        workdir=str(container.get("workingDir") or ""),
        hostname="" if meta.get(pod, "spec", "hostNetwork") else etc.hostname(pod),
        netns=setting.netns,
        mounts=(*_files(container, setting, mounts), *(one.mount for one in mounts)),
        limits=resources.limits(container),
        stop_signal=_stop_signal(container),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        host_pid=bool(meta.get(pod, "spec", "hostPID")),
        host_ipc=bool(meta.get(pod, "spec", "hostIPC")),
        oom_score_adj=_OOM_ADJUSTMENT.get(qos_class(pod.get("spec"))),
        **asked,
    )
    return Translated(spec, tuple(mounts))


def _files(container: Object, setting: Setting, mounts: list[VolumeMount]) -> list[Mount]:
    """What the kubelet puts into every container, unless the pod mounts something of its own there."""
    taken = {one.mount.target for one in mounts}
    given = [
        Mount(setting.resolv_conf, "/etc/resolv.conf"), Mount(setting.hosts, "/etc/hosts"),
        Mount(setting.termination, str(container.get("terminationMessagePath") or "/dev/termination-log")),
    ]
    return [mount for mount in given if mount.source and mount.target not in taken]


def _stop_signal(container: Object) -> str:
    return str(meta.get(container, "lifecycle", "stopSignal", default=""))
