"""VirtualMachineInstances into machines and containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.base.errors import Problem
from vmpod.drivers.host.facts import HostFacts
from vmpod.drivers.host.firmware import Firmware
from vmpod.drivers.net.attachments import MachineNic
from vmpod.drivers.net.links import Link, LinkWish
from vmpod.drivers.podman.spec import Device, Mount
from vmpod.drivers.qemu import spec as qemu
from vmpod.drivers.qemu.args import cpu
from vmpod.drivers.qemu.spec import Passt
from vmpod.kinds.parts import machine_networks
from vmpod.kinds.parts.machine_support import _MACHINE
from vmpod.kinds.parts.support import BLOCKS
from vmpod.model.meta import Object
from vmpod.node.prepared import PreparedVolume
from vmpod.node.translate import machine_container
from vmpod.node.translate.machine import guest_memory_bytes, machine_spec, machine_uuid, vcpus
from vmpod.node.translate.machine_container import Surroundings, container_spec, overhead_bytes
from vmpod.node.translate.machine_disks import letters, targets
from vmpod.node.translate.machine_nics import guest_hostname, machine_nic, nics
from vmpod.node.translate.tagged import tagged_devices

MIB = 1 << 20
HOST = HostFacts(accelerator="kvm", firmware=(Firmware("/sc", "/sv", "raw", True), Firmware("/c", "/v", "raw", False)))
POD: Object = {"spec": {"hostname": "vm1", "containers": [{"resources": {"requests": {"cpu": "200m"}}}]}}


_NIC = MachineNic()


@dataclass(frozen=True)
class Tap:
    tap: str | None = "tap0"
    guest_mac: str = "02:00:00:00:00:01"
    links: tuple[Link, ...] = ()
    nic: MachineNic | None = _NIC
    dns: str = "10.96.0.10"


def volume(name: str, **more: Any) -> PreparedVolume:
    given: dict[str, Any] = {"container_path": f"/disks/{name}", "format": "qcow2",
                             "binds": ((f"/home/{name}", f"/disks/{name}", False),), **more}
    return PreparedVolume(Path(f"/home/{name}"), **given)


def vmi(domain: Object | None = None, **spec: Any) -> Object:
    """A small instance; `domain` is merged into its domain."""
    devices = {"disks": [{"name": "root", "disk": {"bus": "virtio"}}], "interfaces": [{"name": "default", "masquerade": {}}]}
    whole: Object = {"memory": {"guest": "1Gi"}, "devices": devices, **(domain or {})}
    return {
        "metadata": {"namespace": "default", "name": "vm1", "uid": "u1"},
        "spec": {"domain": whole, "volumes": [{"name": "root", "containerDisk": {"image": "x"}}],
                 "networks": [{"name": "default", "pod": {}}], **spec},
    }


def translate(obj: Object, host: HostFacts = HOST, names: Iterable[str] = ()) -> qemu.MachineSpec:
    return machine_spec(obj, {one: volume(one) for one in ("root", *names)}, Tap(), host)


def test_small_machine() -> None:
    assert translate(vmi()) == qemu.MachineSpec(
        "default_vm1", "133bf63e-9459-5126-9b21-b56e9b3d17b3", 1 << 30, accelerator="kvm",
        disks=(qemu.Disk("root", "/disks/root", boot_index=1),), nics=(qemu.Nic("default", "tap0", "02:00:00:00:00:01"),),
        hotplug=True,
    )  # fmt: skip


def test_uuid_is_the_one_that_kubevirt_gives() -> None:
    """The value that KubeVirt's own documentation shows for its testvm."""
    assert machine_uuid({"metadata": {"name": "testvm"}}) == "5a9fc181-957e-5c32-9e5a-2de5e9673531"


def test_everything_that_can_be_said() -> None:
    said: Object = {
        "cpu": {"sockets": 2, "cores": 3, "threads": 2, "model": "EPYC",
                "features": [{"name": "vmx", "policy": "require"}, {"name": "hle", "policy": "disable"},
                             {"name": "maybe", "policy": "optional"}, {"name": "plain"}]},
        "machine": {"type": "pc-q35-rhel9.6.0"}, "rebootPolicy": "Terminate",
        "firmware": {"serial": "s1", "uuid": "5D307CA9-B3EF-428C-8861-06E72D69F223", "bootloader": {"efi": {"secureBoot": False}}},
        "features": {"acpi": {"enabled": False}}, "clock": {"timezone": "Europe/Rome"},
        "devices": {"rng": {}, "watchdog": {"name": "w", "i6300esb": {"action": "poweroff"}}, "autoattachMemBalloon": False,
                    "autoattachGraphicsDevice": False, "autoattachSerialConsole": False, "autoattachPodInterface": False,
                    "inputs": [{"name": "t", "type": "tablet", "bus": "virtio"}], "panicDevices": [{"model": "isa"}],
                    "sound": {"name": "a", "model": "ac97"}},
    }
    found = translate(vmi(said, startStrategy="Paused", networks=[], volumes=[]))
    assert found.cpu == qemu.Cpu(2, 3, 2, "EPYC", (("vmx", True), ("hle", False), ("plain", True)))
    assert (found.machine, found.serial, found.uuid) == ("q35", "s1", "5d307ca9-b3ef-428c-8861-06e72d69f223")
    assert found.firmware == qemu.Firmware("/c", "/run/vm/efi-vars.fd", False, template="/v")
    assert found.watchdog == qemu.Watchdog(action="poweroff")
    assert (found.rng, found.balloon, found.graphics, found.acpi) == (True, False, False, False)
    assert (found.start_paused, found.stop_on_reboot, found.panic, found.sound) == (True, True, "pvpanic", "ac97")
    assert (found.inputs, found.nics, found.sockets.serial) == ((qemu.Input("t", "virtio"),), (), "")
    assert found.clock.local


HYPERV = {"relaxed": {}, "vapic": {"enabled": False}, "synictimer": {"direct": {}}, "tlbflush": {"extended": {}},
          "spinlocks": {"spinlocks": 8191}, "vendorid": {"vendorid": "a b"}}


@pytest.mark.parametrize(("domain", "flags"), [
    ({"features": {"hyperv": HYPERV}}, {
        "hv-relaxed": True, "hv-stimer": True, "hv-stimer-direct": True, "hv-synic": True, "hv-time": True,
        "hv-vpindex": True, "hv-tlbflush": True, "hv-tlbflush-ext": True, "hv-spinlocks": "8191", "hv-vendor-id": "a b"}),
    ({"features": {"hypervPassthrough": {}, "kvm": {"hidden": True}}}, {"hv-passthrough": True, "kvm": False}),
    ({"features": {"apic": {"endOfInterrupt": True}, "pvspinlock": {"enabled": False}}},
     {"kvm-pv-eoi": True, "kvm-pv-unhalt": False}),
    ({"clock": {"timer": {"hyperv": {"present": True}, "kvm": {"present": False}}}}, {"hv-time": True, "kvmclock": False}),
    ({"devices": {"panicDevices": [{"model": "hyperv"}]}}, {"hv-crash": True}),
    ({"features": {"hyperv": {"spinlocks": {}}}}, {"hv-spinlocks": "4096"}),
])
def test_flags_of_the_processor(domain: Object, flags: dict[str, Any]) -> None:
    found = translate(vmi(domain, volumes=[], networks=[]))
    assert dict(found.cpu.features) == flags
    assert cpu.in_vain(found) == ()
    emulated = translate(vmi(domain, volumes=[], networks=[]), replace(HOST, accelerator="tcg"))
    assert cpu.model(emulated) == "max"
    assert set(cpu.in_vain(emulated)) == {name for name, value in flags.items() if value is not False}


@pytest.mark.parametrize("vendor", ["a,kvm=off", "thirteen chars", "ü", "a\n"])
def test_a_vendor_is_one_flag(vendor: str) -> None:
    with pytest.raises(Problem, match=r"vendorid.vendorid: .* is not a vendor"):
        translate(vmi({"features": {"hyperv": {"vendorid": {"vendorid": vendor}}}}, volumes=[], networks=[]))


@pytest.mark.parametrize(("given", "clock", "zone"), [
    ({"utc": {}}, qemu.Clock(), ""), ({"utc": {"offsetSeconds": 9000}}, qemu.Clock(local=True), "VMI-02:30:00"),
    ({"utc": {"offsetSeconds": -61}}, qemu.Clock(local=True), "VMI+00:01:01"),
    ({"timezone": "Europe/Rome"}, qemu.Clock(local=True), "Europe/Rome"),
    ({"timer": {"rtc": {"tickPolicy": "catchup", "track": "guest"}, "hpet": {"present": False}}},
     qemu.Clock(driver="vm", slew=True, hpet=False), ""),
    ({"timer": {"rtc": {"track": "wall"}, "pit": {"tickPolicy": "discard"}}}, qemu.Clock(driver="host", pit_ticks="discard"), ""),
    ({"timer": {"pit": {"present": False}}}, qemu.Clock(pit=False), ""),
])
def test_clock(given: Object, clock: qemu.Clock, zone: str) -> None:
    found = vmi({"clock": given})
    assert translate(found).clock == clock
    assert contain(found).env.get("TZ", "") == zone


@pytest.mark.parametrize(("domain", "threads"), [
    ({}, ["", "", "", ""]),
    ({"ioThreadsPolicy": "shared"}, ["iothread2", "iothread1", "iothread2", ""]),
    ({"ioThreadsPolicy": "auto"}, ["iothread2", "iothread1", "iothread2", ""]),
    ({"ioThreadsPolicy": "auto", "cpu": {"cores": 2}}, ["iothread2", "iothread1", "iothread3", ""]),
    ({"ioThreadsPolicy": "supplementalPool", "ioThreads": {"supplementalPoolThreadCount": 5}},
     ["iothread2", "iothread1", "iothread3", ""]),
])
def test_io_threads(domain: Object, threads: list[str]) -> None:
    names, own = ["root", "b", "c", "d"], bool(domain)
    disks = [{"name": one, "disk": {"bus": "sata" if one == "d" else "virtio"}} | ({"dedicatedIOThread": own} if one == "b" else {})
             for one in names]
    obj = vmi({**domain, "devices": {"disks": disks}}, networks=[],
              volumes=[{"name": one, "containerDisk": {"image": "x"}} for one in names])
    assert [one.io_thread for one in translate(obj, names=names[1:]).disks] == threads


def test_smaller_devices() -> None:
    found = translate(vmi({
        "chassis": {"manufacturer": "M", "sku": "S"}, "firmware": {"bootloader": {"bios": {"useSerial": True}}},
        "memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}},
        "devices": {"video": {"type": "bochs"}, "clientPassthrough": {}, "useVirtioTransitional": True,
                    "autoattachInputDevice": True, "logSerialConsole": False, "panicDevices": [{}]},
    }, volumes=[], networks=[]))
    assert (found.video, found.usb_redirections, found.transitional, found.bios_on_serial) == ("bochs", 4, True, True)
    assert (found.chassis, found.page_bytes, found.panic) == ((("manufacturer", "M"), ("sku", "S")), 2 * MIB, "pvpanic")
    assert (found.inputs, found.sockets) == ((qemu.Input("default-0"),), qemu.Sockets(serial_log=""))
    with pytest.raises(Problem, match=r"video.type: there is no card 'qxl' here"):
        translate(vmi({"devices": {"video": {"type": "qxl"}}}, volumes=[], networks=[]))


@pytest.mark.parametrize(("wanted", "here", "expected"), [
    ("", "kvm", "kvm"), ("tcg", "kvm", "tcg"), ("kvm", "kvm", "kvm"), ("", "tcg", "tcg"), ("tcg", "tcg", "tcg"),
])
def test_accelerator(wanted: str, here: str, expected: str) -> None:
    obj = vmi()
    obj["metadata"]["annotations"] = {"vmpod.io/accelerator": wanted} if wanted else {}
    assert translate(obj, replace(HOST, accelerator=here)).accelerator == expected


@pytest.mark.parametrize(("wanted", "told"), [
    ("kvm", r"it asks for KVM \(vmpod.io/accelerator\), and here /dev/kvm hangs"),
    ("hvf", "the annotation vmpod.io/accelerator says 'hvf'"),
])
def test_an_accelerator_that_is_not_here_is_refused(wanted: str, told: str) -> None:
    obj = vmi()
    obj["metadata"]["annotations"] = {"vmpod.io/accelerator": wanted}
    with pytest.raises(Problem, match=told):
        translate(obj, replace(HOST, accelerator="tcg", accelerator_reason="/dev/kvm hangs"))


@pytest.mark.parametrize(("tpm", "has"), [({}, True), ({"enabled": True}, True), ({"enabled": False}, False)])
def test_a_tpm_begins_before_its_machine(tpm: Object, has: bool) -> None:
    found = contain(vmi({"devices": {"tpm": tpm}}, volumes=[]))
    assert found.entrypoint[0] == ("sh" if has else "qemu-system-x86_64")
    assert found.entrypoint[-1] == "qemu-system-x86_64"
    assert ("tpm-tis,tpmdev=tpm0-host,id=tpm0-dev" in found.command) is has


def test_a_kernel_of_its_own_has_the_names_of_its_fields() -> None:
    container = {"image": "a", "kernelPath": "/boot/../vmlinuz", "initrdPath": "/boot/initrd"}
    boot = {"firmware": {"kernelBoot": {"container": container, "kernelArgs": "quiet, really"}}}
    found = contain(vmi(boot, volumes=[])).command
    assert found[found.index("-kernel"):][:6] == (
        "-kernel", "/disks/boot/kernelPath", "-initrd", "/disks/boot/initrdPath", "-append", "quiet, really")


def test_a_folder_is_no_disk() -> None:
    obj = vmi({"devices": {"filesystems": [{"name": "data", "virtiofs": {}}]}},
              volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}])
    host = replace(HOST, virtiofsd="/usr/lib/qemu/virtiofsd")
    found = translate(obj, host, ["data"])
    assert found.shares == (qemu.Share("data", "/disks/data", "/usr/lib/qemu/virtiofsd"),)
    assert found.disks == ()
    with pytest.raises(Problem, match="folders are shared by virtiofsd, which is not installed"):
        translate(obj, HOST, ["data"])
    with pytest.raises(Problem, match="the filesystem 'data' has no volume"):
        translate(obj, host)


def test_an_empty_drive_has_no_disc() -> None:
    obj = vmi({"devices": {"disks": [{"name": "drive", "cdrom": {"bus": "sata"}}]}}, volumes=[])
    assert translate(obj).disks == (qemu.Disk("drive", "", "cdrom", "sata", "raw", True, boot_index=1),)
    said = contain(obj).command
    assert "ide-cd,id=ua-drive,bus=ide.0,bootindex=1" in said and "-blockdev" not in said
    with pytest.raises(Problem, match="is an empty drive, which usb does not have"):
        translate(vmi({"devices": {"disks": [{"name": "drive", "cdrom": {"bus": "usb"}}]}}, volumes=[]))


def test_tables_of_the_firmware_are_no_disks() -> None:
    obj = vmi({"devices": {}, "firmware": {"acpi": {"slicNameRef": "licence"}}},
              volumes=[{"name": "licence", "secret": {"secretName": "s"}}])
    found = contain(obj).command
    assert found[found.index("-acpitable") + 1] == "file=/disks/acpi/slic.bin"
    assert translate(obj).disks == ()


def test_devices_with_tags_have_the_addresses_of_their_ports() -> None:
    disks = [{"name": "root", "disk": {"bus": "virtio"}}, {"name": "s", "disk": {"bus": "scsi"}, "tag": "no"},
             {"name": "data", "disk": {"bus": "virtio"}, "tag": "db", "serial": "7"}]
    obj = vmi({"devices": {"disks": disks, "interfaces": [{"name": "default", "masquerade": {}, "tag": "front"}]}},
              volumes=[{"name": one["name"], "emptyDisk": {"capacity": "1Gi"}} for one in disks])
    cards = translate(obj, names=["s", "data"]).nics
    assert tagged_devices(obj, cards) == [
        {"type": "nic", "bus": "pci", "address": "0000:01:00.0", "mac": "02:00:00:00:00:01", "tags": ["front"]},
        {"type": "disk", "bus": "pci", "address": "0000:03:00.0", "tags": ["db"], "serial": "7"}]
    obj["spec"]["domain"]["machine"] = {"type": "pc-i440fx-6.2"}
    assert tagged_devices(obj, cards) == []


def test_what_is_kept_lies_on_the_claim_of_the_machine() -> None:
    kept: Object = {"devices": {"tpm": {"persistent": True}},
                    "firmware": {"bootloader": {"efi": {"secureBoot": False, "persistent": True}}}}
    found = translate(vmi(kept, volumes=[]))
    assert found.tpm == qemu.Tpm("/state/swtpm", "tpm-crb")
    assert found.firmware == qemu.Firmware("/c", "/state/nvram/vm1_VARS.fd", False, template="/v")
    shell = contain(vmi(kept, volumes=[])).entrypoint
    assert "{ [ -e /state/nvram/vm1_VARS.fd ] || { cp /v /state/nvram/vm1_VARS.fd.new && mv " in shell[2]
    assert shell[2].index("cp /v") < shell[2].index("swtpm socket") < shell[2].index('exec "$0" "$@"')


def test_reserved_overhead_is_added_to_the_limit() -> None:
    more = contain(vmi({"memory": {"guest": "1Gi", "reservedOverhead": {"addedOverhead": "64Mi"}}}))
    assert more.limits.memory_bytes - contain(vmi()).limits.memory_bytes == 64 * MIB


@pytest.mark.parametrize(("domain", "expected"), [
    ({"memory": {"guest": "64Mi"}}, 64 * MIB),
    ({"memory": None, "resources": {"requests": {"memory": "1024M"}, "limits": {"memory": "2Gi"}}}, 1024_000_000),
    ({"memory": {}, "resources": {"limits": {"memory": "2Gi"}}}, 2048 * MIB),
])
def test_memory(domain: Object, expected: int) -> None:
    assert guest_memory_bytes(vmi(domain)) == expected


@pytest.mark.parametrize(("domain", "expected"), [
    ({}, (1, 1, 1)), ({"cpu": {"cores": 2}}, (1, 2, 1)), ({"cpu": {"model": "x"}}, (1, 1, 1)),
    ({"resources": {"requests": {"cpu": "1500m"}}}, (2, 1, 1)),
    ({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": 4}}}, (4, 1, 1)),
])
def test_processors(domain: Object, expected: tuple[int, int, int]) -> None:
    assert vcpus(vmi(domain)) == expected


def test_disks_buses_and_order() -> None:
    disks = [
        {"name": "a", "disk": {"bus": "virtio"}}, {"name": "b", "disk": {}, "cache": "none", "io": "native"},
        {"name": "c", "cdrom": {"bus": "sata", "readonly": True}}, {"name": "d", "lun": {"bus": "scsi"}, "io": "native"},
        {"name": "e", "disk": {"bus": "usb"}, "serial": "77", "errorPolicy": "ignore"},
        {"name": "f", "disk": {"bus": "virtio"}, "blockSize": {"custom": {"logical": 512, "physical": 4096}}},
    ]
    names = ("a", "b", "c", "d", "e", "f", "bare")
    obj = vmi({"devices": {"disks": disks, "blockMultiQueue": True}, "cpu": {"cores": 3}},
              volumes=[{"name": one, "emptyDisk": {"capacity": "1Gi"}} for one in names])
    found = {one.name: one for one in translate(obj, names=names).disks}
    assert [(one.kind, one.bus, one.boot_index) for one in found.values()] == [
        ("disk", "virtio", 1), ("disk", "sata", 2), ("cdrom", "sata", 3), ("lun", "scsi", 4), ("disk", "usb", 5),
        ("disk", "virtio", 6), ("disk", "sata", 7)]
    assert targets(obj) == {"a": "vda", "b": "sda", "c": "sdb", "d": "sdc", "e": "sdd", "f": "vdb", "bare": "sde"}
    assert (found["b"].io, found["d"].io, found["c"].readonly, found["a"].queues) == ("native", "threads", True, 3)
    assert (found["e"].serial, found["e"].on_error) == ("77", "ignore")
    assert (found["f"].logical_block_bytes, found["f"].physical_block_bytes) == (512, 4096)


def test_boot_order_is_only_what_is_said() -> None:
    devices = {"disks": [{"name": "root", "disk": {"bus": "virtio"}}, {"name": "iso", "cdrom": {"bus": "sata"}, "bootOrder": 1}],
               "interfaces": [{"name": "default", "bridge": {}, "bootOrder": 2, "model": "e1000"}]}
    obj = vmi({"devices": devices}, volumes=[{"name": "root", "x": {}}, {"name": "iso", "x": {}}])
    found = translate(obj, names=["iso"])
    assert [one.boot_index for one in found.disks] == [0, 1]
    assert (found.nics[0].boot_index, found.nics[0].model) == (2, "e1000")


@pytest.mark.parametrize(("change", "why"), [
    ({"memory": {}}, "how much memory"),
    ({"machine": {"type": "virt"}}, "no board 'virt'"),
    ({"firmware": {"kernelBoot": {"container": {"image": "a", "initrdPath": "/i"}}}}, "an initrd is loaded for a kernel only"),
    ({"firmware": {"uuid": "no"}}, "is not a UUID"),
    ({"cpu": {"model": "host,migratable=off"}}, r"spec\.domain\.cpu\.model"),
    ({"cpu": {"features": [{"name": "a,b"}]}}, r"spec\.domain\.cpu\.features"),
    ({"devices": {"gpus": [{}]}}, r"spec\.domain\.devices\.gpus"),
    ({"devices": {"disks": [{"name": "other", "disk": {}}]}}, "no volume of its name"),
    ({"devices": {"disks": [{"name": "root", "disk": {"bus": "ide"}}]}}, "no bus 'ide'"),
    ({"devices": {"disks": [{"name": "root", "disk": {"bus": "sata", "readonly": True}}]}}, "SATA disk cannot be"),
    ({"devices": {"interfaces": [{"name": "default", "sriov": {}}]}}, "binding 'sriov'"),
    ({"devices": {"interfaces": [{"name": "default", "bridge": {}, "model": "x"}]}}, "the model 'x'"),
    ({"devices": {"inputs": [{"type": "mouse"}]}}, "no mouse on usb"),
])
def test_what_cannot_be_is_named(change: Object, why: str) -> None:
    obj = vmi(change)
    with pytest.raises(Problem, match=why) as problem:
        translate(obj)
        machine_nic(obj)
    assert str(problem.value).startswith("cannot start the machine vm1: ")


def test_no_firmware_for_what_is_asked() -> None:
    obj = vmi({"firmware": {"bootloader": {"efi": {}}}})
    found = translate(obj).firmware
    assert found is not None
    assert found.template == "/sv"
    with pytest.raises(Problem, match="no UEFI firmware with secure boot"):
        translate(obj, replace(HOST, firmware=HOST.firmware[1:]))


def test_cards() -> None:
    ports = [{"port": 80}, {"port": 53, "protocol": "UDP", "name": "dns"}]
    card = {"name": "default", "masquerade": {}, "ports": ports, "macAddress": "02:11:11:11:11:11"}
    servers = ("10.2.0.10", "fd00::1")
    nic = machine_nic(vmi({"devices": {"interfaces": [card]}}), ("default.svc.cluster.local",), servers)
    assert nic is not None
    assert nic.servers == ("10.2.0.10",)  # by DHCP only addresses of version 4 are told
    assert (nic.binding, nic.mac, nic.ports) == ("masquerade", "02:11:11:11:11:11", (("tcp", 80), ("udp", 53)))
    assert (nic.uid, nic.hostname, nic.search, nic.guest_cidr) == (107, "vm1", ("default.svc.cluster.local",), "10.0.2.0/24")
    bare = machine_nic(vmi({"devices": {}}, networks=[]))
    assert bare is not None
    assert bare.binding == "bridge"
    assert machine_nic(vmi({"devices": {"autoattachPodInterface": False}}, networks=[])) is None
    other = vmi({"devices": {"interfaces": [{"name": "default", "bridge": {}}]}},
                networks=[{"name": "default", "pod": {"vmNetworkCIDR": "192.168.7.0/24", "vmIPv6NetworkCIDR": "fd20::/120"}}])
    found = machine_nic(other)
    assert found is not None
    assert (found.guest_cidr, found.guest_cidr6, nic.guest_cidr6) == ("192.168.7.0/24", "fd20::/120", "fd10:0:2::/120")


@pytest.mark.parametrize(("name", "hostname", "expected"), [
    ("vm1", None, "vm1"), ("vm1.prod", None, "vm1"), ("vm1", "other", "other"), ("x" * 70, None, "x" * 63)])
def test_host_name(name: str, hostname: str | None, expected: str) -> None:
    assert guest_hostname({"metadata": {"name": name}, "spec": {"hostname": hostname}}) == expected


@given(st.integers(0, 5000))
def test_letters_are_a_numbering(number: int) -> None:
    assert letters(0) == "a"
    assert letters(26) == "aa"
    text = letters(number)
    back = 0
    for letter in text:
        back = back * 26 + ord(letter) - ord("a") + 1
    assert back - 1 == number


AROUND = Surroundings("n", "/root", "/home/run", "/run/netns/x", ("/usr",), {"a": "b"})


def contain(obj: Object, host: HostFacts = HOST) -> Any:
    volumes = {"root": volume("root")}
    return container_spec(obj, POD, machine_spec(obj, volumes, Tap(), host), volumes.values(), AROUND)


def test_memory_that_may_be_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = vmi({"memory": {"guest": "64Mi", "reservedOverhead": {"memLock": "Required"}}})
    monkeypatch.setattr(machine_container, "hard_limit", lambda name: (1 << 40, 1 << 40))
    made = contain(wish)
    most = made.limits.memory_bytes
    assert made.ulimits == {"memlock": (most, most)} and most > 64 << 20
    assert contain(vmi()).ulimits == {}
    monkeypatch.setattr(machine_container, "hard_limit", lambda name: (8 << 20, 8 << 20))
    with pytest.raises(Problem, match="the engine may lock 8 MiB"):
        contain(wish)


def test_container_has_no_privilege() -> None:
    found = contain(vmi())
    assert (found.user, found.cap_drop, found.cap_add) == ("107:107", ("ALL",), ())
    assert (found.read_only, found.no_new_privileges, found.privileged) == (True, True, False)
    assert found.mounts == (Mount("/usr", "/usr", read_only=True), Mount("/home/run", "/run/vm"), Mount("/home/root", "/disks/root"))
    assert found.devices == (Device("/dev/net/tun", 0o666), Device("/dev/kvm", 0o666))
    assert found.entrypoint == ("qemu-system-x86_64",)
    assert (found.rootfs, found.netns, found.hostname, found.image) == ("/root", "/run/netns/x", "vm1", "")


def test_devices_are_only_those_needed() -> None:
    obj = vmi({"devices": {"disks": [], "autoattachPodInterface": False}}, networks=[])
    assert contain(obj, replace(HOST, accelerator="tcg")).devices == (Device("/dev/net/tun", 0o666),)  # for later cards
    obj["spec"]["domain"]["devices"]["disableHotplug"] = True
    assert contain(obj, replace(HOST, accelerator="tcg")).devices == ()


def test_limits() -> None:
    small = contain(vmi())
    assert small.limits.memory_bytes > 1 << 30
    assert (small.limits.cpu_milli, small.limits.cpu_shares) == (0, 1024 * translate(vmi()).cpu.count)
    limited = contain(vmi({"resources": {"limits": {"cpu": "2", "memory": "4Gi"}}}))
    assert limited.limits.memory_bytes > 4 << 30
    assert (limited.limits.cpu_milli, limited.limits.cpu_shares) == (2000, 2048)
    emulated = translate(vmi(), replace(HOST, accelerator="tcg"))
    assert overhead_bytes(emulated) - overhead_bytes(translate(vmi())) == 512 * MIB


def test_time_zone_reaches_the_clock() -> None:
    assert contain(vmi({"clock": {"timezone": "Europe/Rome"}})).env["TZ"] == "Europe/Rome"
    assert "TZ" not in contain(vmi()).env


def test_cards_of_a_machine_keep_their_order_and_what_was_asked() -> None:
    cards = [
        {"name": "lan", "bridge": {}, "model": "e1000", "acpiIndex": 7},
        {"name": "default", "masquerade": {}, "portRanges": [{"protocol": "TCP", "start": 80, "end": 90}],
         "dhcpOptions": {"bootFileName": "b", "ntpServers": ["10.0.0.1"], "privateOptions": [{"option": 240, "value": "x"}]}},
        {"name": "gone", "bridge": {}, "state": "absent"},
    ]
    networks = [{"name": "default", "pod": {}}, {"name": "lan", "multus": {"networkName": "lan"}},
                {"name": "gone", "multus": {"networkName": "lan"}}]
    devices = {"interfaces": cards, "networkInterfaceMultiqueue": True}
    obj = vmi({"devices": devices, "cpu": {"cores": 2, "sockets": 2}}, networks=networks)
    interface = machine_networks.pod_interface("lan")
    link = Link(LinkWish("default/lan", "bridge cni0", interface, tap=f"tap{interface[3:]}"), "02:00:00:00:00:09", (), "s0", "p")
    lan, default = nics(obj, Tap(links=(link,)))
    assert (lan.name, lan.tap, lan.mac, lan.model, lan.queues, lan.acpi_index) == (
        "lan", f"tap{interface[3:]}", "02:00:00:00:00:09", "e1000", 1, 7)
    assert (default.name, default.tap, default.queues) == ("default", "tap0", 4)
    nic = machine_nic(obj)
    assert nic is not None and nic.ranges == (("tcp", 80, 90),) and nic.queues == 4
    assert nic.options == ((67, "62"), (42, "0a000001"), (240, "78"))


@pytest.mark.parametrize("binding", [{"passt": {}}, {"passtBinding": {}}, {"binding": {"name": "passt"}}])
def test_passt_listens_for_the_guest(binding: Object) -> None:
    card = {"name": "default", "model": "virtio", **binding}
    listed = card | {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}],
                     "portRanges": [{"protocol": "TCP", "start": 8000, "end": 8010}]}
    for wish, tcp, udp in ((card, "1-9500", "1-9500"), (listed, "8000-8010,80", "53")):
        obj = vmi({"devices": {"interfaces": [wish], "networkInterfaceMultiqueue": True}, "cpu": {"cores": 4}})
        wanted = machine_nic(obj, ("a.svc", "svc"))
        assert wanted is not None and wanted.binding == "passt"
        (made,) = nics(obj, Tap(tap=None, nic=wanted), 20024)
        assert made.passt == Passt(tcp, udp, ("10.96.0.10",), ("a.svc", "svc"))
        assert (made.tap, made.mac, made.queues) == ("", "02:00:00:00:00:01", 1)


def test_the_interface_in_the_pod_is_named_as_kubevirt_names_it() -> None:
    assert machine_networks.pod_interface("red") == "podb1f51a51"


@pytest.mark.parametrize(("network", "binding", "why"), [
    ({"multus": {"networkName": "c"}}, "masquerade", "another binding"),
    ({"multus": {"networkName": "c", "default": True}}, "bridge", "no network that is supported"),
    ({"resourceClaim": {}}, "bridge", "no network that is supported"),
])
def test_a_further_network_that_cannot_be_is_named(network: Object, binding: str, why: str) -> None:
    cards = [{"name": "default", "masquerade": {}}, {"name": "b", binding: {}}]
    obj = vmi({"devices": {"interfaces": cards}}, networks=[{"name": "default", "pod": {}}, {"name": "b", **network}])
    with pytest.raises(Problem, match=why):
        nics(obj, Tap())


@pytest.mark.parametrize(("domain", "field"), [
    ({"cpu": {"realtime": {}}}, "spec.domain.cpu.realtime"),
    ({"devices": {"gpus": [{"name": "a"}]}}, "spec.domain.devices.gpus"),
    ({"devices": {"hostDevices": [{"name": "a"}]}}, "spec.domain.devices.hostDevices"),
    ({"devices": {"interfaces": [{"name": "default", "sriov": {}}]}}, "'sriov'"),
])
def test_what_nothing_starts_with_is_named_again(domain: Object, field: str) -> None:
    """Every field that the support matrix says a machine does not start with."""
    with pytest.raises(Problem, match=field) as problem:
        machine_nic(vmi(domain))
        machine_spec(vmi(domain), {"root": volume("root")}, Tap(), HOST)
    assert problem.value.reason == "Unsupported"


def test_no_field_that_nothing_starts_with_is_left_out() -> None:
    assert set(blocked(_MACHINE)) == {"realtime", "gpus", "hostDevices", "sriov"}


def blocked(tree: Any) -> list[str]:
    """The fields of a tree, at any depth, that keep a machine from starting."""
    if not isinstance(tree, Mapping):
        return []
    return [key for key, known in tree.items() if known is BLOCKS] + [one for known in tree.values() for one in blocked(known)]


def test_addresses_in_the_manifest() -> None:
    domain = {"devices": {"disks": [{"name": "root", "disk": {"bus": "virtio", "pciAddress": "0000:04:00.0"}, "tag": "a"}],
                          "interfaces": [{"name": "default", "masquerade": {}, "pciAddress": "0000:00:11.0", "tag": "b"}]}}
    found = machine_spec(vmi(domain), {"root": volume("root")}, Tap(), HOST)
    assert found.ports[3] == "disk-root" and found.nics[0].slot == "0x11.0x0" and "nic-default" not in found.ports
    told = {one["type"]: one["address"] for one in tagged_devices(vmi(domain), found.nics)}
    assert told == {"disk": "0000:04:00.0", "nic": "0000:00:11.0"}
    assert machine_spec(vmi(), {"root": volume("root")}, Tap(), HOST).ports == ()
