"""A tree of files out of a tar archive that came from outside: only folders and plain files, each below its place."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vmpod.base.errors import Problem
from vmpod.drivers.disks import fetch

_MOST = 1_000_000  # entries; more are an attack on the file system's inodes
_FIX = "make the archive of plain files and folders only, named from their folder: tar -C FOLDER -cf files.tar ."


def extract(path: Path, target: Path, limit_bytes: int) -> int:
    """Put the files of an archive into `target`, a new folder; how many bytes they hold. Raises Problem, OSError.

    At most `limit_bytes` (0: any number). Links, devices, and names that lead out of the folder are refused.
    """
    what, taken = f"unpack {path}", 0
    target.mkdir(mode=0o777)
    target.chmod(0o777)
    try:
        with tarfile.open(path, "r:") as archive:
            for entry in _entries(archive, what):
                taken += entry.size if entry.isreg() else 0
                if limit_bytes and taken > limit_bytes:
                    why = f"its files hold more than the claim's {limit_bytes} bytes"
                    raise Problem(what, why, "ask for more storage", "TooSmall")
                _write(archive, entry, target, what)
    except (tarfile.TarError, EOFError) as error:
        raise Problem(what, f"it is no tar archive, or damaged ({error})", "tar -tf ARCHIVE", "Format") from None
    _give_away(target)
    return taken


def _entries(archive: tarfile.TarFile, what: str) -> Iterator[tarfile.TarInfo]:
    """One after the other, none of them kept."""
    for number, entry in enumerate(iter(archive.next, None)):
        archive.members = []  # type: ignore[attr-defined]  # it remembers every entry otherwise
        if number >= _MOST:
            raise Problem(what, f"it has more than {_MOST} entries", "make several archives", "Unsupported")
        yield entry


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, what: str) -> None:
    place = target / _inside(entry, what)
    try:
        if entry.isdir():
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
            return
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, entry.mode & 0o777)
    except (FileExistsError, NotADirectoryError):
        raise Problem(what, f"it holds {entry.name!r} twice", _FIX, "Format") from None
    fetch.check_room(what, target, entry.size)
    with os.fdopen(handle, "wb") as out:
        source: IO[bytes] | Any = archive.extractfile(entry)
        shutil.copyfileobj(source, out, 1 << 20)


def _inside(entry: tarfile.TarInfo, what: str) -> PurePosixPath:
    """The name of an entry below the folder. Raises Problem for what must not be there."""
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts:
        raise Problem(what, f"it holds {entry.name!r}, which leads out of the archive", _FIX, "ForeignFile")
    if not (entry.isdir() or entry.isreg()):
        kind = "a link" if entry.issym() or entry.islnk() else "neither a file nor a folder"
        raise Problem(what, f"it holds {entry.name!r}, which is {kind}", _FIX, "ForeignFile")
    return name


def _give_away(target: Path) -> None:
    """Let the user of machines and of unprivileged containers own what was made, as CDI does."""
    if os.geteuid() != 0:
        return
    for folder, _, names in os.walk(target):
        for one in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(one, 107, 107, follow_symlinks=False)
