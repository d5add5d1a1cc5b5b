"""Devices of machines, seen on machines that run: families that a command line alone does not prove."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.paths import Paths
from vmpod.model.status import ApiError

from ..e2e.product import Product, wait
from . import machines
from .machines import (
    DEAF,
    LAB,
    QUICK,
    condition,
    container_disk,
    echoes,
    has_shell,
    heard,
    is_shown,
    machine,
    stream,
    typed,
)
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
MANY: dict[str, Any] = {
    "ioThreadsPolicy": "auto", "chassis": {"manufacturer": "Maker, Inc.", "serial": "s", "asset": "a", "sku": "k"},
    "clock": {"utc": {"offsetSeconds": -5400},
              "timer": {"hpet": {"present": False}, "rtc": {"tickPolicy": "catchup", "track": "guest"}, "pit": {"tickPolicy": "delay"}}},
    "features": {"hyperv": {"relaxed": {}, "synictimer": {"direct": {}}, "spinlocks": {}, "vendorid": {"vendorid": "vm pod"}},
                 "kvm": {"hidden": True}, "pvspinlock": {"enabled": True}, "apic": {"endOfInterrupt": True}},
    "memory": {"guest": "64Mi", "reservedOverhead": {"addedOverhead": "16Mi"}},
}  # fmt: skip
MANY_DEVICES: dict[str, Any] = {
    "tpm": {}, "clientPassthrough": {}, "useVirtioTransitional": True, "autoattachInputDevice": True, "rng": {},
    "panicDevices": [{"model": "pvpanic"}], "sound": {"name": "s", "model": "ich9"},
    "watchdog": {"name": "w", "i6300esb": {"action": "reset"}},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    machines.build_disks(tmp_path_factory.mktemp("images"))
    yield
    machines.remove_images(QUICK, DEAF)


def with_devices(name: str, devices: dict[str, Any], annotations: dict[str, str] | None = None, **domain: Any) -> machines.Object:
    made = machine(name)
    template = made["spec"]["template"]
    template["metadata"]["annotations"] = annotations or {}
    inside = template["spec"]["domain"]
    inside["devices"] |= devices
    inside |= domain
    return made


def run_folder(home: Product, name: str) -> Path:
    """Where the launcher pod of a machine has its sockets."""
    uid = home.kubectl("get", "pods", "-l", f"vm={name}", "-o", "jsonpath={.items[0].metadata.uid}").stdout
    return Paths(home.home).pod(uid) / "run"


def is_told(home: Product, name: str, words: str) -> None:
    """Until a condition of the instance holds `words`; there may be no instance yet."""
    def conditions() -> str:
        return home.kubectl("get", "vmi", name, "-o", "jsonpath={.status.conditions}", check=False).stdout

    wait(lambda: words in conditions(), f"{name} says {words!r}", 40, 0.2)


def test_many_devices_at_once(home: Product) -> None:
    apply(home, with_devices("many", MANY_DEVICES, **MANY))
    is_shown(home, "many", "Running")
    echoes(home, "many")
    folder = run_folder(home, "many")
    assert (folder / "tpm" / "tpm2-00.permall").stat().st_size > 0
    assert all((folder / f"usbredir{number}.sock").is_socket() for number in range(4))
    if condition(home, "vmi", "many", "SoftwareEmulation"):
        wait(lambda: "hv-relaxed" in home.kubectl("describe", "vmi", "many").stdout, "the event names what is not shown", 10)
    home.kubectl("delete", "vm", "many", "--wait=true")
    wait(lambda: not folder.exists(), "the folder of the machine is gone", 30)


@pytest.mark.parametrize("card", ["virtio", "bochs", "cirrus", "ramfb"])
def test_a_screen_of_each_kind(home: Product, card: str) -> None:
    apply(home, with_devices(card, {"video": {"type": card}}))
    is_shown(home, card, "Running")
    home.kubectl("delete", "vm", card, "--wait=true")


def test_a_console_that_is_not_kept(home: Product) -> None:
    apply(home, with_devices("unkept", {"logSerialConsole": False}, firmware={"bootloader": {"bios": {"useSerial": True}}}))
    is_shown(home, "unkept", "Running")
    echoes(home, "unkept")
    assert not (run_folder(home, "unkept") / "serial.log").exists()
    home.kubectl("delete", "vm", "unkept", "--wait=true")


def test_an_accelerator_that_is_asked_for(home: Product) -> None:
    apply(home, with_devices("asked", {}, {"vmpod.io/accelerator": "tcg"}))
    is_shown(home, "asked", "Running")
    emulated = condition(home, "vmi", "asked", "SoftwareEmulation")["message"]
    apply(home, with_devices("kvm", {}, {"vmpod.io/accelerator": "kvm"}))
    if "asks for it" in emulated:
        is_shown(home, "kvm", "Running")
    else:
        is_told(home, "kvm", "it asks for KVM (vmpod.io/accelerator), and here ")
        wait(lambda: "it asks for KVM" in home.kubectl("get", "events", "-o", "jsonpath={.items[*].message}").stdout,
             "an event tells", 10)
    home.kubectl("delete", "vm", "asked", "kvm", "--wait=true")


@pytest.mark.parametrize(("name", "devices", "domain", "told"), [
    ("pages", {}, {"memory": {"guest": "4Gi", "hugepages": {"pageSize": "4Gi"}}}, "it wants 1 huge pages of 4194304 KiB"),
])
def test_what_cannot_be_is_said(
    home: Product, name: str, devices: dict[str, Any], domain: dict[str, Any], told: str
) -> None:
    apply(home, with_devices(name, devices, **domain))
    is_told(home, name, told)
    home.kubectl("delete", "vm", name, "--wait=true")


def table(signature: bytes, body: bytes) -> bytes:
    """An ACPI table with its header and checksum (ACPI 6.4, 5.2.6)."""
    whole = bytearray(struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), 1, 0, b"VMPOD ", b"TESTING ", 1, b"TEST", 1) + body)
    whole[9] = -sum(whole) % 256
    return bytes(whole)


def boot_id(home: Product) -> str:
    """Which boot the Linux guest is in; empty while it does not say."""
    try:
        return typed(home, "linux", "cat /proc/sys/kernel/random/boot_id", 5)
    except (AssertionError, ApiError):
        return ""


def test_a_linux_guest_sees_its_devices_and_panics(home: Product) -> None:
    """A table of the firmware, tags, an account, sound; a watchdog that bites; then a panic fails its instance."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "licence"},
              "data": {"slic.bin": base64.b64encode(table(b"SLIC", b"to be read by Windows")).decode()}}
    devices = {"sound": {"name": "s", "model": "ich9"}, "panicDevices": [{"model": "pvpanic"}],
               "watchdog": {"name": "w", "i6300esb": {"action": "reset"}},
               "interfaces": [{"name": "default", "masquerade": {}, "tag": "front"}],
               "disks": [{"name": "d", "disk": {"bus": "virtio"}, "tag": "root"}, {"name": "seed", "cdrom": {"bus": "sata"}},
                         {"name": "who", "disk": {"bus": "virtio"}}]}
    volumes = [container_disk(LAB), {"name": "seed", "cloudInitConfigDrive": {"userData": "#cloud-config"}},
               {"name": "who", "serviceAccount": {"serviceAccountName": "default"}},
               {"name": "licence", "secret": {"secretName": "licence"}}]
    made = with_devices("linux", devices, memory={"guest": "256Mi"}, firmware={"acpi": {"slicNameRef": "licence"}})
    made["spec"]["runStrategy"] = "Manual"
    made["spec"]["template"]["spec"] |= {"volumes": volumes, "networks": [{"name": "default", "pod": {}}]}
    apply(home, secret, made)
    assert machines.tell(home, "linux", "start") == (202, "")
    is_shown(home, "linux", "Running", 60)
    has_shell(home, "linux")
    assert "to be read by Windows" in typed(home, "linux", "tail -c 21 /sys/firmware/acpi/tables/SLIC")
    assert "0x040300" in typed(home, "linux", "cat /sys/bus/pci/devices/*/class"), "a sound card"
    assert typed(home, "linux", "ls /dev/watchdog") == "/dev/watchdog"
    told = json.loads(typed(home, "linux", "mount -o ro /dev/sr0 /mnt; cat /mnt/openstack/latest/meta_data.json; echo; umount /mnt"))
    assert [(one["type"], one["address"], one["tags"]) for one in told["devices"]] == [
        ("nic", "0000:01:00.0", ["front"]), ("disk", "0000:02:00.0", ["root"])]
    assert typed(home, "linux", "ls -d /sys/bus/pci/devices/0000:01:00.0/virtio*/net/* /sys/bus/pci/devices/0000:02:00.0/virtio*/block/* "
                                "| sed 's,.*/,,'").split() == ["eth0", "vda"]
    assert typed(home, "linux", "mount -o ro /dev/vdb /mnt; cat /mnt/namespace; ls /mnt; umount /mnt").split() == [
        "defaultca.crt", "namespace", "token"]

    before, boot = machines.instance(home, "linux"), boot_id(home)
    starve = ("import fcntl, struct, time; f = open('/dev/watchdog', 'wb', 0); "
              f"fcntl.ioctl(f, {0xC0045706}, struct.pack('i', 2)); time.sleep(99)")  # WDIOC_SETTIMEOUT
    typed(home, "linux", f'(sleep 1; python3 -c "{starve}") & true')
    wait(lambda: boot_id(home) not in ("", boot), "the watchdog has reset the guest", 240, 1)
    assert machines.instance(home, "linux") == before

    typed(home, "linux", "(sleep 1; echo c > /proc/sysrq-trigger) & true")
    wait(lambda: home.value(".status.phase", "vmi", "linux") == "Failed", "the instance has failed", 60, 0.5)
    assert "Guest panicked" in home.kubectl("describe", "vmi", "linux").stdout
    home.kubectl("delete", "vm", "linux", "--wait=true")


def test_processors_of_its_own(home: Product) -> None:
    """One of this host's is always left to everybody; a machine that wants more than are free is told so."""
    host = len(os.sched_getaffinity(0))
    apply(home, with_devices("own", {}, cpu={"cores": 1, "dedicatedCpuPlacement": True}))
    is_shown(home, "own", "Running", 60)
    status = Path(f"/proc/{machines.process(home, 'own')}/status").read_text()
    (allowed,) = [line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list")]
    assert allowed.isdigit(), f"it may run on {allowed}"
    (pod,) = home.read("pods", "-l", "vm=own")["items"]
    assert pod["status"]["qosClass"] == "Guaranteed"
    apply(home, with_devices("more", {}, cpu={"cores": host - 1, "dedicatedCpuPlacement": True}))
    is_told(home, "more", f"it wants {host - 1} processors for itself (dedicatedCpuPlacement)")
    home.kubectl("delete", "vm", "own", "more", "--wait=true")


def test_uefi_speaks_on_the_console(home: Product) -> None:
    firmware = {"bootloader": {"efi": {"secureBoot": False}}}
    apply(home, with_devices("uefi", {}, firmware=firmware, memory={"guest": "128Mi"}))
    is_shown(home, "uefi", "Running")
    with stream(home, "uefi", "console") as opened:
        assert b"BdsDxe" in heard(opened, b"BdsDxe", 90)
    home.kubectl("delete", "vm", "uefi", "--wait=true")
