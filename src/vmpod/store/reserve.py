"""Room that the store keeps in its own log: that the disk is full, and what came of it, can then still be stored.

Blocks that are given back to a full disk go to whoever asks first. Those inside the log stay the store's: SQLite takes
zeroes behind the last frame of a log for its end (https://www.sqlite.org/walformat.html).
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

BYTES = 1 << 20
_ROOMY_BYTES = 16 << 20
_HEADER, _FRAME_HEADER = 32, 24


class Reserve:
    """Keeps blocks behind the last frame of a write-ahead log: between half a MiB and one."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._handle = os.open(log, os.O_RDWR | os.O_CLOEXEC)

    def hold(self) -> None:
        """Look whether there is room left, and take some if the disk has plenty. Without it the store works too."""
        end = self._end()
        if os.fstat(self._handle).st_size - end >= BYTES // 2:
            return
        with suppress(OSError):
            if shutil.disk_usage(self._log.parent).free >= _ROOMY_BYTES:
                os.posix_fallocate(self._handle, 0, end + BYTES)

    def close(self) -> None:
        os.close(self._handle)

    def _end(self) -> int:
        """Where the newest frame ends. All that are of this round of the log have its salts, and lie in front."""
        header = os.pread(self._handle, _HEADER, 0)
        frame = int.from_bytes(header[8:12], "big") + _FRAME_HEADER
        low, high = 0, (os.fstat(self._handle).st_size - _HEADER) // frame
        if not any(header):
            return 0
        while low < high:
            middle = (low + high) // 2
            if os.pread(self._handle, 8, _HEADER + middle * frame + 8) == header[16:24]:
                low = middle + 1
            else:
                high = middle
        return _HEADER + low * frame
