"""volumeMounts of a container: which prepared volume goes where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from vmpod.base.errors import Problem
from vmpod.drivers.podman.spec import Mount
from vmpod.model.meta import Object
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate.env import CONFIG_ERROR, expand

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


@dataclass(frozen=True)
class VolumeMount:
    """A mount and, with a subPath, the volume's folder that it must stay in."""

    mount: Mount
    within: str = ""


def volume_mounts(
    container: Object, volumes: Mapping[str, PreparedVolume], variables: Mapping[str, str]
) -> list[VolumeMount]:
    """All mounts of a container, in their order. Raises Problem for a volume or subPath that cannot be."""
    asked = container.get("volumeMounts") or ()
    return [mount for wanted in asked for mount in _mounts(container, wanted, volumes, variables)]


def _mounts(
    container: Object, wanted: Object, volumes: Mapping[str, PreparedVolume], variables: Mapping[str, str]
) -> Iterator[VolumeMount]:
    name = str(wanted.get("name", ""))
    volume = volumes.get(name)
    if volume is None:
        raise _problem(f'volumeMounts of container "{container.get("name")}": there is no volume "{name}"')
    sub = str(wanted.get("subPath") or "")
    if wanted.get("subPathExpr"):
        sub = expand(str(wanted["subPathExpr"]), variables)
    if sub.startswith("/") or ".." in PurePosixPath(sub).parts:
        raise _problem(f'subPath "{sub}" of volume "{name}" must be a path below the volume')
    source = volume.path / sub if sub else volume.path
    target = str(wanted.get("mountPath", ""))
    target = target if target.startswith("/") else f"/{target}"
    read_only = bool(wanted.get("readOnly")) or volume.readonly
    propagation = _PROPAGATION.get(str(wanted.get("mountPropagation")), "rprivate")
    if volume.file is None or source == volume.file:
        within = str(volume.path) if sub else ""
        yield VolumeMount(Mount(str(source), target, read_only, propagation=propagation), within)
        return
    if sub:
        raise _problem(f'subPath "{sub}" of volume "{name}": there is only {volume.file.name} in it')
    yield VolumeMount(Mount(str(source), target, read_only=True, propagation=propagation))
    yield VolumeMount(Mount(str(volume.file), f"{target.rstrip('/')}/{volume.file.name}", read_only))


def _problem(why: str) -> Problem:
    return Problem("create the container", why, reason=CONFIG_ERROR)
