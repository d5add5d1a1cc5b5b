"""What a machine needs on disk before it starts: the shared root, its socket folder, seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmpod.base import files
from vmpod.base.paths import Paths
from vmpod.drivers.qemu.seed import write_iso
from vmpod.drivers.qemu.spec import Nic
from vmpod.kinds.parts.acpi_tables import table_volumes
from vmpod.model.meta import Object, get, uid
from vmpod.node.datafiles import read_files
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate.cloudinit import Lookup, Seed, seed, table
from vmpod.node.translate.machine import TABLES
from vmpod.node.translate.machine_nics import QEMU_USER
from vmpod.node.translate.machine_shares import shared

_MOUNT_POINTS = ("proc", "sys", "dev", "tmp", "run", "run/vm", "etc", "etc/alternatives", "disks", "state", "usr",
                 "var")
_LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_SHOWN = ("/usr", "/etc/alternatives", "/etc/ld.so.cache")
_VARIABLES, _STAGES = "efi-vars.fd", "stages.json"
CARDS_MOVED = "cards-moved"
"""The file that marks a machine whose cards came or went since it began"""
_LOG_BYTES = 8 << 20
_KEPT_BYTES = 1 << 20


def ensure_root(root: Path) -> tuple[str, ...]:
    """Make the root file system that all compute containers share; the host's paths to show inside it."""
    for name in _MOUNT_POINTS:
        (root / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in _LINKS:
        host, ours = Path("/", name), root / name
        if host.is_symlink() and not ours.is_symlink():
            ours.symlink_to(os.readlink(host))
    plain = tuple(f"/{name}" for name in _LINKS if Path("/", name).is_dir() and not Path("/", name).is_symlink())
    return tuple(path for path in (*_SHOWN, *plain) if Path(path).exists())


def run_folder(paths: Paths, pod_uid: str) -> Path:
    """Where the sockets of a pod's machine are."""
    return paths.pod(pod_uid) / "run"


def ensure_run(paths: Paths, pod_uid: str) -> Path:
    """Make the socket folder; it belongs to QEMU's user."""
    folder = run_folder(paths, pod_uid)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _give(folder)
    return folder


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, QEMU_USER, QEMU_USER)


def share(paths: Paths, source_uid: str, pod_uid: str) -> None:
    """Give a pod the disks of the one whose machine it takes over, under names of its own: each may go alone."""
    mine, theirs = paths.pod(pod_uid) / "disks", paths.pod(source_uid) / "disks"
    ensure_run(paths, pod_uid)
    pairs = [(one, mine / one.name) for one in theirs.glob("*.*") if one.suffix in (".qcow2", ".iso")]
    pairs += [(one, paths.pod(pod_uid) / one.name) for one in paths.pod(source_uid).glob("*.base")]
    pairs.append((run_folder(paths, source_uid) / _VARIABLES, run_folder(paths, pod_uid) / _VARIABLES))
    pairs += [(paths.pod(source_uid) / one, paths.pod(pod_uid) / one) for one in (_STAGES, CARDS_MOVED)]
    for there, here in pairs:
        if there.is_file() and not there.is_symlink() and not here.exists():
            here.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            os.link(there, here, follow_symlinks=False)


def note_base(disk: Path, base: Path) -> None:
    """Record what a pod's own disk is about to be laid on, where its machine cannot write."""
    record = _base_record(disk)
    record.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    record.write_text(base.name)


def base_of(paths: Paths, disk: Path) -> Path | None:
    """What a pod's own disk lies on; None where there is no disk yet, or none was recorded."""
    record = _base_record(disk)
    return paths.bases / record.read_text() if disk.exists() and record.exists() else None


def _base_record(disk: Path) -> Path:
    return disk.parent.parent / f"{disk.stem}.base"


def write_tables(paths: Paths, pod: Object, vmi: Object, lookup: Lookup) -> dict[str, PreparedVolume]:
    """Write the firmware's tables that Secrets hold, once. Raises Problem when a Secret or its key is missing."""
    sources = {one["name"]: one for one in get(vmi, "spec", "volumes", default=())}
    made = {}
    for volume, key in table_volumes(vmi["spec"]).items():
        file = paths.pod(uid(pod)) / "tables" / key
        if not file.exists():
            file.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            files.write_anew(file, table(vmi, sources[volume], key, lookup))
            _give(file)
        made[f"table {volume}"] = PreparedVolume(file, True, binds=((str(file), f"{TABLES}/{key}", True),))
    return made


def write_seeds(
    paths: Paths, pod: Object, vmi: Object, lookup: Lookup, cards: Sequence[Nic] = ()
) -> dict[str, PreparedVolume]:
    """Write the seed disk of every volume that is made of objects, once. Raises Problem when an object is missing."""
    wanted = [one for one in get(vmi, "spec", "volumes", default=()) if one["name"] not in shared(vmi)]
    return {
        one["name"]: made for one in wanted
        if (made := _write_seed(paths, pod, vmi, one, lookup, cards)) is not None
    }


def _write_seed(
    paths: Paths, pod: Object, vmi: Object, volume: Mapping[str, object], lookup: Lookup, cards: Sequence[Nic]
) -> PreparedVolume | None:
    file = paths.pod(uid(pod)) / "disks" / f"{volume['name']}.iso"
    inside = f"/disks/seed/{volume['name']}.iso"
    if not file.exists():
        wanted = _account(paths, pod, volume) or seed(vmi, volume, lookup, pod, cards)
        if wanted is None:
            return None
        file.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        write_iso(file, wanted.label, wanted.files, owner=QEMU_USER if os.geteuid() == 0 else None)
    bind = (str(file), inside, False)  # writable: QEMU has no read-only SATA disk, and a seed may be one
    return PreparedVolume(file, container_path=inside, format="raw", binds=(bind,))


def _account(paths: Paths, pod: Object, volume: Mapping[str, object]) -> Seed | None:
    """What the launcher was given for the machine's service account."""
    if "serviceAccount" not in volume:
        return None
    return Seed("cfgdata", read_files(paths.pod(uid(pod)) / "volumes" / str(volume["name"])))


def trim_log(file: Path) -> None:
    """Keep a console's log from growing for ever: above 8 MiB its last 1 MiB goes to `.1` and it starts anew.

    QEMU appends, so the file may be cut under it.
    """
    try:
        with files.open_plain(file, write=True) as log:
            if os.fstat(log.fileno()).st_size <= _LOG_BYTES:
                return
            log.seek(-_KEPT_BYTES, os.SEEK_END)
            files.write_anew(file.with_name(file.name + ".1"), log.read(_KEPT_BYTES))
            log.truncate(0)
    except OSError:
        pass
