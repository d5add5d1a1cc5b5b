"""Command lines against golden files: one argument pair a line. A changed line is a changed machine."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.qemu.args import cpu, disk, passt, pci
from vmpod.drivers.qemu.args.options import pairs, text
from vmpod.drivers.qemu.command import argv
from vmpod.drivers.qemu.entrypoint import entrypoint
from vmpod.drivers.qemu.spec import (
    Clock,
    Cpu,
    Disk,
    Firmware,
    Input,
    MachineSpec,
    Nic,
    Passt,
    Share,
    Sockets,
    Tpm,
    Watchdog,
)

GOLDEN = Path(__file__).parent / "golden"
UUID = "5a9fc181-957e-5c32-9e5a-2de5e9673531"
SMALL = MachineSpec("default_vm1", UUID, 1 << 30)
ORDERS = replace(
    SMALL, memory_bytes=1024_000_000, accelerator="tcg", cpu=Cpu(1, 2, 1), rng=True,
    disks=(Disk("root", "/disks/disks/volumes/pvc-1/disk.qcow2", boot_index=1),
           Disk("seed", "/disks/seed/seed.iso", kind="cdrom", bus="sata", format="raw", readonly=True, boot_index=2)),
    nics=(Nic("default", "tap0", "02:00:00:12:34:56"),),
)  # fmt: skip
EVERYTHING = replace(
    ORDERS, accelerator="kvm", machine="q35", serial="no,1", graphics=True, start_paused=True, stop_on_reboot=True,
    cpu=Cpu(2, 2, 2, "Skylake-Server", (("vmx", True), ("hle", False))),
    disks=(
        Disk("v", "/v", boot_index=3, cache="none", io="native", serial="abc", queues=4, logical_block_bytes=4096,
             format="raw", shareable=True, on_error="enospace"),
        Disk("s", "/s", bus="sata", cache="writethrough"), Disk("c", "/c", bus="scsi"),
        Disk("l", "/l", kind="lun", bus="scsi", format="raw", on_error="stop"),
        Disk("u", "/u", bus="usb"), Disk("r", "/r", kind="cdrom", bus="scsi", readonly=True, format="raw"),
    ),
    nics=(Nic("default", "tap0", "02:00:00:12:34:56", boot_index=1, queues=2),
          Nic("old", "tap1", "02:00:00:12:34:57", "e1000")),
    firmware=Firmware("/usr/share/OVMF/CODE.fd", "/run/vm/efi-vars.fd", secure_boot=True), watchdog=Watchdog(),
    clock=Clock(local=True), inputs=(Input(), Input("pen", "virtio")), panic="pvpanic", sound="ich9",
)  # fmt: skip
DEVICES = replace(
    SMALL, transitional=True, rng=True, page_bytes=2 << 20, usb_redirections=4, bios_on_serial=True, tpm=Tpm("/run/vm/tpm"), video="virtio",
    cpu=Cpu(features=(("hv-relaxed", True), ("hv-spinlocks", "4096"), ("kvm", False))),
    clock=Clock(local=True, driver="vm", slew=True, hpet=False, pit=False, pit_ticks="delay"),
    chassis=(("manufacturer", "A, B"), ("sku", "4")), sockets=Sockets(serial_log=""),
    disks=(Disk("a", "/a", io_thread="iothread1", discard_bytes=4096), Disk("b", "/b", io_thread="iothread1"),
           Disk("c", "/c", bus="scsi")),
    nics=(Nic("default", "tap0", "02:00:00:12:34:56"),),
)  # fmt: skip
PLAIN = replace(SMALL, machine="pc", graphics=False, balloon=False, acpi=False,
                sockets=Sockets(serial="", serial_log="", agent=""),
                disks=tuple(Disk(f"d{n}", f"/d{n}", bus="sata") for n in range(7)))


SHARED = replace(
    SMALL, max_memory_bytes=2 << 30, hotplug=True,
    shares=(Share("data", "/disks/shares/data", "/usr/lib/qemu/virtiofsd"),
            Share("conf", "/disks/shares/it's", "/usr/libexec/virtiofsd", confines_itself=True)),
)  # fmt: skip


def test_folders_are_served_before_the_machine_begins() -> None:
    setpriv, *_, shell, program = entrypoint(SHARED, "qemu")
    assert (setpriv, program) == ("setpriv", "qemu")
    old, new = shell.index("-o source=/disks/shares/data"), shell.index("--sandbox=none --cache=auto & }")
    assert old < new < shell.index("[ -S /run/vm/share0.sock ]") < shell.index('exec "$0"')
    assert subprocess.run(["sh", "-n", "-c", shell], check=False).returncode == 0
    assert entrypoint(replace(SHARED, shares=SHARED.shares[1:]), "qemu")[0] == "sh"


def test_memory_is_shared_with_what_serves_a_folder() -> None:
    said = lines(SHARED)
    assert "-device vhost-user-fs-pci,id=share0-dev,chardev=share0,tag=data,queue-size=1024" in said
    assert "-object memory-backend-memfd,id=ram0,size=1024M,share=on" in said
    assert any(one.startswith("-object memory-backend-memfd,id=memory0-ram,") and "share=on" in one for one in said)
    assert any("memory-backend=ram0" in one for one in said if one.startswith("-machine"))


def lines(spec: MachineSpec) -> list[str]:
    """Options with their value on one line."""
    words = iter(argv(spec)[1:])
    found: list[str] = []
    for word in words:
        if word.startswith("-"):
            found.append(word)
        else:
            found[-1] += f" {word}"
    return found


@pytest.mark.parametrize(("name", "spec"), [
    ("small", SMALL), ("orders", ORDERS), ("everything", EVERYTHING), ("plain", PLAIN), ("devices", DEVICES)])
def test_command_line(name: str, spec: MachineSpec) -> None:
    assert argv(spec)[0] == "qemu-system-x86_64"
    assert lines(spec) == (GOLDEN / f"{name}.args").read_text().splitlines()


def test_passt_listens_before_qemu_connects_and_ends_with_it() -> None:
    card = Nic("net a", "", "02:00:00:00:00:01", passt=Passt("80,90-99", "", ("10.96.0.10", "192.0.2.1"), ("a.svc", "svc")))
    spec = replace(SMALL, nics=(card,))
    assert "-netdev stream,id=host-net a,server=off,addr.type=unix,addr.path=/run/vm/passt-net a.sock" in lines(spec)
    shell, flag, script, program = entrypoint(spec, "qemu")
    assert (shell, flag, program) == ("sh", "-c", "qemu") and script.endswith('exec "$0" "$@"')
    assert ("{ passt --quiet --foreground --ipv4-only --one-off --no-map-gw --socket '/run/vm/passt-net a.sock'"
            " --log-file '/run/vm/passt-net a.log' --tcp-ports 80,90-99 --udp-ports none --dns 10.96.0.10 --dns 192.0.2.1 --search 'a.svc svc' & }") in script  # fmt: skip
    assert "until [ -S '/run/vm/passt-net a.sock' ]; do kill -0 $! || exit 1" in script
    assert entrypoint(SMALL, "qemu") == ("qemu",)


@pytest.mark.parametrize(("files", "most"), [(20000, 9488), (1 << 20, 32767), (100, 0)])
def test_passt_needs_two_open_files_for_a_port(files: int, most: int) -> None:
    assert passt.most_ports(files) == most


@pytest.mark.parametrize(("accelerator", "model", "expected"), [
    ("kvm", "host-model", "host"), ("kvm", "host-passthrough", "host"), ("tcg", "host-model", "max"),
    ("tcg", "host-passthrough", "max"), ("tcg", "qemu64", "qemu64"), ("kvm", "EPYC", "EPYC"),
])
def test_cpu_model_follows_the_accelerator(accelerator: str, model: str, expected: str) -> None:
    chosen = "kvm" if accelerator == "kvm" else "tcg"
    assert cpu.model(replace(SMALL, accelerator=chosen, cpu=Cpu(model=model))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("card", "device"), [
    ("vga", "VGA,id=video0,vgamem_mb=16,addr=0x1"), ("virtio", "virtio-vga,id=video0,addr=0x1"),
    ("bochs", "bochs-display,id=video0,addr=0x1"), ("cirrus", "cirrus-vga,id=video0,addr=0x1"), ("ramfb", "ramfb,id=video0"),
])
def test_screens(card: Any, device: str) -> None:
    assert f"-device {device}" in lines(replace(SMALL, video=card))


def test_first_card_is_on_the_first_bus() -> None:
    """So that the guest calls it enp1s0, as under KubeVirt."""
    assert pci.plugged(ORDERS) == ("nic-default", "disk-root")
    assert pci.bus(ORDERS, "nic-default") == "port1"
    assert pci.bus(replace(ORDERS, machine="pc"), "nic-default") is None


def test_more_than_eight_ports_take_a_second_slot() -> None:
    many = replace(SMALL, disks=tuple(Disk(f"d{n}", "/x") for n in range(9)))
    ports = [word for word in pci.args(many) if word != "-device"]
    assert "addr=0x3.0x0,multifunction=on" in ports[8]


def test_long_disk_names_fit_a_node_name() -> None:
    names = [disk.node(Disk("x" * n, "/x")) for n in (5, 26, 27, 63)]
    assert [len(name) <= 31 for name in names] == [True] * 4
    assert len(set(names)) == 4


@given(st.text(min_size=1))
def test_a_value_is_one_value(value: str) -> None:
    """No text of a manifest can add an option: QEMU splits at single commas only."""
    shown = pairs("head", key=value)
    assert shown == f"head,key={text(value)}"
    assert shown.removeprefix("head,key=").replace(",,", "").count(",") == 0


@given(st.text(min_size=1), st.text(min_size=1))
def test_disk_paths_survive(path: str, name: str) -> None:
    spec = replace(SMALL, disks=(Disk(name, path),))
    words = argv(spec)
    node = json.loads(words[words.index("-blockdev") + 1])
    assert node["file"]["filename"] == path


@pytest.mark.parametrize(("format", "locked"), [("raw", False), ("qcow2", True)])
def test_only_a_raw_disk_is_shared_without_a_lock(format: str, locked: bool) -> None:
    """The tables of a qcow2 that two machines write are soon nonsense."""
    shared = replace(SMALL, disks=(Disk("d", "/d", format=format, shareable=True),))  # type: ignore[arg-type]
    assert ('"locking":"off"' in " ".join(argv(shared))) is not locked


@pytest.mark.parametrize(("fixed", "expected"), [
    ({}, ("a", "b", "c")), ({"b": 0}, ("b", "a", "c")), ({"c": 4}, ("a", "b", "", "", "c")), ({"a": 1, "c": 3}, ("b", "a", "", "c")),
    ({"other": 7}, ("a", "b", "c")),
])
def test_devices_that_have_a_port_of_their_own(fixed: dict[str, int], expected: tuple[str, ...]) -> None:
    assert pci.arranged(("a", "b", "c"), fixed) == expected


@given(st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True, max_size=8), st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 12)))
def test_every_device_has_one_port_and_its_own_if_it_wants_one(names: list[str], wanted: dict[str, int]) -> None:
    fixed = {name: port for port, name in {port: name for name, port in wanted.items()}.items()}
    found = pci.arranged(names, fixed)
    assert sorted(one for one in found if one) == sorted(names)
    assert all(found[port] == name for name, port in fixed.items() if name in names)


def test_a_hole_stays_where_a_card_was() -> None:
    """As on the machine that a guest comes from: the port is there, and nothing in it."""
    with_hole = replace(ORDERS, ports=("nic-default", "nic-gone", "disk-root"))
    assert pci.plugged(with_hole) == ("nic-default", "", "disk-root")
    assert pci.bus(with_hole, "disk-root") == "port3"
    assert sum(word.startswith("pcie-root-port") for word in pci.args(with_hole)) == sum(
        word.startswith("pcie-root-port") for word in pci.args(ORDERS)) + 1


def test_a_device_on_the_first_bus_itself() -> None:
    disks = (replace(ORDERS.disks[0], bus="virtio", slot="0x10.0x0"), *ORDERS.disks[1:])
    moved = replace(ORDERS, disks=disks)
    assert f"disk-{disks[0].name}" not in pci.plugged(moved)
    assert any("bus=pcie.0,addr=0x10.0x0" in line for line in lines(moved))
    assert any("bus=pci.0,addr=0x10.0x0" in line for line in lines(replace(moved, machine="pc")))
