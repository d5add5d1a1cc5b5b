"""The socket to talk to: the user's running podman, else a service of our own that outlives us."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from vmpod.base import log, proc
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.podman.rest import PodmanError, Rest
from vmpod.drivers.podman.spec import hard_limit

_log = log.get("podman")

# What containerd and CRI-O grant by default: a pod that pings on a cluster shall ping here.
_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
    "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)
_READY_S = 10.0
_GARBAGE_PERCENT = "25"  # how much garbage the service heaps up before it collects; Go's 100 costs 8 MB more


async def answers(socket: Path) -> bool:
    """Whether a podman service answers on a socket."""
    if not socket.exists():
        return False
    rest = Rest(socket)
    try:
        await rest.ask("GET", "/info", what="ask podman", timeout_s=5)
    except PodmanError:
        return False
    finally:
        await rest.close()
    return True


def users_sockets() -> tuple[Path, ...]:
    """Where the user's own service listens (podman-system-service(1)); CONTAINER_HOST comes first."""
    named = os.environ.get("CONTAINER_HOST", "")
    found = [Path(named.removeprefix("unix://"))] if named.startswith("unix://") else []
    if os.geteuid() == 0:
        return (*found, Path("/run/podman/podman.sock"))
    run = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return (*found, Path(run) / "podman" / "podman.sock")


async def find(paths: Paths, runtime: str) -> Path:
    """The socket of a service that answers, started where there is none.

    Our own is preferred once it exists, so that a home does not move between services.
    Raises Problem when podman is missing or its service does not come up.
    """
    if proc.read_pid_file(paths.podman_pid) and await answers(paths.podman_socket):
        return paths.podman_socket
    for socket in users_sockets():
        if await answers(socket):
            return socket
    await start(paths, runtime)
    return paths.podman_socket


async def start(paths: Paths, runtime: str) -> None:
    """Start a service of the home's own. Raises Problem when it does not come up."""
    old = proc.read_pid_file(paths.podman_pid)
    if old is not None:
        await proc.end(old)
    paths.podman_socket.unlink(missing_ok=True)
    proc.spawn(
        ["podman", "system", "service", "--time=0", f"unix://{paths.podman_socket}"],
        log=paths.run / "podman.log", env={"GOGC": _GARBAGE_PERCENT, **environment(paths, runtime)},
        pid_file=paths.podman_pid, cwd=paths.run,  # conmon leaves a file `oom` where it was started
    )
    for _ in range(int(_READY_S / 0.02)):
        if await answers(paths.podman_socket):
            return
        if proc.read_pid_file(paths.podman_pid) is None:
            break
        await asyncio.sleep(0.02)
    said = (paths.run / "podman.log").read_text(errors="replace").strip().splitlines()[-20:]
    why = "\n".join(said) or "it does not answer"
    raise Problem("start the podman service", why, "podman info", "PodmanFailed")


async def stop(paths: Paths) -> None:
    """End our own service, if it runs; containers go on without it."""
    daemon = proc.read_pid_file(paths.podman_pid)
    if daemon is not None:
        await proc.end(daemon)
    paths.podman_pid.unlink(missing_ok=True)
    paths.podman_socket.unlink(missing_ok=True)


def environment(paths: Paths, runtime: str) -> dict[str, str]:
    """The environment of podman processes of ours: the user's image store, our configuration."""
    settings, registries = paths.run / "containers.conf", paths.run / "registries.conf"
    settings.write_text(containers_conf(runtime, has_systemd=Path("/run/systemd/system").is_dir()))
    registries.write_text(registries_conf(_users_registries()))
    return {**os.environ, "CONTAINERS_CONF": str(settings), "CONTAINERS_REGISTRIES_CONF": str(registries)}


def containers_conf(runtime: str, *, has_systemd: bool) -> str:
    """A containers.conf(5) with which podman works without systemd and without CAP_SYS_RESOURCE."""
    nofile, nproc = hard_limit("nofile")[1], hard_limit("nproc")[1]
    engine = ['events_logger = "file"', *([f'runtime = "{runtime}"'] if runtime else [])]
    if not has_systemd:
        engine.append('cgroup_manager = "cgroupfs"')
    return "\n".join([
        "[containers]",
        f'default_ulimits = ["nofile={nofile}:{nofile}", "nproc={nproc}:{nproc}"]',
        f"default_capabilities = [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in _CAPABILITIES)}]",
        "http_proxy = false",
        'log_driver = "k8s-file"',
        "[engine]",
        *engine, "",
    ])


def registries_conf(users: str) -> str:
    """The user's registries, and loopback ones without TLS."""
    missing = [host for host in ("127.0.0.1", "localhost") if f'"{host}"' not in users]
    return users + "\n" + "".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in missing)


def _users_registries() -> str:
    for path in (Path.home() / ".config/containers/registries.conf", Path("/etc/containers/registries.conf")):
        if path.is_file():
            return path.read_text()
    return ""
