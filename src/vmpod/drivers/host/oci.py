"""Which OCI runtime works here, found by running a container that does nothing.

crun is quicker, but refuses control groups of version 1 with a version 2 hierarchy mounted beside them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpod.base import proc
from vmpod.base.errors import Problem

CANDIDATES = ("crun", "runc")
_LINKS = ("bin", "lib", "lib32", "lib64", "sbin")
_TRIAL_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Choice:
    """The runtime's name (empty: none works) and why not the ones before it."""

    runtime: str
    reason: str


def cgroup_version() -> int:
    """2 where the unified hierarchy is all there is, else 1."""
    return 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1


async def probe() -> Choice:
    """The first candidate that runs a container; without privileges the first that fits the control groups."""
    refused: list[str] = []
    for name in CANDIDATES:
        trouble = await _trouble(name)
        if not trouble:
            return Choice(name, "; ".join(refused) or "a probe container ran")
        refused.append(f"{name}: {trouble}")
    return Choice("", "; ".join(refused))


async def _trouble(name: str) -> str:
    if shutil.which(name) is None:
        return "not installed"
    if os.geteuid() != 0:
        mixed = cgroup_version() == 1 and Path("/sys/fs/cgroup/unified/cgroup.controllers").exists()
        return "control groups of both versions are mounted" if name == "crun" and mixed else ""
    return await _trial(name)


async def _trial(name: str) -> str:
    with tempfile.TemporaryDirectory(prefix="vmpod-probe-") as folder:
        bundle = Path(folder)
        _make_bundle(bundle)
        argv = [name, "--root", f"{folder}/state", "run", "--bundle", folder, f"vmpod-probe-{os.getpid()}"]
        try:
            done = await proc.run(argv, timeout_s=_TRIAL_TIMEOUT_S, check=False)
        except Problem as problem:
            return problem.why
    return "" if done.code == 0 else done.err.decode(errors="replace").strip() or f"exit code {done.code}"


def _make_bundle(bundle: Path) -> None:
    root = bundle / "rootfs"
    for name in ("usr", "proc", "dev", "sys"):
        (root / name).mkdir(parents=True)
    for name in _LINKS:
        if Path("/", name).is_symlink():
            (root / name).symlink_to(os.readlink(Path("/", name)))
    (bundle / "config.json").write_text(json.dumps(_config(root)))


def _config(root: Path) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
    ]
    mounts += [
        {"destination": f"/{name}", "type": "bind", "source": f"/{name}", "options": ["rbind", "ro"]}
        for name in _LINKS if Path("/", name).is_dir() and not Path("/", name).is_symlink()
    ]
    process = {"user": {"uid": 0, "gid": 0}, "args": ["/usr/bin/true"], "cwd": "/", "noNewPrivileges": True}
    spaces = [{"type": kind} for kind in ("mount", "pid", "ipc", "uts", "network")]
    return {
        "ociVersion": "1.0.2", "process": process, "root": {"path": str(root), "readonly": True}, "mounts": mounts,
        "linux": {"namespaces": spaces},
    }
