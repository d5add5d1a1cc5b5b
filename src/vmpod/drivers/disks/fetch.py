"""Room for images, and what is in them when they are packed with gzip, xz, zstd or bzip2."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from backports import zstd

from vmpod.base import files
from vmpod.base.errors import Problem
from vmpod.drivers.disks import formats
from vmpod.drivers.disks.pour import give_back

_RESERVE_BYTES = 64 << 20  # the engine's own database must still be written when an image has filled the rest
_OPENERS: dict[str, Callable[[Any], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open, "zstd": zstd.open}
_DAMAGE = (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, zstd.ZstdError)
DAMAGE = (*_DAMAGE, OSError)
"""what reading packed content raises when it is cut off or broken; see `is_damage` for the last"""


def check_room(what: str, folder: Path, wanted_bytes: int) -> None:
    """Raise Problem when `wanted_bytes` more would fill the disk of `folder`: better before than half-way."""
    free = shutil.disk_usage(folder).free
    if wanted_bytes + _RESERVE_BYTES > free:
        disk = next(one for one in (folder.resolve(), *folder.resolve().parents) if one.is_mount())
        why = f"it takes {wanted_bytes >> 20} MiB, and {free >> 20} MiB are free on the disk of {disk}"
        raise Problem(what, why, f"df -h {disk}", "NoSpace")  # the folder itself is gone when it is read


def is_damage(error: Exception) -> bool:
    """Whether an error tells of broken content: bzip2 says so by an OSError that no system call has numbered."""
    return isinstance(error, _DAMAGE) or (isinstance(error, OSError) and error.errno is None)


def opened(path: Path) -> BinaryIO:
    """A file's content, unpacked while it is read where it is packed. Raises OSError; reading it raises DAMAGE, too."""
    opener = _OPENERS.get(formats.compression(path))
    return cast(BinaryIO, opener(path)) if opener else path.open("rb")


def unpack(path: Path, folder: Path, *, owned: bool = False) -> Path:
    """The file itself, or its content unpacked into `folder` when it is compressed. Raises Problem.

    One that is `owned` is not needed any more: it gives its room back while it is read.
    """
    packed = formats.compression(path)
    if not packed:
        return path
    target = folder / "unpacked"
    try:
        with path.open("r+b" if owned else "rb", buffering=0) as file, _OPENERS[packed](file) as source:

            def step(_: int) -> None:
                check_room(f"unpack {path}", folder, 0)
                if owned:
                    give_back(file.fileno(), file.tell())

            files.copy_sparse(source, target, step)
    except DAMAGE as error:
        if not is_damage(error):
            raise
        why = f"the {packed} data is truncated or damaged ({error})"
        raise Problem(f"unpack {path}", why, "copy it again", "Damaged") from None
    return target
