"""Archives that hold disks: appliances (.ova, a tar with an OVF description) and Vagrant boxes (a tar, mostly packed).

Nothing is unpacked to a path that an archive names: wanted members are copied one by one to paths of ours, and members
that are links, or whose names lead outside, are refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from vmpod.base import files
from vmpod.base.errors import Problem
from vmpod.drivers.disks import fetch, formats
from vmpod.drivers.disks.fetch import check_room

_BLOCK = 1 << 20
_MOST_TEXT = 1 << 20
_MOST_MEMBERS = 4096
_USTAR = 257
Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name as written and its length in bytes."""

    name: str
    size: int


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, packed or not. Raises OSError."""
    try:
        with fetch.opened(path) as file:
            head = file.read(_USTAR + 5)
    except fetch.DAMAGE as error:
        if not fetch.is_damage(error):
            raise
        return False
    return bool(head[_USTAR : _USTAR + 5] == b"ustar")


def members(path: Path) -> list[Member]:
    """The files of an archive. Raises Problem when it is damaged, or holds what no image needs."""
    with _opened(path) as tar:
        return [Member(one.name, one.size) for one in _checked(tar, path)]


def text(path: Path, name: str) -> str:
    """A short text in an archive. Raises Problem."""
    with _opened(path) as tar:
        for one in _checked(tar, path):
            if one.name == name:
                if one.size > _MOST_TEXT:
                    raise _odd(path, f"{name} has {one.size} bytes, too many for a description")
                return cast(IO[bytes], tar.extractfile(one)).read().decode(errors="replace")
    raise _odd(path, f"there is no {name} in it")


def copy(path: Path, name: str, target: Path, progress: Progress | None = None) -> None:
    """Copy one member to `target`, holes kept, and see that the archive is whole. Raises Problem."""
    with _opened(path, whole=True) as tar:
        for one in _checked(tar, path):
            if one.name == name:
                watch = _watch(path, target, one.size, progress)
                files.copy_sparse(cast(BinaryIO, tar.extractfile(one)), target, watch)
                return
    raise _odd(path, f"there is no {name} in it")


def _watch(path: Path, target: Path, size: int, progress: Progress | None) -> Callable[[int], None]:
    """Tell of the progress, and stop before the disk is full: what a packed archive holds cannot be known before."""

    def each(done: int) -> None:
        check_room(f"import {path}", target.parent, 0)
        if progress is not None:
            progress({"phase": "unpack", "percent": round(100 * done / max(1, size), 2)})

    return each


@contextmanager
def _opened(path: Path, *, whole: bool = False) -> Iterator[tarfile.TarFile]:
    """The archive, from its beginning; `whole`: what is left is read, too, since only then a packed one is checked."""
    is_packed = bool(formats.compression(path))
    try:
        with fetch.opened(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar
            while whole and is_packed and stream.read(_BLOCK):
                pass
    except (tarfile.TarError, *fetch.DAMAGE) as error:
        if not isinstance(error, tarfile.TarError) and not fetch.is_damage(error):
            raise
        raise _odd(path, f"the archive is truncated or damaged ({error})", "Damaged") from None


def _checked(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files of an archive. Raises Problem for links, devices, names that lead outside, and too many."""
    for number, one in enumerate(tar):
        if number >= _MOST_MEMBERS:
            raise _odd(path, f"it holds more than {_MOST_MEMBERS} files")
        if one.isdir():
            continue
        if not one.isreg():
            raise _odd(path, f"{one.name!r} in it is a link or a device, which is never followed", "ForeignFile")
        if one.name.startswith("/") or ".." in Path(one.name).parts:
            raise _odd(path, f"{one.name!r} in it leads outside", "ForeignFile")
        yield one


def _odd(path: Path, why: str, reason: str = "Format") -> Problem:
    return Problem(f"use the archive {path}", why, f"tar -tvf {path}", reason)
