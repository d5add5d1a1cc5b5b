"""A disk as a file: a process of its own, `python -m vmpod.drivers.disks.fuseserver JSON PARENT`.

It mounts a file system of one file (FUSE) and hands it to a `qemu-storage-daemon` that shows there, as raw bytes, what
a guest would see of the disk. It opens the images of the chain itself, and no other file. When the file can be read it
ends; the daemon goes on, whoever else ends.

The daemon reads what containers and guests may have written. So it is a user without privileges, in namespaces of its
own: no network, no processes of others, and of the host's files the programs only. It could not mount anything there.
Its library asks `fusermount3` to do that where it may not itself, and is given the descriptor of what is mounted
already by a few lines of ours under that name.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpod.base import files, proc
from vmpod.base.proc import Daemon
from vmpod.drivers.disks import mounts
from vmpod.drivers.disks.lifeline import end_with

DISK, PID, LOG, ROOT = "disk.img", "pid", "log", "root"
VIEW = "view"
_MODE = 0o660  # CDI's: its owner's and its group's
_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_HELPER = "/usr/bin/fusermount3"
_SENDER = """#!{python} -IS
import array, os, socket
if "_FUSE_COMMFD" in os.environ:
    door = socket.socket(fileno=int(os.environ["_FUSE_COMMFD"]))
    door.sendmsg([bytes(1)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [{fd}]))])
"""


@dataclass(frozen=True)
class Job:
    """What to show: the images from the disk down to its base as (path, format).

    `folder` has the folder `view`, where the file appears; `home` marks the process as one of this home. `uid` is who
    serves, with a group of the same number.
    """

    images: tuple[tuple[str, str], ...]
    folder: str
    home: str
    writable: bool = False
    uid: int = 107


def run(job: Job, parent: int) -> None:
    """Do the whole job, or nothing of it should the process `parent` end meanwhile. Raises OSError."""
    end_with(parent)
    folder = Path(job.folder)
    target = folder / VIEW / DISK
    handles = [_open(path) for path, _ in job.images]
    door = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    os.set_inheritable(door, True)
    options = f"fd={door},rootmode=100000,user_id={job.uid},group_id={job.uid},default_permissions,allow_other"
    mounts.mount("vmpod", target, "fuse", mounts.NO_SUID | mounts.NO_DEV, options)
    starter = os.fork()
    if starter == 0:
        _start(job, handles, door)
    os.close(door)  # once the daemon ends there is nobody to answer, and whoever reads is told so
    os.waitpid(starter, 0)
    target.stat()
    if job.writable:
        target.chmod(_MODE)


def _open(path: str) -> int:
    """An image, where others may write: no link is followed."""
    with files.open_plain(Path(path)) as file:
        handle = os.dup(file.fileno())
    os.set_inheritable(handle, True)
    return handle


def _start(job: Job, handles: list[int], door: int) -> None:
    """Make the daemon's surroundings, note its number, and let it begin."""
    try:
        _log_to(Path(job.folder, LOG))
        _close_all_but({0, 1, 2, door, *handles})
        mounts.leave_namespaces()
        go, wait = os.pipe()
        daemon = os.fork()
        if daemon == 0:
            os.close(wait)
            if os.read(go, 1):  # else who notes the number is gone
                _enter(Path(job.folder, ROOT), door)
                os.execv("/usr/bin/setpriv", _command(job, handles))
            os._exit(1)
        proc.write_pid_file(Path(job.folder, PID), Daemon(daemon, proc.start_time(daemon) or 0))
        os.write(wait, b"\0")
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)


def _log_to(path: Path) -> None:
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, out), (2, out)):
        os.dup2(source, target)


def _close_all_but(kept: set[int]) -> None:
    """What the engine's event loop left open for this process must not live as long as the daemon."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the folder that was listed just now
                os.close(int(name))


def _enter(root: Path, door: int) -> None:
    """Leave the host's files but for programs, which cannot be written."""
    mounts.mount("", "/", flags=mounts.PRIVATE | mounts.RECURSIVE)
    mounts.mount("vmpod", root, "tmpfs", mounts.NO_SUID | mounts.NO_DEV, "mode=755,size=1m")
    for name in ("usr", "proc", "dev"):
        Path(root, name).mkdir()
    mounts.bind("/usr", root / "usr")
    for name in _LINKS:
        _like_the_hosts(Path("/", name), root / name)
    python = Path(os.path.realpath(sys.executable))
    if not python.is_relative_to("/usr"):
        prefix = root / sys.base_prefix.lstrip("/")
        prefix.mkdir(parents=True)
        mounts.bind(sys.base_prefix, prefix)
    mounts.mount("proc", root / "proc", "proc", mounts.NO_SUID | mounts.NO_DEV)
    mounts.mount("vmpod", root / "dev", "tmpfs", mounts.NO_SUID, "mode=755,size=1m")
    for name in ("null", "fuse"):  # its library opens the second before it asks for help; nothing can be mounted by it
        os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, os.stat(f"/dev/{name}").st_rdev)
        (root / "dev" / name).chmod(0o666)
    _lend(root, python, door)
    mounts.mount("", root, flags=mounts.REMOUNT | mounts.READ_ONLY | mounts.NO_SUID | mounts.NO_DEV, options="mode=755")
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    mounts.unmount(".")


def _like_the_hosts(place: Path, inside: Path) -> None:
    if place.is_symlink():
        inside.symlink_to(os.readlink(place))
    elif place.is_dir():
        inside.mkdir()
        mounts.bind(place, inside)


def _lend(root: Path, python: Path, door: int) -> None:
    """The program that gives the daemon what is mounted, where its library looks for one that mounts."""
    helper = root / "fusermount3"
    helper.write_text(_SENDER.format(python=python, fd=door))
    helper.chmod(0o755)
    if Path(_HELPER).exists():
        mounts.bind(helper, f"{root}{_HELPER}")
    (root / DISK).touch()


def _command(job: Job, handles: list[int]) -> list[str]:
    node = _chain(list(zip(handles, (format for _, format in job.images), strict=True)), writable=job.writable)
    export = {"type": "fuse", "id": "disk", "node-name": "disk", "mountpoint": f"/{DISK}", "allow-other": "on",
              "writable": job.writable, "growable": False}  # fmt: skip
    privileges = [f"--reuid={job.uid}", f"--regid={job.uid}", "--clear-groups", "--bounding-set=-all",
                  "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]  # fmt: skip
    words = ["env", "-i", f"VMPOD_HOME={job.home}", "PATH=/:/usr/bin", "qemu-storage-daemon",
             "--blockdev", json.dumps(node), "--export", json.dumps(export)]  # fmt: skip
    return ["setpriv", *privileges, *words]


def _chain(images: list[tuple[int, str]], *, writable: bool) -> dict[str, Any]:
    """The chain as QEMU's block layer is told of it: by open files, each on the next one, the last on none.

    QEMU's own lock keeps two that write from one image."""
    described: dict[str, Any] | None = None
    for number, (handle, format) in reversed(list(enumerate(images))):
        may_write = writable and number == 0
        file = {"driver": "file", "filename": f"/proc/self/fd/{handle}", "read-only": not may_write}
        node = {"driver": format, "file": file, "read-only": not may_write, "discard": "unmap"}
        if format == "qcow2":
            node["backing"] = described
        described = node
    return {"node-name": "disk", **(described or {})}


def main() -> None:
    """The process: the exit code is 0 only when the file can be read."""
    asked = json.loads(sys.argv[1])
    job = Job(**asked | {"images": tuple((path, format) for path, format in asked["images"])})
    try:
        run(job, int(sys.argv[2]))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
