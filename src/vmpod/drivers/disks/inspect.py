"""What `qemu-img` tells of an image whose format is already known to be harmless."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vmpod.base import proc
from vmpod.drivers.disks import formats, headers

_CORRUPT = 2  # qemu-img check: the image is corrupt; 3: it only leaks clusters
_BEYOND = (b"beyond", b"outside", b"end of the file", b"after EOF", b"Check failed")
_CHECKED = ("qcow2", "vdi", "vhdx", "vmdk")


@dataclass(frozen=True)
class DiskInfo:
    """An image: QEMU's format name, the size the guest sees and the room it takes, in bytes."""

    format: str
    virtual_bytes: int
    actual_bytes: int


async def inspect(path: Path, format: str = "") -> DiskInfo:
    """Look at an image, whose format may be known. Raises Problem when it is missing, damaged, of no known format or
    names other files."""
    found = format or formats.detect(path)
    headers.check(path, found)
    argv = ["qemu-img", "info", "--output=json", "-f", found, str(path)]
    done = await proc.run(argv, what=f"use the image {path}", check=False)
    if done.code != 0:
        raise headers.damaged(path, done.err.decode(errors="replace").strip())
    seen = json.loads(done.out)
    return DiskInfo(found, int(seen["virtual-size"]), int(seen.get("actual-size") or 0))


async def check(path: Path, found: str) -> None:
    """Raise Problem when the image's own tables point outside the file, as they do after a broken download."""
    if found not in _CHECKED:
        return
    argv = ["qemu-img", "check", "-q", "-f", found, str(path)]
    done = await proc.run(argv, what=f"check the image {path}", check=False, timeout_s=1800)
    if done.code == _CORRUPT or any(word in done.err for word in _BEYOND):
        raise headers.damaged(path, done.err.decode(errors="replace").strip().splitlines()[0] if done.err else "")
