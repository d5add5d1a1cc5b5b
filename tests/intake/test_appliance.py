"""What OVF descriptions and box metadata say."""

from __future__ import annotations

import json

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.inspection.facts import Image, Kernel, System
from vmpod.intake import appliance
from vmpod.intake.appliance import Appliance, Disk
from vmpod.intake.image import advise, heeding

OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vmw="http://www.vmware.com/schema/ovf">
 <References><File ovf:id="f1" ovf:href="sys.vmdk"/><File ovf:id="f2" ovf:href="data.vmdk"/></References>
 <DiskSection><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="20" ovf:capacityAllocationUnits="byte * 2^30"/>
  <Disk ovf:diskId="d2" ovf:fileRef="f2" ovf:capacity="1048576"/><Disk ovf:diskId="d3" ovf:capacity="9"/></DiskSection>
 <VirtualSystem ovf:id="shop"><VirtualHardwareSection>
  <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
  <Item><rasd:ResourceType>4</rasd:ResourceType><rasd:AllocationUnits>UNITS</rasd:AllocationUnits><rasd:VirtualQuantity>4096</rasd:VirtualQuantity></Item>
  <Item><rasd:ResourceType>10</rasd:ResourceType><rasd:ResourceSubType>E1000</rasd:ResourceSubType></Item>
  <Item><rasd:ResourceType>10</rasd:ResourceType><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType></Item>
  <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d2</rasd:HostResource></Item>
  <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d1</rasd:HostResource></Item>
  <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>2</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d3</rasd:HostResource></Item>
  <vmw:Config vmw:key="firmware" vmw:value="efi"/>
 </VirtualHardwareSection></VirtualSystem></Envelope>"""
NAMES = ["shop.ovf", "sys.vmdk", "data.vmdk"]


@pytest.mark.parametrize(("units", "bytes_"), [("byte * 2^20", 4 << 30), ("MegaBytes", 4 << 30), ("KiloBytes", 4 << 20)])
def test_an_ovf(units: str, bytes_: int) -> None:
    said = appliance.read("shop.ovf", OVF.replace("UNITS", units), NAMES)
    assert said == Appliance("shop", 2, bytes_, "uefi", ("e1000", ""), (Disk("sys.vmdk", 20 << 30), Disk("data.vmdk", 1 << 20)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<Envelope", "no XML"),
        ("<Envelope/>", "no virtual system"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><Envelope/>', "declares entities"),
        (OVF.replace("sys.vmdk", "../../etc/shadow"), "not in the archive"),
        (OVF.replace("sys.vmdk", "http://elsewhere/sys.vmdk"), "not in the archive"),
    ],
)
def test_a_bad_ovf(text: str, says: str) -> None:
    with pytest.raises(Problem, match=says):
        appliance.ovf(text, NAMES, "shop.ovf")


def test_a_description_in_a_folder_names_files_beside_it() -> None:
    names = [f"./x/{name}" for name in NAMES]
    assert [disk.path for disk in appliance.read("./x/shop.ovf", OVF, names).disks] == ["./x/sys.vmdk", "./x/data.vmdk"]


@pytest.mark.parametrize(
    ("names", "found"),
    [(["a.vmdk", "b/a.ovf", "a.ovf"], "a.ovf"), (["box.img", "metadata.json"], "metadata.json"),
     (["box.ovf", "metadata.json", "box-disk1.vmdk"], "box.ovf"), (["disk.qcow2"], "")],
)  # fmt: skip
def test_what_describes_an_archive(names: list[str], found: str) -> None:
    assert appliance.description(names) == found


@pytest.mark.parametrize(
    ("said", "names", "disks"),
    [
        ({"provider": "libvirt", "format": "qcow2"}, ["./box.img", "./metadata.json"], ["./box.img"]),
        ({"provider": "libvirt", "disks": [{"path": "a.img"}, {"path": "b.img"}]}, ["a.img", "b.img"], ["a.img", "b.img"]),
        ({"provider": "vmware_desktop"}, ["metadata.json", "disk.vmdk"], ["disk.vmdk"]),
    ],
)
def test_a_box(said: dict[str, object], names: list[str], disks: list[str]) -> None:
    assert [disk.path for disk in appliance.read("metadata.json", json.dumps(said), names).disks] == disks


@pytest.mark.parametrize(
    ("text", "names", "says"),
    [("{", ["box.img"], "no JSON"), ("[]", ["box.img"], "no JSON object"), ('{"provider": "hyperv"}', ["x.vhdx"], "for hyperv"),
     ('{"provider": "libvirt"}', ["a.img", "b.img"], "holds 2 disk images")],
)  # fmt: skip
def test_a_bad_box(text: str, names: list[str], says: str) -> None:
    with pytest.raises(Problem, match=says):
        appliance.box(text, names, "metadata.json")


def test_the_maker_is_heeded() -> None:
    image = Image("a.ova", "vmdk", 1, 1, boots=("bios", "uefi"), system=System("linux", kernels=(Kernel("6", "builtin"),)))
    advice = heeding(advise(image), appliance.read("shop.ovf", OVF.replace("UNITS", "byte * 2^20"), NAMES))
    assert (advice.cpus.value, advice.memory.value, advice.firmware.value) == ("2", "4096Mi", "uefi")
    assert any("2 network cards" in note for note in advice.notes)
    assert heeding(advise(image), Appliance()) == advise(image)
