"""Running imports: one child process each, its progress told on the claim, a failure told and tried again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.disks.download import Access
from vmpod.drivers.disks.importer import Job

_log = log.get("imports")
_STUBBORN = frozenset({"Format", "ForeignFile", "Damaged", "Truncated", "Checksum", "NoDisk", "ManyDisks", "Missing",
                       "Unreadable", "TooSmall", "Unsupported", "InvalidImageName", "Exists"})  # fmt: skip
Progress = Callable[[dict[str, Any]], None]


def is_final(problem: Problem) -> bool:
    """Whether trying again cannot help: the image itself is wrong (CDI: a failed checksum is fatal)."""
    return problem.reason in _STUBBORN


async def run_job(job: Job, progress: Progress | None = None, access: Access = Access()) -> tuple[str, int]:
    """Run the importer; the base's SHA-256 and the size the guest sees, in bytes. Raises Problem.

    When it is cancelled the importer ends, and nothing half-made is left. It ends with this process, too.
    """
    folder = tempfile.mkdtemp(prefix="import-", dir=job.staging)
    try:
        return await _run(replace(job, staging=folder), progress, access)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))


async def _run(job: Job, progress: Progress | None, access: Access) -> tuple[str, int]:
    argv = [sys.executable, "-m", "vmpod.drivers.disks.importer", json.dumps(asdict(job)), str(os.getpid())]
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        last: dict[str, Any] = {}
        if process.stdin is not None:
            process.stdin.write(json.dumps(asdict(access)).encode())
            process.stdin.close()
        async for last in _lines(process):
            if progress is not None and "phase" in last:
                progress(last)
        said = await process.stderr.read() if process.stderr else b""
        await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its programs with it
            await process.wait()
    return _result(last, job, said)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    if process.stdout is not None:
        async for line in process.stdout:
            yield json.loads(line)


def _result(last: dict[str, Any], job: Job, said: bytes) -> tuple[str, int]:
    if "base" in last:
        return str(last["base"]), int(last["virtual_bytes"])
    if "problem" in last:
        raise Problem(**last["problem"])
    why = said.decode(errors="replace").strip().splitlines()[-1:] or ["the importer died"]
    raise Problem(f"import {job.name or job.source}", why[0], "vmpod engine logs", "Failed")


def job_for(paths: Paths, kind: str, source: str, **more: Any) -> Job:
    """A job whose product goes to this home's bases."""
    return Job(kind, source, str(paths.bases), str(paths.staging), **more)


def unpacking(job: Job, folder: Path, limit_bytes: int) -> Job:
    """The job whose source is an archive, of files that go into a folder."""
    return replace(job, target=str(folder), limit_bytes=limit_bytes)


def kept_folder(staging: Path, claim_uid: str) -> Path:
    """Where a download for a claim stays until it has come as a whole."""
    return staging / f"download-{claim_uid}"


def base_path(paths: Paths, sha256: str) -> Path:
    """Where a base image lies."""
    return paths.bases / f"{sha256}.qcow2"


def member_path(paths: Paths, sha256: str) -> Path:
    """Where a file lies that was taken out of an image as it is."""
    return paths.bases / f"{sha256}.file"
