"""Whether the kernel ended a container for its memory, by the kernel's own log.

podman's monitor should note it, but misses it on kernels with control groups v1: the group is gone with its last
process before the monitor reads the count. The record names the group, and the group the container.
"""

from __future__ import annotations

import os
from functools import lru_cache

_KERNEL_LOG = "/dev/kmsg"
_RECORD_BYTES = 8192  # the longest record (Documentation/ABI/testing/dev-kmsg)


@lru_cache(maxsize=4096)
def was_killed(id: str, log: str = _KERNEL_LOG) -> bool:
    """Whether there is a record of it; asked once for each container that has ended. False where the log is closed
    to us, as it is to a user without rights."""
    try:
        opened = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return any(b"oom-kill:" in record and id.encode() in record for record in iter(lambda: _next(opened), b""))
    finally:
        os.close(opened)


def _next(opened: int) -> bytes:
    """One record; empty at the end."""
    while True:
        try:
            return os.read(opened, _RECORD_BYTES)
        except BrokenPipeError:  # it was overwritten while we read: the next one follows
            continue
        except OSError:
            return b""
