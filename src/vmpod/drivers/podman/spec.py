"""What a container shall be, and how libpod's REST interface wants to be told."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CPU_PERIOD_US = 100_000
_RLIMITS = {
    "nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC, "memlock": resource.RLIMIT_MEMLOCK,
    "core": resource.RLIMIT_CORE, "stack": resource.RLIMIT_STACK,
}
_ALWAYS_LIMITED = ("nofile", "nproc")


@dataclass(frozen=True)
class Mount:
    """Something of the host inside the container. `kind` is bind (private, recursive) or tmpfs."""

    source: str
    target: str
    read_only: bool = False
    kind: str = "bind"
    options: tuple[str, ...] = ()
    propagation: str = "rprivate"


@dataclass(frozen=True)
class Device:
    """A device node in the container. `mode` is that of the node inside, whatever the host's is (an
    unprivileged user opens a root-only /dev/net/tun through it); 0 takes the host's."""

    path: str
    mode: int = 0


@dataclass(frozen=True)
class Limits:
    """Limits by control group: bytes, thousandths of a CPU, relative weight, tasks, and the processors it may run on
    (`0,2`). 0 and nothing are unlimited."""

    memory_bytes: int = 0
    cpu_milli: int = 0
    cpu_shares: int = 0
    pids: int = 0
    cpus: str = ""


@dataclass(frozen=True)
class ContainerSpec:
    """One container.

    Either `image` or `rootfs` (a folder, used below a throw-away overlay) is set. `entrypoint` None takes
    the image's; `command` are its arguments, None takes the image's unless an entrypoint is given.
    `netns` is a path of a network namespace, "host", or "" for one of its own without any device.
    `user` is UID[:GID] or a name of the image, empty for the image's. `stop_signal` is a name or number,
    empty for the image's.
    """

    name: str
    image: str = ""
    rootfs: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    hostname: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    netns: str = ""
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    read_only: bool = False
    unconfined: bool = False
    limits: Limits = Limits()
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    stop_signal: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    pid_container: str = ""
    oom_score_adj: int | None = None


def host_path(device: Device) -> str:
    """The host's own node, with the mode that it has there."""
    return device.path


def body(
    spec: ContainerSpec, *, runtime: str = "", node_of: Callable[[Device], str] = host_path
) -> dict[str, Any]:
    """The JSON of POST /libpod/containers/create (libpod's SpecGenerator, podman 4.3).

    Everything that a containers.conf of the user could change for us is said: proxy variables of the
    host, health checks of the image (Kubernetes ignores them), systemd mode, log driver, resource limits.
    """
    said: dict[str, Any] = {
        "name": spec.name,
        "labels": dict(spec.labels),
        "env": dict(spec.env),
        "netns": _network(spec.netns),
        "mounts": [_mount(mount) for mount in spec.mounts],
        "use_image_hosts": True,
        "use_image_resolve_conf": True,
        "httpproxy": False,
        "systemd": "false",
        "healthconfig": {"Test": ["NONE"]},
        "log_configuration": {"driver": "k8s-file"},
        "restart_policy": "no",
        "r_limits": _ulimits(spec.ulimits),
        "resource_limits": _resources(spec.limits),
        "privileged": spec.privileged,
        "no_new_privileges": spec.no_new_privileges,
        "read_only_filesystem": spec.read_only,
        "stdin": spec.stdin,
        "terminal": spec.tty,
    }
    said |= _source(spec) | _program(spec) | _security(spec) | _namespaces(spec)
    if spec.devices:
        said["devices"] = [{"path": node_of(device)} for device in spec.devices]
    if runtime:
        said["oci_runtime"] = runtime
    return said


def _source(spec: ContainerSpec) -> dict[str, Any]:
    if spec.rootfs:
        return {"rootfs": spec.rootfs, "rootfs_overlay": True}
    return {"image": spec.image, "image_volume_mode": "anonymous"}


def _program(spec: ContainerSpec) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if spec.entrypoint is not None:
        said["entrypoint"] = list(spec.entrypoint)
    if spec.command is not None:
        said["command"] = list(spec.command)
    if spec.workdir:
        said["work_dir"] = spec.workdir
    if spec.hostname:
        said["hostname"] = spec.hostname
    if spec.stop_signal:
        said["stop_signal"] = signal_number(spec.stop_signal)
    return said


def _security(spec: ContainerSpec) -> dict[str, Any]:
    said: dict[str, Any] = {"cap_add": list(spec.cap_add), "cap_drop": list(spec.cap_drop)}
    if spec.user:
        said["user"] = spec.user
    if spec.groups:
        said["groups"] = list(spec.groups)
    if spec.unconfined and not spec.privileged:
        said["seccomp_profile_path"] = "unconfined"
    if spec.sysctls:
        said["sysctl"] = dict(spec.sysctls)
    if spec.oom_score_adj is not None:
        said["oom_score_adj"] = spec.oom_score_adj
    return said


def _namespaces(spec: ContainerSpec) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if spec.host_pid:
        said["pidns"] = {"nsmode": "host"}
    elif spec.pid_container:
        said["pidns"] = {"nsmode": "container", "value": spec.pid_container}
    if spec.host_ipc:
        said["ipcns"] = {"nsmode": "host"}
    if spec.netns == "host" and not spec.hostname:
        said["utsns"] = {"nsmode": "host"}
    return said


def _network(netns: str) -> dict[str, str]:
    if not netns:
        return {"nsmode": "none"}
    if netns == "host":
        return {"nsmode": "host"}
    return {"nsmode": "path", "value": netns}


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.kind == "tmpfs":
        options = list(mount.options)
        return {"type": "tmpfs", "source": "tmpfs", "destination": mount.target, "options": options}
    access = "ro" if mount.read_only else "rw"
    return {
        "type": "bind", "source": mount.source, "destination": mount.target,
        "options": ["rbind", access, mount.propagation, *mount.options],
    }


def _resources(limits: Limits) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if limits.memory_bytes:
        said["memory"] = {"limit": limits.memory_bytes}
    cpu: dict[str, int | str] = {}
    if limits.cpu_milli:
        cpu |= {"period": _CPU_PERIOD_US, "quota": max(1000, limits.cpu_milli * _CPU_PERIOD_US // 1000)}
    if limits.cpu_shares:
        cpu["shares"] = limits.cpu_shares
    if limits.cpus:
        cpu["cpus"] = limits.cpus
    if cpu:
        said["cpu"] = cpu
    if limits.pids:
        said["pids"] = {"limit": limits.pids}
    return said


def _ulimits(wanted: Mapping[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Never above what this process may have: libpod's own defaults need CAP_SYS_RESOURCE."""
    both = {name: hard_limit(name) for name in _ALWAYS_LIMITED}
    for name, (soft, hard) in wanted.items():
        highest = hard_limit(name)[1]
        both[name] = (min(soft, highest), min(hard, highest))
    return [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in sorted(both.items())]


def hard_limit(name: str) -> tuple[int, int]:
    """The highest soft and hard value of a resource limit; podman lowers nproc to the kernel's pid_max."""
    hard = resource.getrlimit(_RLIMITS[name])[1] if name in _RLIMITS else resource.RLIM_INFINITY
    ceiling = 1 << 20
    if name == "nproc":
        ceiling = min(ceiling, int(Path("/proc/sys/kernel/pid_max").read_text()))
    if hard == resource.RLIM_INFINITY:
        hard = ceiling if name in _ALWAYS_LIMITED else (1 << 63) - 1
    elif name in _ALWAYS_LIMITED:
        hard = min(hard, ceiling)
    return hard, hard


def signal_number(text: str) -> int:
    """15 for "15", "TERM", "SIGTERM" or "sigterm"; real-time signals as SIGRTMIN+3. ValueError otherwise."""
    word = text.upper().removeprefix("SIG")
    if word.isdecimal():
        return int(word)
    base, plus, offset = word.partition("+")
    if base in ("RTMIN", "RTMAX"):
        return int(getattr(signal, f"SIG{base}")) + (int(offset) if plus else 0)
    number = getattr(signal, f"SIG{word}", None)
    if number is None:
        raise ValueError(f"no signal is named {text}")
    return int(number)
