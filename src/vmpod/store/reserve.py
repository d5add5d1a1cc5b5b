"""Room that the store keeps in its own log: that the disk is full, and what came of it, can then still be stored.

Blocks that are given back to a full disk go to whoever asks first. Those inside the log stay the store's: SQLite
writes a log that was moved into its file anew from the start, and reads zeroes behind its end as that end
(https://www.sqlite.org/walformat.html).
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

BYTES = 1 << 20
_ROOMY_BYTES = 16 << 20


def hold(log: Path) -> None:
    """Give blocks to the first MiB of a write-ahead log, if the disk has plenty. Without them the store works too."""
    with suppress(OSError):
        if shutil.disk_usage(log.parent).free < _ROOMY_BYTES:
            return
        handle = os.open(log, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.posix_fallocate(handle, 0, BYTES)
        finally:
            os.close(handle)
