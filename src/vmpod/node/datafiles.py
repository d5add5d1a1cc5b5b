"""Folders that hold the data of objects, switched in one step as the kubelet does."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from vmpod.node.translate.files import File

_NOW = "..data"


def write_files(folder: Path, content: list[File]) -> None:
    """Make a folder hold exactly these files, switching all of them at once.

    The files lie in a folder of their own that `..data` points to; each top-level name is a link through it.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if _current(folder) == {file.path: (file.content, file.mode) for file in content}:
        return
    fresh = _fresh_folder(folder)
    for file in content:
        path = fresh / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    _switch(folder, fresh, {file.path.partition("/")[0] for file in content})


def read_files(folder: Path) -> dict[str, bytes]:
    """What was written last, by path; empty before."""
    return {path: content for path, (content, _) in _current(folder).items()}


def _current(folder: Path) -> Mapping[str, tuple[bytes, int]]:
    data = folder / _NOW
    if not data.is_dir():
        return {}
    found = (path for path in data.resolve().rglob("*") if path.is_file())
    return {str(path.relative_to(data.resolve())): (path.read_bytes(), path.stat().st_mode & 0o7777) for path in found}


def _fresh_folder(folder: Path) -> Path:
    number = max((int(p.name[2:]) for p in folder.glob("..[0-9]*") if p.name[2:].isdigit()), default=0) + 1
    fresh = folder / f"..{number}"
    fresh.mkdir(mode=0o755)
    return fresh


def _switch(folder: Path, fresh: Path, tops: set[str]) -> None:
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(folder / _NOW)
    for top in tops:
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(f"..data/{top}")
    for path in folder.iterdir():
        if path.name.startswith("..") and path.name not in (_NOW, fresh.name):
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.startswith("..") and path.name not in tops:
            path.unlink(missing_ok=True)
