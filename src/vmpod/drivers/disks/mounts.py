"""mount(2) and its kin, and what is mounted where."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

READ_ONLY: Final = 1  # MS_RDONLY and so on, sys/mount.h
NO_SUID: Final = 2
NO_DEV: Final = 4
REMOUNT: Final = 32
BIND: Final = 4096
RECURSIVE: Final = 16384
PRIVATE: Final = 1 << 18
NEW_NAMESPACES: Final = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mnt, uts, ipc, pid, net
_DETACH: Final = 2
_ESCAPES: Final = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str | Path, type: str = "", flags: int = 0, options: str = "") -> None:
    """Raises OSError."""
    words = (os.fsencode(word) if word else None for word in (source, str(target), type))
    _check(_libc().mount(*words, ctypes.c_ulong(flags), os.fsencode(options) if options else None), target)


def bind(source: str | Path, target: str | Path, *, read_only: bool = True) -> None:
    """Show a file or folder at another place too. Raises OSError."""
    mount(str(source), target, flags=BIND)
    if read_only:
        mount("", target, flags=BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEV)


def unmount(target: str | Path) -> None:
    """Take away what is mounted there last, also while it is in use. Raises OSError."""
    _check(_libc().umount2(os.fsencode(target), _DETACH), target)


def leave_namespaces() -> None:
    """Give this process namespaces of its own for mounts, the network and more; its next child begins a tree of
    processes. Raises OSError."""
    _check(_libc().unshare(NEW_NAMESPACES), "unshare")


def below(folder: Path) -> list[Path]:
    """Where something is mounted in a folder, what was mounted last first (proc(5), mountinfo)."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [_plain(line.split()[4]) for line in lines]
    return [Path(one) for one in reversed(found) if f"{one}/".startswith(f"{folder}/")]


def _plain(word: str) -> str:
    for code, character in _ESCAPES.items():
        word = word.replace(code, character)
    return word


def _check(result: int, about: object) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(about))
