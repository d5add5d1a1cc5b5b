"""Bring an image in: a process of its own, `python -m vmpod.drivers.disks.importer JSON`.

It reads one job (see `Job`) from its first argument (with a second, the process that it must not outlive, standard
input brings what the source wants to know of us), prints one JSON object a line with the progress, and at the end
either `{"base": SHA256, "virtual_bytes": N}` or `{"problem": {"what", "why", "fix", "reason"}}`. The product is
a qcow2 in the folder of bases, named by the SHA-256 of its content, read-only; half-made files lie in a staging
folder that this process removes. The product of an archive is a folder of files, the job's `target`; no base is told.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.drivers.disks import archives, fetch, formats, split, trees, unfinished
from vmpod.drivers.disks.download import KINDS, Access, Fetched, download
from vmpod.drivers.disks.inspect import check, inspect
from vmpod.drivers.disks.lifeline import end_with
from vmpod.drivers.disks.pour import pour
from vmpod.drivers.images import layout, remote
from vmpod.drivers.images.remote import Remote

_CHUNK = 1 << 20
_SECTOR = 512


@dataclass(frozen=True)
class Job:
    """What to bring in: `kind` file (path), http, s3, gcs (URL), layout (OCI layout's folder) or registry (reference).

    `inner` is a file inside. The kind `split` is a file that lists the files of a disk beside it. The kind `member` is
    a file in an OCI layout that is kept as it is: no disk, so nothing is looked for in it.
    """

    kind: str
    source: str
    bases: str
    staging: str
    inner: str = ""
    checksum: str = ""  # "sha256:…" of the file as fetched
    name: str = ""  # what people call the source, for messages
    target: str = ""  # of an archive: the empty folder that its files replace
    limit_bytes: int = 0  # of an archive: how much its files may hold, 0 anything
    architecture: str = ""  # of an image in a registry
    kept: str = ""  # of a source over HTTP: the folder where what has come stays when this process is ended
    ours: bool = False  # a file of our own that nobody writes any more: it may become the base itself
    sha256: str = ""  # of such a file, where it is known


@dataclass(frozen=True)
class Base:
    """A finished base image; of an archive `sha256` is empty."""

    sha256: str
    virtual_bytes: int


def run(job: Job, access: Access = Access()) -> Base:
    """Do the whole job. Raises Problem, in which the source is called by its name.

    Leaves nothing half-made, but for a download in `kept` that the next try can go on with.
    """
    what = f"import {job.name or job.source}"
    Path(job.staging).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="import-", dir=job.staging))
    is_kept = False
    try:
        with unfinished.held(job.kept):
            return _import(job, folder, what, access)
    except Problem as problem:
        is_kept = problem.reason == "Http" and unfinished.is_known(Path(job.kept))
        raise _renamed(problem, folder, job) from None
    except OSError as error:
        raise no_room(what, error, job.bases) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if job.kept and not is_kept:
            shutil.rmtree(job.kept, ignore_errors=True)


def _renamed(problem: Problem, folder: Path, job: Job) -> Problem:
    """The problem of a file in our folder, or of a file with a name for people, told by the name of the source."""
    name = job.name or job.source
    ours = "|".join(re.escape(one) for one in (str(folder), job.kept) if one)
    files = re.compile(rf"(?:{ours})/(download|unpacked|disk|files)\b")
    what, why, fix = (files.sub(lambda _: name, text).replace(job.source, name)
                      for text in (problem.what, problem.why, problem.fix))  # fmt: skip
    return Problem(what, why, fix, problem.reason)


def no_room(what: str, error: OSError, folder: str) -> Problem:
    """The Problem of a failed read or write, with the fix for a full disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem(what, f"no space is left on the disk of {folder}", f"df -h {folder}", "NoSpace")
    return Problem(what, f"{error.strerror or error} ({error.filename})", "", "Failed")


def _import(job: Job, folder: Path, what: str, access: Access) -> Base:
    if job.kind == "member":
        member = _local_file(job, folder, access).path
        size = member.stat().st_size
        return Base(_keep(member, Path(job.bases), ".file"), size)
    if job.kind == "folder":
        return Base("", asyncio.run(_copy_folder(job, folder / "files", what)))
    found = _local_file(job, folder, access)
    is_owned = _use_up(found.path, folder, job)
    path = _whole(found.path, folder, job, owned=is_owned)
    if job.target:
        return Base("", _place_files(path, folder / "files", job))
    info = asyncio.run(_looked_at(path, split.FORMAT if job.kind == "split" else ""))
    made, digest = folder / "disk.qcow2", ""
    is_owned = is_owned or path.parent == folder
    if info.format == "qcow2":
        digest = _copy(path, made, job, owned=is_owned) or (found.sha256 if path == found.path else "")
    elif info.format == "raw" and is_owned and path.stat().st_size % _SECTOR == 0:
        pour(path, made, lambda done: say({"phase": "convert", "percent": round(100 * done / info.virtual_bytes, 2)}))
    else:
        say({"phase": "convert"})
        argv = ["qemu-img", "convert", "-f", info.format, "-O", "qcow2", str(path), str(made)]
        asyncio.run(_convert(argv, what, job.bases))
    return Base(_keep(made, Path(job.bases), digest=digest), info.virtual_bytes)


def _use_up(path: Path, folder: Path, job: Job) -> bool:
    """Whether a file is ours alone and may be used up. What has come of a download is a part of nothing then: should
    this process be killed, the next one begins anew."""
    if path.parent not in (folder, Path(job.kept or folder)):
        return False
    if job.kept:
        unfinished.forget(Path(job.kept))
    return True


def _whole(path: Path, folder: Path, job: Job, *, owned: bool) -> Path:
    """The image unpacked, or as one when it consists of several files."""
    return split.gather(path, folder) if job.kind == "split" else fetch.unpack(path, folder, owned=owned)


def _place_files(path: Path, files: Path, job: Job) -> int:
    """Unpack an archive, then put the whole of it in place in one step."""
    say({"phase": "unpack"})
    taken = trees.extract(path, files, job.limit_bytes)
    _put(files, job.target, f"unpack {path}")
    return taken


async def _copy_folder(job: Job, files: Path, what: str) -> int:
    """As it is: links stay links, holes stay holes. Blocks are shared where the file system can."""
    say({"phase": "copy"})
    argv = ["cp", "-a", "--reflink=auto", "--sparse=always", "-T", job.source, str(files)]
    done = await proc.run(argv, what=what, check=False, timeout_s=4 * 3600)
    if b"No space left" in done.err:
        raise no_room(what, OSError(errno.ENOSPC, "no space"), job.target)
    if done.code != 0:
        raise proc.failure(what, done)
    _put(files, job.target, what)
    return 0


def _put(files: Path, target: str, what: str) -> None:
    """Make a folder take the place of an empty one, once all of it is on the disk."""
    handle = os.open(files, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _libc().syncfs(handle)
    finally:
        os.close(handle)
    try:
        files.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise Problem(what, "the claim holds files already", "use a new claim", "Exists") from None


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


async def _looked_at(path: Path, format: str) -> Any:
    info = await inspect(path, format)
    await check(path, info.format)
    return info


async def _convert(argv: list[str], what: str, bases: str) -> None:
    done = await proc.run(argv, what=what, check=False, timeout_s=4 * 3600)
    if b"No space left" in done.err:
        raise no_room(what, OSError(errno.ENOSPC, "no space"), bases)
    if done.code != 0:
        raise proc.failure(what, done)


def _local_file(job: Job, folder: Path, access: Access) -> Fetched:
    """The image as a file here: fetched, taken out of a container image, or where it already lies."""
    target = folder / "disk"
    if job.kind in ("layout", "member"):
        layout.copy_disk(Path(job.source), target, path=job.inner, image=job.name)
        return Fetched(target)
    if job.kind == "registry":
        return Fetched(_from_registry(job, folder, access))
    if job.kind in KINDS:
        place = Path(job.kept) if job.kept else folder
        return download(job.source, place, checksum=job.checksum, progress=say, access=access,
                        kind=job.kind)  # fmt: skip
    path = _existing(Path(job.source))
    if not job.inner:
        return Fetched(path, job.sha256)
    archives.copy(path, job.inner, target, say)
    return Fetched(target)


def _from_registry(job: Job, folder: Path, access: Access) -> Path:
    say({"phase": "pull"})
    wanted = Remote(job.source, job.architecture, access.username, access.password, access.authorities,
                    access.unverified)  # fmt: skip
    found = asyncio.run(remote.fetch(wanted, folder))
    layout.copy_disk(found, folder / "disk", path=job.inner, image=job.name)
    shutil.rmtree(found)
    return folder / "disk"


def _existing(path: Path) -> Path:
    if not path.is_file():
        why = "there is no such file" if not path.exists() else "it is not a file"
        raise Problem(f"import {path}", why, f"ls -l {path.parent}", "Missing")
    return path


def _copy(source: Path, target: Path, job: Job, *, owned: bool) -> str:
    """The SHA-256 of what was copied; empty where nothing had to be."""
    if owned:
        source.replace(target)
        return ""
    if job.ours and str(source) == job.source:
        os.link(source, target)
        return ""
    total, done, digest = max(1, source.stat().st_size), 0, hashlib.sha256()
    fetch.check_room(f"import {source}", target.parent, total)
    with source.open("rb") as read, target.open("wb") as out:
        while block := read.read(_CHUNK):
            out.write(block)
            digest.update(block)
            done += len(block)
            if done % (64 * _CHUNK) < _CHUNK:
                say({"phase": "copy", "percent": round(100 * done / total, 2)})
    return digest.hexdigest()


def _keep(made: Path, bases: Path, suffix: str = ".qcow2", *, digest: str = "") -> str:
    """Move a finished image to its place, where its content names it; all of it is on the disk then."""
    with made.open("rb") as file, ThreadPoolExecutor(1) as beside:
        synced = beside.submit(os.fsync, file.fileno())
        sha256 = digest or hashlib.file_digest(file, "sha256").hexdigest()
        synced.result()
    if suffix == ".qcow2" and formats.backing_name(made):
        raise Problem(f"keep {made}", "it refers to another file", reason="ForeignFile")
    made.chmod(0o444)
    bases.mkdir(parents=True, exist_ok=True)
    made.replace(bases / f"{sha256}{suffix}")
    _sync(bases)
    return sha256


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def say(line: dict[str, Any]) -> None:
    """One line to whoever reads our progress."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """The process: one job in, lines out; the exit code is 0 only with a finished base."""
    job = Job(**json.loads(sys.argv[1]))
    access = Access()
    if len(sys.argv) > 2:
        end_with(int(sys.argv[2]), Path(job.staging))
        access = Access(**json.loads(sys.stdin.read() or "{}"))  # not an argument: all may read those
        os.environ.update(access.proxies)
    try:
        base = run(job, access)
    except Problem as problem:
        say({"problem": {"what": problem.what, "why": problem.why, "fix": problem.fix, "reason": problem.reason}})
        sys.exit(1)
    say({"base": base.sha256, "virtual_bytes": base.virtual_bytes})


if __name__ == "__main__":
    main()
