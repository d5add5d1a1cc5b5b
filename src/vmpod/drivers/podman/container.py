"""A container as podman shows it, and whether its process is truly there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vmpod.base import clock
from vmpod.drivers.podman import oom

HOME = "io.vmpod"
POD = "io.vmpod.pod"
CONTAINER = "io.vmpod.container"
ATTEMPT = "io.vmpod.attempt"
NAMESPACE = "io.vmpod.namespace"
POD_NAME = "io.vmpod.name"
CPUS = "io.vmpod.cpus"

_RUNNING = ("running", "paused", "stopping")
_CLOCK_SLACK_S = 2.0


@dataclass(frozen=True)
class Container:
    """`state` is created, running or exited; the times are None until they happened.

    A container whose process is gone without podman knowing (its monitor was killed too) is shown as
    exited with code 255 and `lost` true.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    image: str
    image_id: str
    image_digest: str
    state: str
    pid: int
    exit_code: int
    oom_killed: bool
    created: datetime
    started: datetime | None
    finished: datetime | None
    log_path: str
    stop_signal: int
    tty: bool = False
    stdin: bool = False
    error: str = ""
    lost: bool = False
    mounts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def has_exited(self) -> bool:
        return self.state == "exited"

    @property
    def pod_uid(self) -> str:
        return self.labels.get(POD, "")

    @property
    def container(self) -> str:
        """The name that the pod gives this container."""
        return self.labels.get(CONTAINER, "")

    @property
    def attempt(self) -> int:
        text = self.labels.get(ATTEMPT, "0")
        return int(text) if text.isdecimal() else 0


def parse(seen: Mapping[str, Any]) -> Container:
    """A container from GET /libpod/containers/ID/json."""
    state, config = seen["State"], seen.get("Config") or {}
    started, finished = _moment(state.get("StartedAt")), _moment(state.get("FinishedAt"))
    status = _state(str(state.get("Status", "")), started)
    pid = int(state.get("Pid") or 0)
    lost = status == "running" and not has_process(pid, str(seen["Id"]), started)
    lost = lost and not _has_monitor(int(state.get("ConmonPid") or 0))  # it is about to note the exit code
    host = seen.get("HostConfig") or {}
    return Container(
        id=str(seen["Id"]), name=str(seen.get("Name", "")), labels=dict(config.get("Labels") or {}),
        image=str(seen.get("ImageName") or ""), image_id=str(seen.get("Image") or ""),
        image_digest=str(seen.get("ImageDigest") or ""),
        state="exited" if lost else status, pid=0 if lost else pid,
        exit_code=255 if lost else int(state.get("ExitCode") or 0), oom_killed=_is_oom_killed(seen, status),
        created=_moment(seen.get("Created")) or datetime.fromtimestamp(0, UTC), started=started,
        finished=clock.now() if lost else finished,
        log_path=str((host.get("LogConfig") or {}).get("Path") or ""),
        stop_signal=int(config.get("StopSignal") or 15), tty=bool(config.get("Tty")),
        stdin=bool(config.get("OpenStdin")), error=str(state.get("Error") or ""), lost=lost,
        mounts={str(m.get("Destination")): str(m.get("Source")) for m in seen.get("Mounts") or ()},
    )


def _is_oom_killed(seen: Mapping[str, Any], status: str) -> bool:
    state = seen["State"]
    if state.get("OOMKilled") or status != "exited" or not state.get("ExitCode"):
        return bool(state.get("OOMKilled"))
    return bool((seen.get("HostConfig") or {}).get("Memory")) and oom.was_killed(str(seen["Id"]))


def _state(status: str, started: datetime | None) -> str:
    if status in _RUNNING:
        return "running"
    if status in ("created", "configured", "initialized") and started is None:
        return "created"
    return "exited"


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str) or not text or text.startswith("0001-"):
        return None
    return clock.parse(text)


def _has_monitor(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "conmon"
    except (FileNotFoundError, ProcessLookupError):
        return False


def has_process(pid: int, container_id: str, started: datetime | None) -> bool:
    """Whether `pid` is this container's first process and not a later one with its number.

    Either its control group names the container, or it is as old as the container's start.
    """
    if pid <= 0:
        return False
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    if fields[0] in "ZX":
        return False
    if container_id in groups:
        return True
    return started is not None and _wall_time(int(fields[19])) <= started.timestamp() + _CLOCK_SLACK_S


def _wall_time(ticks: int) -> float:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return clock.now().timestamp() - uptime + ticks / os.sysconf("SC_CLK_TCK")
