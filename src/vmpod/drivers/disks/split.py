"""VMDK disks in several files: a text that lists the extents, and the extents beside it.

QEMU would open whatever the text names. So the text is written anew in a folder of ours, naming only extents that are
plain files beside the original (VMware's Virtual Disk Format 5.0, "Text Descriptor").
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.disks import formats

FORMAT = "vmdk"
_BEGIN = b"# Disk DescriptorFile"
_MOST_TEXT = 1 << 20
_MOST_EXTENTS = 4096
_EXTENT = re.compile(
    r'^\s*(RW|RDONLY|NOACCESS)\s+(\d{1,18})\s+([A-Z]+)(?:\s+"([^"]*)")?(?:\s+(\d{1,18}))?\s*$', re.MULTILINE
)
_PARENT = re.compile(r"^\s*parentCID\s*=\s*([0-9a-fA-F]+)", re.MULTILINE)
_KINDS = ("SPARSE", "FLAT", "VMFS", "VMFSSPARSE", "ZERO")
_CREATED = {"FLAT": "twoGbMaxExtentFlat", "SPARSE": "twoGbMaxExtentSparse", "VMFS": "vmfs", "VMFSSPARSE": "vmfsSparse"}


def is_descriptor(path: Path) -> bool:
    """Whether a file is the text of a VMDK. Raises OSError."""
    with path.open("rb") as file:
        return file.read(512).lstrip().startswith(_BEGIN)


def descriptor_in(folder: Path) -> Path:
    """The one descriptor in a folder. Raises Problem when there is none, or more than one, and OSError."""
    found = [path for path in sorted(folder.glob("*.vmdk")) if path.is_file() and is_descriptor(path)]
    if len(found) != 1:
        why = f"the folder holds {len(found)} VMDK descriptors, and one is needed to say how the files belong together"
        raise Problem(f"use the folder {folder}", why, f"ls {folder}", "NoDisk")
    return found[0]


def gather(descriptor: Path, folder: Path) -> Path:
    """A descriptor of the same disk in `folder`, a place of ours. Raises Problem and OSError."""
    if descriptor.stat().st_size > _MOST_TEXT:
        raise _odd(descriptor, "its descriptor is longer than any", "Format")
    text = descriptor.read_text(errors="replace").rstrip("\0")
    if any(parent.lower() != "ffffffff" for parent in _PARENT.findall(text)):
        raise _odd(descriptor, "it lies on a parent disk", "ForeignFile")
    extents = _EXTENT.findall(text)
    if not extents or len(extents) > _MOST_EXTENTS:
        raise _odd(descriptor, f"it lists {len(extents)} extents", "Format")
    lines = [_line(descriptor, folder, number, extent) for number, extent in enumerate(extents)]
    kind = next((one[2] for one in extents if one[2] != "ZERO"), "SPARSE")
    made = folder / "gathered.vmdk"
    head = [_BEGIN.decode(), "version=1", "CID=fffffffe", "parentCID=ffffffff", f'createType="{_CREATED[kind]}"']
    made.write_text("\n".join([*head, *lines, ""]))
    return made


def _line(descriptor: Path, folder: Path, number: int, extent: tuple[str, str, str, str, str]) -> str:
    access, sectors, kind, name, offset = extent
    if kind not in _KINDS:
        raise _odd(descriptor, f"an extent of it is a {kind}, no file", "ForeignFile")
    if kind == "ZERO":
        return f"{access} {sectors} ZERO"
    if not name or name != os.path.basename(name) or name in (".", ".."):
        raise _odd(descriptor, f"its extent {name!r} is not beside it", "ForeignFile")
    beside = descriptor.parent / name
    try:
        formats.open_plain(beside).close()
    except FileNotFoundError:
        raise _odd(descriptor, f"its extent {name} is missing", "Missing") from None
    own = f"extent{number}.vmdk"
    (folder / own).symlink_to(beside.resolve())
    return f'{access} {sectors} {kind} "{own}"' + (f" {offset}" if offset else "")


def _odd(path: Path, why: str, reason: str) -> Problem:
    fix = f"flatten it where all of it is: qemu-img convert -O qcow2 {path} whole.qcow2"
    return Problem(f"use the image {path}", why, fix, reason)
