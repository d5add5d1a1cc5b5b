"""What an appliance or a box says of its machine: OVF (DSP0243) and Vagrant's box format. Text in, facts out.

https://www.dmtf.org/standards/ovf, https://developer.hashicorp.com/vagrant/docs/boxes/format
"""

from __future__ import annotations

import json
import posixpath
import re
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vmpod.base.errors import Problem

_CPU, _MEMORY, _CARD, _DISK = "3", "4", "10", "17"  # CIM_ResourceAllocationSettingData.ResourceType
_UNITS: Final = {"byte": 0, "kilobyte": 10, "megabyte": 20, "gigabyte": 30, "terabyte": 40}
_CARDS: Final = {"e1000": "e1000", "e1000e": "e1000e", "pcnet32": "pcnet", "rtl8139": "rtl8139"}
_IMAGES: Final = (".qcow2", ".img", ".raw", ".vmdk", ".vdi", ".vhd", ".vhdx")
_NEVER: Final = ("<!DOCTYPE", "<!ENTITY")
_PROVIDERS: Final = ("libvirt", "virtualbox", "vmware_desktop", "vmware", "qemu")


@dataclass(frozen=True)
class Disk:
    """A disk image in an archive, and how many bytes its guest sees; 0 when that is not said."""

    path: str
    capacity_bytes: int = 0


@dataclass(frozen=True)
class Appliance:
    """A machine as its maker described it; zero or empty where nothing was said. The first disk boots."""

    name: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    firmware: str = ""
    cards: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    notes: tuple[str, ...] = ()


def description(names: list[str]) -> str:
    """Which file of an archive describes the machine: an OVF, else a box's metadata; empty when there is none."""
    for ending in (".ovf", "metadata.json"):
        found = sorted((name for name in names if name.lower().endswith(ending)), key=lambda name: name.count("/"))
        if found:
            return found[0]
    return ""


def read(name: str, text: str, names: list[str]) -> Appliance:
    """What a description says. `names` are the archive's files. Raises Problem when it cannot be understood."""
    return ovf(text, names, name) if name.lower().endswith(".ovf") else box(text, names, name)


def bare(names: list[str]) -> Appliance:
    """An archive without a description: its only disk image. Raises Problem when there is none or more than one."""
    disks = [name for name in names if name.lower().endswith(_IMAGES)]
    if len(disks) != 1:
        why = f"it holds {len(disks)} disk images and nothing that describes a machine"
        raise Problem("use the archive", why, "take the disk out of it and import that", "NoDisk")
    return Appliance(disks=(Disk(disks[0]),))


def box(text: str, names: list[str], where: str) -> Appliance:
    """A Vagrant box by its metadata.json."""
    try:
        said = json.loads(text)
    except ValueError as error:
        raise _odd(where, f"it is no JSON ({error})") from None
    if not isinstance(said, dict):
        raise _odd(where, "it is no JSON object")
    provider = str(said.get("provider", ""))
    if provider and provider not in _PROVIDERS:
        raise _odd(where, f"the box is for {provider}, whose disks are not known")
    listed = [str(one.get("path", "")) for one in said.get("disks") or () if isinstance(one, dict)]
    boxes = [name for name in names if posixpath.basename(name) == "box.img"]
    disks = [name for name in listed if name in names] or boxes
    found = Appliance(disks=tuple(map(Disk, disks))) if disks else bare(names)
    return Appliance(disks=found.disks, notes=(f"a Vagrant box for {provider}",) if provider else ())


def ovf(text: str, names: list[str], where: str) -> Appliance:
    """The machine of an OVF envelope: its first virtual system."""
    if any(word in text for word in _NEVER):
        raise _odd(where, "it declares entities, which are never read")
    try:
        root = xml.fromstring(text)
    except xml.ParseError as error:
        raise _odd(where, f"it is no XML ({error})") from None
    systems = [one for one in root.iter() if _tag(one) == "VirtualSystem"]
    if not systems:
        raise _odd(where, "it describes no virtual system")
    system = systems[0]
    items = [{_tag(part): (part.text or "").strip() for part in one} for one in system.iter() if _tag(one) == "Item"]
    more = (f"{len(systems)} machines are described; this is the first",) if len(systems) > 1 else ()
    return Appliance(
        name=_attribute(system, "id"), cpus=_cpus(items), memory_bytes=_memory(items), firmware=_firmware(system),
        cards=tuple(_cards(items)), disks=tuple(_disks(root, items, names, where)), notes=more,
    )  # fmt: skip


def _tag(element: xml.Element) -> str:
    return element.tag.rpartition("}")[2]


def _attribute(element: xml.Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _cpus(items: list[dict[str, str]]) -> int:
    return next((_number(one.get("VirtualQuantity")) for one in items if one.get("ResourceType") == _CPU), 0)


def _memory(items: list[dict[str, str]]) -> int:
    for one in items:
        if one.get("ResourceType") == _MEMORY:
            return _number(one.get("VirtualQuantity")) << _shift(one.get("AllocationUnits", "MegaBytes"))
    return 0


def _shift(units: str) -> int:
    """`byte * 2^20` or `MegaBytes`, as a power of two."""
    if match := re.search(r"2\s*\^\s*(\d{1,2})", units):
        return min(int(match[1]), 40)
    return _UNITS.get(units.strip().lower().rstrip("s"), 20)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 16 else 0


def _firmware(system: xml.Element) -> str:
    """What VMware's and VirtualBox's own elements say; empty when neither says anything."""
    for one in system.iter():
        if _tag(one) == "Config" and _attribute(one, "key") == "firmware":
            return "uefi" if _attribute(one, "value") == "efi" else "bios"
        if _tag(one) == "Firmware" and _attribute(one, "type").upper().startswith("EFI"):
            return "uefi"
    return ""


def _cards(items: list[dict[str, str]]) -> Iterator[str]:
    for one in items:
        if one.get("ResourceType") == _CARD:
            yield _CARDS.get(one.get("ResourceSubType", "").lower(), "")


def _disks(root: xml.Element, items: list[dict[str, str]], names: list[str], where: str) -> Iterator[Disk]:
    """The files of the disks in the order of their places on the controllers. Raises Problem when one is missing."""
    files = {_attribute(one, "id"): _attribute(one, "href") for one in root.iter() if _tag(one) == "File"}
    disks = {_attribute(one, "diskId"): one for one in root.iter() if _tag(one) == "Disk" and _attribute(one, "diskId")}
    folder = posixpath.dirname(where)
    for one in sorted((one for one in items if one.get("ResourceType") == _DISK), key=_place):
        disk = disks.get(one.get("HostResource", "").rpartition("/")[2])
        href = files.get(_attribute(disk, "fileRef"), "") if disk is not None else ""
        if disk is None or not href:
            continue  # an empty disk, made when the machine is
        path = posixpath.join(folder, href)
        if path not in names:
            raise _odd(where, f"its disk {href!r} is not in the archive")
        units = _attribute(disk, "capacityAllocationUnits") or "byte"
        yield Disk(path, _number(_attribute(disk, "capacity")) << _shift(units))


def _place(item: dict[str, str]) -> tuple[int, int]:
    return _number(item.get("Parent")), _number(item.get("AddressOnParent"))


def _odd(where: str, why: str) -> Problem:
    return Problem(f"use the description {where}", why, "take the disk out of the archive and import that", "Format")
