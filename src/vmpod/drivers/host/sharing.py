"""The program that shares a folder with a guest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PROGRAM = "virtiofsd"
_OLD = "/usr/lib/qemu/virtiofsd"  # QEMU's own, until its version 8
PLACES = ("/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", _OLD)


def find(places: Iterable[str] = PLACES) -> str:
    """Where it is installed, the newer one first; empty where it is not."""
    return next((one for one in places if Path(one).is_file()), "")


def is_old(program: str) -> bool:
    """Whether it is the one of QEMU's, which can only confine itself with privileges that it has to be given."""
    return program == _OLD
