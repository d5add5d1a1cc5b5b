"""volumeMounts of a container: which prepared volume goes where."""

from __future__ import annotations

from collections.abc import Mapping
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
    return [_mount(container, wanted, volumes, variables) for wanted in container.get("volumeMounts") or ()]


def _mount(
    container: Object, wanted: Object, volumes: Mapping[str, PreparedVolume], variables: Mapping[str, str]
) -> VolumeMount:
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
    mount = Mount(
        str(source), target if target.startswith("/") else f"/{target}",
        read_only=bool(wanted.get("readOnly")) or volume.readonly,
        propagation=_PROPAGATION.get(str(wanted.get("mountPropagation")), "rprivate"),
    )  # fmt: skip
    return VolumeMount(mount, str(volume.path) if sub else "")


def _problem(why: str) -> Problem:
    return Problem("create the container", why, reason=CONFIG_ERROR)
