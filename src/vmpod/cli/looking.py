"""Look into an image as a person names it: unpacked first when it is packed, taken out of its archive when in one."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.disks import archives, fetch, formats, split
from vmpod.drivers.inspection.facts import Image
from vmpod.drivers.inspection.look import look as look_into
from vmpod.intake import appliance
from vmpod.intake.appliance import Appliance
from vmpod.intake.image import Advice, advise, heeding


@dataclass(frozen=True)
class Opened:
    """What is on an image, what its archive says of its machine (if it lies in one), and what follows from both."""

    image: Image
    appliance: Appliance
    advice: Advice


def open_image(path: Path, ask: str = "auto") -> Opened:
    """Look into an image file or an archive; `ask` is virt-inspector's part (always, auto, never). What is unpacked for
    it goes afterwards. Raises Problem."""
    what = f"look into {path}"
    try:
        if split.is_descriptor(path):
            return _in_parts(path, ask)
        if archives.is_archive(path):
            return _archived(path, ask)
        found = _unpacked(path, ask) if formats.compression(path) else look_into(path, ask=ask)
    except OSError as error:
        raise Problem(what, error.strerror or str(error), f"ls -l {path}", "Missing") from None
    return Opened(found, Appliance(), advise(found))


def image_of(path: Path) -> Path:
    """The file that stands for what a person named: of a folder, the descriptor in it. Raises Problem."""
    try:
        return split.descriptor_in(path) if path.is_dir() else path
    except OSError as error:
        raise Problem(f"look into {path}", error.strerror or str(error), f"ls -l {path}", "Missing") from None


def _in_parts(path: Path, ask: str) -> Opened:
    with tempfile.TemporaryDirectory(prefix="vmpod-unpacked-") as folder:
        found = dataclasses.replace(look_into(split.gather(path, Path(folder)), split.FORMAT, ask=ask), path=str(path))
    return Opened(found, Appliance(), advise(found))


def _unpacked(path: Path, ask: str) -> Image:
    with tempfile.TemporaryDirectory(prefix="vmpod-unpacked-") as folder:
        return _as(path, look_into(fetch.unpack(path, Path(folder)), ask=ask))


def _as(path: Path, found: Image) -> Image:
    return dataclasses.replace(found, path=str(path), actual_bytes=path.stat().st_size)


def _archived(path: Path, ask: str) -> Opened:
    names = [one.name for one in archives.members(path)]
    described = appliance.description(names)
    said = appliance.read(described, archives.text(path, described), names) if described else appliance.bare(names)
    if not said.disks:
        raise Problem(f"look into {path}", "no disk image is in it", f"tar -tvf {path}", "NoDisk")
    with tempfile.TemporaryDirectory(prefix="vmpod-unpacked-") as folder:
        disk = Path(folder, "disk")
        archives.copy(path, said.disks[0].path, disk)
        found = _as(path, look_into(fetch.unpack(disk, Path(folder)), ask=ask))
    return Opened(found, said, heeding(advise(found), said))
