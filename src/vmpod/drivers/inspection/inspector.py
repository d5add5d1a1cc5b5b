"""What virt-inspector (libguestfs) tells of an image, where it is installed.

It starts a small machine of its own and mounts the image in there, which takes from seconds (KVM) to minutes. So it is
asked for what our own readers cannot read (thin volumes, RAID, other systems' file systems), or when somebody wants it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.drivers.inspection.facts import Image, System

PROGRAM = "virt-inspector"
_LONGEST_S = 600.0
_MOST_BYTES = 64 << 20
_READ_BY_NONE = ("swap", "luks", "bitlocker")
_ROLES = ("bios-boot", "swap", "extended", "reserved", "efi")
_SSH = ("openssh-server", "openssh", "dropbear")


def is_wanted(image: Image, how: str) -> bool:
    """Whether to ask: always, never, or (auto) when no system was found and something on the disk was not read."""
    if how == "never" or not shutil.which(PROGRAM):
        return False
    closed = any(one.rpartition(": ")[2] not in _READ_BY_NONE for one in image.unread)
    strange = bool(image.table) and any(not one.filesystem and one.kind not in _ROLES for one in image.parts)
    return how == "always" or (not image.system.family and not image.cdrom and (closed or strange))


def added(image: Image, path: Path, format: str) -> Image:
    """The image with what virt-inspector says of it. Raises Problem when it fails."""
    said = read(_asked(path, format))
    if said is None:
        return dataclasses.replace(image, inspector="no system that it knows")
    what = f"{said.name} {f'({said.architecture})' if said.architecture else ''}".rstrip()
    return dataclasses.replace(image, system=joined(image.system, said), inspector=what)


def _asked(path: Path, format: str) -> str:
    argv = [PROGRAM, "--no-icon", f"--format={format}", "-a", str(path.absolute())]
    env = {"LIBGUESTFS_BACKEND": "direct", **os.environ}
    fix = "vmpod inspect --virt-inspector never, or see libguestfs-test-tool"
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_S, check=False,
                              env=env, start_new_session=True)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Problem(f"ask {PROGRAM} of {path}", f"it takes more than {_LONGEST_S:g} s", fix, "Timeout") from None
    if done.returncode or len(done.stdout) > _MOST_BYTES:
        why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"it ended with {done.returncode}"
        raise Problem(f"ask {PROGRAM} of {path}", why, fix, "Failed")
    return done.stdout.decode(errors="replace")


def read(text: str) -> System | None:
    """The first system that it found; None when there is none. Raises Problem when the answer is no XML."""
    try:
        root = xml.fromstring(text)
    except xml.ParseError as error:
        raise Problem(f"ask {PROGRAM}", f"its answer is no XML ({error})", f"{PROGRAM} --version", "Format") from None
    found = root.find("operatingsystem")
    if found is None:
        return None
    family, distribution = _text(found, "name"), _text(found, "distro")
    version = ".".join(filter(None, (_text(found, "major_version"), _text(found, "minor_version"))))
    packages = {_text(one, "name") for one in found.iterfind("applications/application")}
    return System(
        family=family, id=distribution or family, version="" if version in ("0", "0.0") else version,
        name=_text(found, "product_name") or distribution or family.capitalize(), architecture=_text(found, "arch"),
        hostname=_text(found, "hostname"), cloud_init="cloud-init" in packages, ssh=bool(packages.intersection(_SSH)),
        guest_agent="qemu-guest-agent" in packages or "QEMU Guest Agent" in packages,
    )  # fmt: skip


def _text(element: xml.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def joined(own: System, said: System) -> System:
    """What we saw, completed by what it says; where both say something, what we saw stays."""
    if not own.family:
        return dataclasses.replace(said, troubles=own.troubles)
    filled = {name: getattr(own, name) or getattr(said, name)
              for name in ("version", "architecture", "hostname", "cloud_init", "guest_agent", "ssh")}  # fmt: skip
    return dataclasses.replace(own, **filled)
