"""Downloads that were cut off, kept so that the next importer goes on where they stopped.

In a folder of its own lie what has come (`download`) and what is known of it (`download.json`): from which URL, how
long it will be, and the server's name for the version. It counts until this machine starts anew; after a lost power
supply the file may be longer than what was written.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "download"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Part:
    """What a file is a part of: `version` is a strong validator of HTTP, `length` that of the whole in bytes."""

    url: str
    length: int
    version: str


@contextmanager
def held(folder: str) -> Iterator[None]:
    """Be alone with a folder, which is made where it is missing: an importer that is about to end may still write."""
    if not folder:
        yield
        return
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def note(folder: Path, part: Part) -> None:
    """Write down what comes now; in one step."""
    fresh = folder / f"{NAME}.new"
    fresh.write_text(json.dumps(asdict(part) | {"boot": _BOOT.read_text()}))
    fresh.replace(_record(folder))


def known(folder: Path, url: str) -> Part | None:
    """What the file in a folder is a part of; None when it cannot be gone on with from this URL."""
    try:
        said = json.loads(_record(folder).read_text())
        part, boot = Part(said["url"], int(said["length"]), said["version"]), said["boot"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return part if part.url == url and part.version and boot == _BOOT.read_text() else None


def forget(folder: Path) -> None:
    """What is there now is a part of nothing known."""
    _record(folder).unlink(missing_ok=True)


def is_known(folder: Path) -> bool:
    """Whether something in a folder may be gone on with."""
    return _record(folder).exists()


def _record(folder: Path) -> Path:
    return folder / f"{NAME}.json"
