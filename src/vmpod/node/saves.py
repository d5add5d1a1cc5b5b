"""The memory of machines on disk: written in the pod's folder, kept for the machine, given to its next pod.

Each step is a rename, so that whenever the engine dies there is one whole state or none. What was kept is used once:
its file is gone before the guest goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpod.base.paths import Paths

STATE, _RECORD = "state", "record.json"
_SAVING, _RESUMING = "saving", "resuming"
Record = dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """A machine's memory: where it is, and what was recorded with it."""

    folder: Path
    record: Record


def saving(paths: Paths, pod_uid: str) -> Path:
    """Where a pod's memory is written to."""
    return paths.pod(pod_uid) / _SAVING


def resuming(pod_folder: Path) -> Path:
    """Where the memory lies that a pod's machine starts with."""
    return pod_folder / _RESUMING


def note_start(paths: Paths, pod_uid: str, record: Record) -> None:
    """Remember with what a machine was started: `features`, and the `disks` that outlive it."""
    _write(paths.pod(pod_uid) / "started.json", record, durable=False)


def started(paths: Paths, pod_uid: str) -> Record | None:
    return _read(paths.pod(pod_uid) / "started.json")


def begin(paths: Paths, pod_uid: str) -> Path:
    """An empty place for the memory of a pod's machine; an unfinished attempt goes."""
    folder = saving(paths, pod_uid)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder / STATE


def finish(paths: Paths, pod_uid: str, record: Record) -> None:
    """The memory is whole now."""
    _write(saving(paths, pod_uid) / _RECORD, (started(paths, pod_uid) or {}) | record)


def is_begun(paths: Paths, pod_uid: str) -> bool:
    return saving(paths, pod_uid).exists()


def is_finished(paths: Paths, pod_uid: str) -> bool:
    return (saving(paths, pod_uid) / _RECORD).exists()


def give_up(paths: Paths, pod_uid: str) -> None:
    shutil.rmtree(saving(paths, pod_uid), ignore_errors=True)


def keep(paths: Paths, pod_uid: str) -> Saved | None:
    """Once QEMU has ended: keep what it left, with the disks of the pod's own. None where nothing whole is there."""
    folder = saving(paths, pod_uid)
    record = _read(folder / _RECORD)
    if record is None:
        return None
    own = paths.pod(pod_uid) / "disks"
    if own.exists() and not (folder / "disks").exists():
        own.rename(folder / "disks")
    _write(folder / _RECORD, record | {"marks": marks(record.get("disks") or {})})
    place = paths.saved(str(record["namespace"]), str(record["machine"]))
    shutil.rmtree(place, ignore_errors=True)
    folder.rename(place)
    return find(paths, str(record["namespace"]), str(record["machine"]))


def find(paths: Paths, namespace: str, machine: str) -> Saved | None:
    folder = paths.saved(namespace, machine)
    record = _read(folder / _RECORD)
    return Saved(folder, record) if record is not None else None


def claim(paths: Paths, pod_uid: str, saved: Saved) -> None:
    """Give the memory to a pod. Interrupted, `settle` does the rest."""
    saved.folder.rename(resuming(paths.pod(pod_uid)))
    settle(paths, pod_uid)


def settle(paths: Paths, pod_uid: str) -> bool:
    """Put the disks that belong to a pod's memory in their places; whether it has any."""
    folder = resuming(paths.pod(pod_uid))
    if not (folder / _RECORD).exists():
        return False
    if (folder / "disks").exists():
        (paths.pod(pod_uid) / "disks").mkdir(mode=0o711, exist_ok=True)
        for disk in (folder / "disks").iterdir():
            disk.replace(paths.pod(pod_uid) / "disks" / disk.name)
        (folder / "disks").rmdir()
    return True


def taken(pod_folder: Path) -> Record | None:
    """The record of the memory that a pod's machine starts with, None when it boots."""
    return _read(resuming(pod_folder) / _RECORD)


def forget_unread(paths: Paths, pod_uid: str) -> Record | None:
    """Throw away the memory that a pod's machine did not get to go on with; its record."""
    folder = resuming(paths.pod(pod_uid))
    if not (folder / STATE).exists():
        return None
    record = _read(folder / _RECORD)
    shutil.rmtree(folder, ignore_errors=True)
    return record


def give_back(paths: Paths, pod_uid: str) -> None:
    """A pod goes whose machine never went on with its memory: the next one has it."""
    folder = resuming(paths.pod(pod_uid))
    record = _read(folder / _RECORD)
    if record is None or not (folder / STATE).exists():
        return
    if "used" in record:
        Path(record["used"]).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return
    own = paths.pod(pod_uid) / "disks"
    if own.exists() and not (folder / "disks").exists():
        own.rename(folder / "disks")
    place = paths.saved(str(record["namespace"]), str(record["machine"]))
    shutil.rmtree(place, ignore_errors=True)
    folder.rename(place)


def begin_snapshot(paths: Paths, content_uid: str) -> Path:
    """An empty place for the memory of a snapshot; an unfinished attempt goes."""
    drop_snapshot(paths, content_uid)
    folder = paths.snapshots / content_uid
    folder.mkdir(mode=0o700)
    return folder / STATE


def finish_snapshot(paths: Paths, content_uid: str, record: Record) -> None:
    """The memory is whole now."""
    _write(paths.snapshots / content_uid / _RECORD, record)


def of_snapshot(paths: Paths, content_uid: str) -> Saved | None:
    record = _read(paths.snapshots / content_uid / _RECORD)
    return Saved(paths.snapshots / content_uid, record) if record is not None else None


def drop_snapshot(paths: Paths, content_uid: str) -> None:
    shutil.rmtree(paths.snapshots / content_uid, ignore_errors=True)


def is_used(saved: Saved, restore: str) -> bool:
    """Whether a machine has started since that restore."""
    return (saved.folder / f"used-{restore}").exists()


def use(saved: Saved, restore: str) -> None:
    """The first start after a restore has come, whether with the memory or not."""
    (saved.folder / f"used-{restore}").touch()


def lend(paths: Paths, pod_uid: str, saved: Saved, restore: str) -> None:
    """Give a pod the memory of a snapshot, which keeps it for other restores."""
    fresh = paths.pod(pod_uid) / "lending"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    os.link(saved.folder / STATE, fresh / STATE)
    _write(fresh / _RECORD, saved.record | {"used": str(saved.folder / f"used-{restore}")})
    fresh.rename(resuming(paths.pod(pod_uid)))


def drop(paths: Paths, namespace: str, machine: str) -> None:
    shutil.rmtree(paths.saved(namespace, machine), ignore_errors=True)


def sweep(paths: Paths, is_needed: Callable[[Record], bool]) -> None:
    """Remove what belongs to nobody any more."""
    for folder in paths.memory.glob("*"):
        record = _read(folder / _RECORD)
        if record is None or not is_needed(record):
            shutil.rmtree(folder, ignore_errors=True)


def marks(disks: Mapping[str, str]) -> dict[str, str]:
    """What changes when somebody writes to a disk: which file it is, its length and when it was written last."""
    return {name: _mark(Path(path)) for name, path in disks.items()}


def _mark(path: Path) -> str:
    try:
        seen = os.lstat(path)
    except OSError:
        return ""
    return f"{seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"


def _write(file: Path, record: Record, *, durable: bool = True) -> None:
    fresh = file.with_suffix(".new")
    with fresh.open("w") as out:
        out.write(json.dumps(record))
        out.flush()
        if durable:
            os.fsync(out.fileno())
    fresh.replace(file)


def _read(file: Path) -> Record | None:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
