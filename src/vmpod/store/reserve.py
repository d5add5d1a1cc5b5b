"""Room that is kept for the store on its disk: that the disk is full, and what came of it, can then still be stored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_BYTES = 1 << 20
_ROOMY_BYTES = 16 << 20


class Reserve:
    """A file that holds the room. The first write that finds the disk full releases it; it is taken again later."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> None:
        """Hold the room if it is not held, and the disk has plenty."""
        try:
            if self._path.exists() or shutil.disk_usage(self._path.parent).free < _ROOMY_BYTES:
                return
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, _BYTES)
            finally:
                os.close(handle)
        except OSError:
            self.release()  # half of it is of no use

    def release(self) -> bool:
        """Give the room away; whether there was some."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def beside(database: str) -> Reserve | None:
    """The reserve of a database file; none for one in memory."""
    return Reserve(Path(database).with_suffix(".reserve")) if database else None
