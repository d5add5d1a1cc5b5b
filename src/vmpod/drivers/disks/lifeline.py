"""Processes of ours that must not outlive the engine, however it ends."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with(parent: int, staging: Path | None = None) -> None:
    """See to it that this process ends when its parent does, however that comes about, and leaves nothing in `staging`.

    An exception raised by the signal could be lost on its way; so the end is here, for our own programs too. To be
    asked for again after a change of user, by which the kernel forgets it.
    """

    def leave(*_: object) -> None:
        for left in staging.glob("*") if staging else ():
            shutil.rmtree(left, ignore_errors=True)
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, leave)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we could ask
        leave()
