"""Disks shown to containers as files of raw bytes, without a copy: started, found again, and taken away.

One folder for each: `view` is what containers get, with the one file `disk.img` in it; beside it stand the number of
the process that serves it (see `vmpod.drivers.disks.fuseserver`), what that said, and whose disk it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.base.proc import Daemon
from vmpod.drivers.disks import mounts
from vmpod.drivers.disks.fuseserver import DISK, LOG, PID, ROOT, VIEW, Job
from vmpod.drivers.host import packages
from vmpod.drivers.host.facts import os_release

PROGRAM = "qemu-storage-daemon"
OF = "of"
_WHAT = "show a machine's disk as a file"
_LIMIT_S = 30.0
_TAIL_BYTES = 2000


def check() -> None:
    """Raise Problem where no disk can be shown so, with what is missing."""
    if shutil.which(PROGRAM) is None:
        fix = packages.install(os_release(), [PROGRAM], is_root=True)
        raise Problem(_WHAT, f"the program {PROGRAM} is not installed", fix, "Missing")
    if not os.path.exists("/dev/fuse"):
        raise Problem(_WHAT, "this machine has no /dev/fuse", "modprobe fuse", "Missing")


def file_of(folder: Path) -> Path:
    return folder / VIEW / DISK


async def show(
    folder: Path, home: Path, images: Sequence[tuple[Path, str]], *, of: str, writable: bool
) -> Path:
    """The file of a disk, whose images are given from the disk down to its base; one that is there is kept.

    `of` is written down beside it: whose disk it is. Raises Problem, and leaves nothing then.
    """
    if not is_served(folder):
        await hide(folder)
        check()
        (folder / VIEW).mkdir(parents=True)
        (folder / OF).write_text(of)
        (folder / ROOT).mkdir()
        file_of(folder).touch(mode=0o600)
        chain = tuple((str(path), format) for path, format in images)
        await _begin(folder, Job(chain, str(folder), str(home), writable))
    return file_of(folder)


async def _begin(folder: Path, job: Job) -> None:
    argv = [sys.executable, "-m", "vmpod.drivers.disks.fuseserver", json.dumps(asdict(job)), str(os.getpid())]
    try:
        done = await proc.run(argv, what=_WHAT, timeout_s=_LIMIT_S, check=False)
    except BaseException:
        await hide(folder)
        raise
    if done.code != 0:
        said = _last_words(folder / LOG) or done.err.decode(errors="replace").strip()
        await hide(folder)
        raise Problem(_WHAT, said, "vmpod doctor", "Failed")


def _last_words(log: Path) -> str:
    if not log.exists():
        return ""
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()


def server(folder: Path) -> Daemon | None:
    """The process that serves the file, while it lives."""
    return proc.read_pid_file(folder / PID)


def is_served(folder: Path) -> bool:
    """Whether the file can be read: it is mounted, and its process lives."""
    return server(folder) is not None and bool(mounts.below(folder))


def is_lost(folder: Path) -> bool:
    """Whether the process that served the file has ended of its own accord: who has it open reads nothing any more."""
    return (folder / PID).exists() and server(folder) is None


async def hide(folder: Path) -> None:
    """Take the file away, whoever uses it; all that was written to it is on the disk then. Raises OSError."""
    if not folder.exists():
        return
    for one in mounts.below(folder):
        mounts.unmount(one)
    if (process := server(folder)) is not None:
        await proc.end(process, grace_s=10)
    await asyncio.to_thread(shutil.rmtree, folder)
