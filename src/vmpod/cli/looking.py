"""Look into an image as a person names it, unpacked first when it is packed."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.disks import fetch, formats
from vmpod.drivers.inspection.facts import Image
from vmpod.drivers.inspection.look import look as look_into


def look(path: Path) -> Image:
    """What is on an image. A packed one is unpacked into a folder that goes afterwards. Raises Problem."""
    what = f"look into {path}"
    try:
        if path.is_dir():
            raise Problem(what, "it is a folder", f"ls {path}", "Format")
        if not formats.compression(path):
            return look_into(path)
        with tempfile.TemporaryDirectory(prefix="vmpod-unpacked-") as folder:
            found = look_into(fetch.unpack(path, Path(folder)))
            return dataclasses.replace(found, path=str(path), actual_bytes=path.stat().st_size)
    except OSError as error:
        raise Problem(what, error.strerror or str(error), f"ls -l {path}", "Missing") from None
