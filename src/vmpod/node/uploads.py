"""An image on its way in from a client: a file in the staging folder, written by threads, removed unless it arrives."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from pathlib import Path

import orjson

from vmpod.base.errors import Problem
from vmpod.drivers.disks import fetch, formats
from vmpod.drivers.disks.importer import no_room
from vmpod.model.status import ApiError, unavailable

_STDIN, _ERROR = 0, 3
_WHOLE = "whole"  # the name of a file that nothing is missing of
_WHAT = "take the uploaded image"


class Upload:
    """A stream of one direction: bytes to channel 0, empty ones at the end; then one Status on channel 3.

    `task` sees it to its end; when the stream is closed before the end, the task is cancelled and nothing is left.
    What has arrived whole outlives this process: the next engine goes on with it. `name` is the claim's, by uid.
    """

    def __init__(self, staging: Path, size: int, name: str, *, archive: bool = False, limit: int = 0) -> None:
        self._taken, self._limit = 0, limit
        try:
            self._check_size(size)
            fetch.check_room(_WHAT, staging, size)
        except Problem as problem:
            raise _refused(problem) from None
        self.task: asyncio.Task[None] | None = None
        self._folder = _folder(staging, name)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        self._path = self._folder / "download"
        self._file = self._path.open("wb")
        self._digest = hashlib.sha256()
        self._is_archive = archive
        self._writing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing.set_result(None)
        self._arrived: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        self._result: asyncio.Future[Problem | None] = asyncio.get_running_loop().create_future()
        self._told = False

    async def send(self, channel: int, data: bytes) -> None:
        """Write the next part; after the last one its format is looked at. Raises ApiError."""
        if channel != _STDIN:
            return
        if self.task is None or self.task.done():
            raise unavailable("the claim is gone")
        try:
            await self._writing
            if data:  # written while the next part comes
                self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, data))
            else:
                await asyncio.to_thread(self._finish)
        except Problem as problem:
            raise _refused(problem) from None
        except (OSError, ValueError) as fault:  # ValueError: closed, the claim is being deleted
            error = fault if isinstance(fault, OSError) else OSError(str(fault))
            raise _refused(no_room(_WHAT, error, str(self._folder.parent))) from None
        if not data and not self._arrived.done():
            self._arrived.set_result(self._folder / _WHOLE)

    def _write(self, data: bytes) -> None:
        """A client need not say how much comes, so the room is looked at each time."""
        self._taken += len(data)
        self._check_size(self._taken)
        fetch.check_room(_WHAT, self._folder.parent, len(data))
        self._file.write(data)
        self._digest.update(data)

    def _check_size(self, size: int) -> None:
        """Raises Problem for more bytes than any image has that fits into the claim."""
        if self._limit and size > self._limit:
            why = f"its {size} bytes or more are larger than the claim"
            raise Problem(_WHAT, why, "upload into a larger claim", "TooSmall")

    @property
    def sha256(self) -> str:
        """Of what has arrived."""
        return self._digest.hexdigest()

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        try:
            if not self._is_archive and not formats.compression(self._path):
                formats.detect(self._path)
        except Problem as problem:
            text = problem.why.replace(str(self._path), "the uploaded image")
            raise Problem(_WHAT, text, "upload a disk image: qcow2, vmdk, vdi, vhdx, raw", problem.reason) from None
        self._path.rename(self._folder / _WHOLE)

    async def receive(self) -> tuple[int, bytes] | None:
        """How it ended, once."""
        if self._told:
            return None
        self._told = True
        problem = await asyncio.shield(self._result)
        if problem is None:
            return _ERROR, orjson.dumps({"metadata": {}, "status": "Success"})
        return _ERROR, orjson.dumps(_refused(problem).to_status())

    async def close(self) -> None:
        """Give up what has not arrived whole."""
        if not self._arrived.done() and self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def arrived(self) -> Path:
        """The file, once all of it is there."""
        return await self._arrived

    def end(self, problem: Problem | None) -> None:
        """Tell whoever waits how it ended; what still comes is refused."""
        self._file.close()
        self._writing.add_done_callback(lambda last: last.cancelled() or last.exception())  # nobody waits for it now
        if not self._result.done():
            self._result.set_result(problem)


def arrived(staging: Path, name: str) -> Path | None:
    """The upload into a claim that is here as a whole."""
    path = _folder(staging, name) / _WHOLE
    return path if path.is_file() else None


def discard(staging: Path, name: str) -> None:
    """Remove what was uploaded for a claim; runs in a thread."""
    shutil.rmtree(_folder(staging, name), ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Whether a folder in staging is an upload that has arrived."""
    return (folder / _WHOLE).is_file()


def _folder(staging: Path, name: str) -> Path:
    return staging / f"upload-{name}"


def _refused(problem: Problem) -> ApiError:
    return ApiError(400, "BadRequest", str(problem))
