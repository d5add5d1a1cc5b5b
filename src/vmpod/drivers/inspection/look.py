"""Look into an image: `look(path)`.

QEMU serves the image's bytes; a process of its own, with no rights and little memory, makes sense of them: an image
from elsewhere may be made to break its reader.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.disks import formats, headers
from vmpod.drivers.inspection import blocks, facts, filesystems, inspector, linux, lvm, mdraid, partitions, windows
from vmpod.drivers.inspection.blocks import Blocks, Slice
from vmpod.drivers.inspection.btrfs import Btrfs
from vmpod.drivers.inspection.facts import Image, Loader, Part, System, Trouble
from vmpod.drivers.inspection.filesystems import Mark
from vmpod.drivers.inspection.partitions import Division
from vmpod.drivers.inspection.trees import READ_BY_TSK, Sleuth, Tree, Volume
from vmpod.drivers.inspection.xfs import Xfs

_MOST_MEMORY = 2 << 30
_LONGEST_S = 120.0
_MOST_BITMAP = 16 << 20
_NOBODY = 65534
_OWN_READERS: Mapping[str, Callable[[Blocks], Volume]] = {"xfs": Xfs, "btrfs": Btrfs}
_HERE = "x86_64"
_DEFAULT = "/EFI/BOOT/BOOTX64.EFI"
_MACHINES = {0x8664: "x86_64", 0x14C: "i386", 0xAA64: "aarch64", 0x1C2: "arm", 0x5064: "riscv64"}
_NAMED = {"X64": "x86_64", "AA64": "aarch64", "IA32": "i386", "ARM": "arm", "RISCV64": "riscv64"}


@dataclass(frozen=True)
class Found:
    """A part with its bytes, and its files when they can be read."""

    part: Part
    uuid: str
    blocks: Blocks
    volume: Volume | None


def look(path: Path, format: str = "", *, ask: str = "never") -> Image:
    """All that can be told of an image, whose format may be known; `ask` says whether virt-inspector is asked, too
    (always, auto, never). Raises Problem when it is no image, damaged, or refers to other files."""
    format = format or formats.detect(path)
    headers.check(path, format)
    found = _looked(path, format)
    if not inspector.is_wanted(found, ask):
        return found
    try:
        return inspector.added(found, path, format)
    except Problem as problem:
        if ask == "always":
            raise
        return dataclasses.replace(found, inspector=f"nothing ({problem.why})")


def _looked(path: Path, format: str) -> Image:
    with blocks.serving(path, format) as connection:
        argv = [sys.executable, "-m", __name__, str(connection.fileno()), str(path)]
        try:
            child = subprocess.run(argv, pass_fds=(connection.fileno(),), stdin=subprocess.DEVNULL, capture_output=True,
                                   timeout=_LONGEST_S, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _odd(path, f"reading it takes more than {_LONGEST_S:g} s") from None
    try:
        said = json.loads(child.stdout)
    except ValueError:
        why = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _odd(path, why or f"its reader ended with {child.returncode}") from None
    if "problem" in said:
        raise Problem(**said["problem"])
    return facts.restored(said | {"format": format, "actual_bytes": path.stat().st_blocks * 512})


def _odd(path: Path, why: str) -> Problem:
    return Problem(f"look into {path}", why, f"qemu-img check {path}", "Damaged")


def examine(disk: Blocks, name: str = "") -> Image:
    """What its bytes tell of a disk."""
    division = partitions.read(disk)
    found = list(_parts(disk, division))
    unread = tuple(f"{one.part.name}: {one.part.filesystem}" for one in found if _is_closed(one, found))
    return Image(
        path=name, format="raw", virtual_bytes=disk.size, actual_bytes=0, table=division.table,
        boots=tuple(_boots(division, found)), cdrom=division.table == "iso9660",
        parts=tuple(one.part for one in found), system=_system(division, found), unread=unread,
        loaders=tuple(_loaders(found)), beyond=division.beyond,
    )  # fmt: skip


def _is_closed(one: Found, found: list[Found]) -> bool:
    has_inner = any(other.part.name == f"{one.part.name} (mirror)" for other in found)
    return one.volume is None and one.part.filesystem not in ("", "swap", "lvm") and not has_inner


def _parts(disk: Blocks, division: Division) -> Iterator[Found]:
    listed = division.parts or (Part("disk", 0, disk.size, label=""),)
    members: list[Blocks] = []
    for part in listed:
        for one in _found(part, Slice(disk, part.start, part.size)):
            members += [one.blocks] if one.part.filesystem == "lvm" else []
            yield one
    for name, piece in lvm.volumes(members):
        yield from _found(Part(name, -1, piece.size, "lvm"), piece)


def _found(part: Part, piece: Blocks) -> Iterator[Found]:
    """What is in a part, and when that is a mirror what is in the mirror."""
    mark = filesystems.mark(piece)
    volume = _volume(mark.name, piece)
    free = _free(mark, piece, volume)
    part = dataclasses.replace(part, filesystem=mark.name, label=mark.label or part.label, free_bytes=free)
    yield Found(part, mark.uuid, piece, volume)
    inner = mdraid.mirrored(piece) if mark.name == "mdraid" and part.kind != "mirror" else None
    if inner is not None and inner.size:
        yield from _found(Part(f"{part.name} (mirror)", -1, inner.size, "mirror"), inner)


def _free(mark: Mark, piece: Blocks, volume: Volume | None) -> int:
    if mark.name != "ntfs" or volume is None:
        return mark.free_bytes
    return filesystems.free_of_ntfs(piece, volume.content("/$Bitmap", _MOST_BITMAP))


def _volume(filesystem: str, piece: Blocks) -> Volume | None:
    try:
        if filesystem in _OWN_READERS:
            return _OWN_READERS[filesystem](piece)
        return Sleuth(piece) if filesystem in READ_BY_TSK else None
    except OSError:
        return None


def _boots(division: Division, found: list[Found]) -> Iterator[str]:
    """bios: code in the first sector and a place it goes on from; uefi: a loader on a FAT file system."""
    if division.table == "iso9660":
        yield from division.el_torito
        return
    kinds = {one.part.kind for one in found}
    loaders = list(_loaders(found))
    if division.boot_code and (division.table != "gpt" or "bios-boot" in kinds or not loaders):
        yield "bios"
    if any(one.path.upper() == _DEFAULT and one.machine in (_HERE, "") for one in loaders):
        yield "uefi"


def _loaders(found: list[Found]) -> Iterator[Loader]:
    """The programs for UEFI on the disk."""
    for one in found:
        if one.part.filesystem in ("vfat", "iso9660") and one.volume is not None:
            tree = Tree(one.volume)
            for path in tree.below("/EFI", 2):
                if path.upper().endswith(".EFI"):
                    yield Loader(path, _machine(path, tree.read(path, 4096)))


def _machine(path: str, head: bytes) -> str:
    """The processor that a program for UEFI is for: by its header (PE, "COFF File Header"), else by its name."""
    at = int.from_bytes(head[0x3C:0x40], "little")
    if head[at : at + 4] == b"PE\0\0":
        kind = int.from_bytes(head[at + 4 : at + 6], "little")
        return _MACHINES.get(kind, f"PE machine {kind:#x}")
    ending = path.upper().removesuffix(".EFI")
    return next((machine for word, machine in _NAMED.items() if ending.endswith(word)), "")


def _system(division: Division, found: list[Found]) -> System:
    for volume in (volume for one in found for volume in _volumes(one)):
        tree = Tree(volume)
        if windows.is_windows(tree):
            return windows.system(tree)
        if linux.is_linux(tree):
            seen = linux.system(Tree(volume, mounted(tree, found, volume)))
            return dataclasses.replace(seen, troubles=(*seen.troubles, *_loader_troubles(division, found)))
    return System(troubles=tuple(_loader_troubles(division, found)))


def _volumes(one: Found) -> Iterator[Volume]:
    """What may be the root of a system in a part: its file system, and of btrfs the subvolumes, the upper ones first,
    for below them are snapshots."""
    if one.volume is not None:
        yield one.volume
    if isinstance(one.volume, Btrfs):
        inner = one.volume.subvolumes()
        yield from (inner[path] for path in sorted(inner, key=lambda path: (path.count("/"), path)))


def _loader_troubles(division: Division, found: list[Found]) -> Iterator[Trouble]:
    if division.needs_active:
        what = "no partition is marked active, and the code in the first sector may start only such a one"
        yield Trouble(what, "the partition table", "sfdisk --activate DISK NUMBER, on a raw copy")
    loaders = list(_loaders(found))
    if loaders and not any(one.path.upper().startswith("/EFI/BOOT/BOOT") for one in loaders):
        remedy = f"copy it to {_DEFAULT}, or keep a persistent firmware and choose it once"
        what = f"UEFI finds its loader by an entry of the old machine only ({loaders[0].path})"
        yield Trouble(what, "the EFI partition", remedy)


def mounted(tree: Tree, found: list[Found], root: Volume) -> dict[str, Volume]:
    """The other file systems at the places where fstab mounts them; a partition with kernels is /boot in any case."""
    places: dict[str, Volume] = {}
    named = _by_name(found)
    for device, place, options in linux.fstab(tree):
        one = named.get(device.strip('"'))
        volume = _subvolume(one.volume, options) if one is not None else None
        if volume is not None and volume is not root and place.startswith("/") and place != "/":
            places[place.rstrip("/")] = volume
    for one in found:
        if "/boot" not in places and one.volume not in (root, None) and _has_kernel(Tree(one.volume)):
            places["/boot"] = one.volume
    return places


def _subvolume(volume: Volume | None, options: str) -> Volume | None:
    """What is mounted by these options: of btrfs the subvolume that `subvol=` names."""
    name = next((word[7:] for word in options.split(",") if word.startswith("subvol=")), "")
    return volume.subvolumes().get(name.strip("/")) if name and isinstance(volume, Btrfs) else volume


def _by_name(found: list[Found]) -> Mapping[str, Found]:
    named = {}
    for one in found:
        group, slash, volume = one.part.name.partition("/")
        if slash:
            named[f"/dev/{group}/{volume}"] = one
            named[f"/dev/mapper/{group.replace('-', '--')}-{volume.replace('-', '--')}"] = one
        if one.uuid:
            named[f"UUID={one.uuid}"] = one
        if one.part.label:
            named[f"LABEL={one.part.label}"] = one
        for prefix in ("sda", "vda", "hda", "xvda"):
            named[f"/dev/{prefix}{one.part.name}"] = one
    return named


def _has_kernel(tree: Tree) -> bool:
    return any(name.startswith(("vmlinuz", "bzImage")) for name in tree.names("/"))


def drop_rights() -> None:
    """Become nobody, if we are root, in a process that can start no other and holds little memory."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def main() -> None:
    """The process: a connection and the image's name in, one line of JSON out."""
    connection, name = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    connection.settimeout(_LONGEST_S)
    b"".decode("utf-16-le"), b"".decode("latin-1"), b"".decode("ascii")  # codecs are files that nobody may not reach
    drop_rights()
    try:
        said = dataclasses.asdict(examine(blocks.Nbd(connection), name))
    except Problem as problem:
        said = {"problem": {"what": problem.what, "why": problem.why, "fix": problem.fix, "reason": problem.reason}}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
