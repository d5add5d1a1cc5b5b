"""Small ISO 9660 disks (Joliet and Rock Ridge) that carry configuration into a guest."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

from vmpod.base.errors import Problem


def write_iso(path: Path, label: str, files: Mapping[str, bytes], *, owner: int | None = None) -> None:
    """Write an image in one step; files by slash-separated path. Only `owner` (a uid and gid) may read it: it may
    hold secrets.

    Raises Problem when the disk is full.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        _build(fresh, label, files)
        fresh.chmod(0o600)
        if owner is not None:
            os.chown(fresh, owner, owner)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Problem(f"write the seed disk {path.name}", str(error), reason="FailedMount") from None


def _build(path: Path, label: str, files: Mapping[str, bytes]) -> None:
    import pycdlib  # 30 ms and some MB: only for who needs a seed

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    folders = {part for name in files for part in _parents(name)}
    for folder in sorted(folders):
        iso.add_directory(_plain(folder, folders), rr_name=folder.rpartition("/")[2], joliet_path=f"/{folder}")
    for number, (name, content) in enumerate(sorted(files.items())):
        head = _plain(name.rpartition("/")[0], folders) if "/" in name else ""
        iso.add_fp(io.BytesIO(content), len(content), f"{head}/F{number}.;1", rr_name=name.rpartition("/")[2],
                   joliet_path=f"/{name}")
    iso.write(str(path))
    iso.close()


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _plain(folder: str, folders: set[str]) -> str:
    """A folder's name on the plain ISO 9660 side, where only D and a number fit any name."""
    if not folder:
        return ""
    parent = folder.rpartition("/")[0]
    return f"{_plain(parent, folders)}/D{sorted(folders).index(folder)}"
