"""Disks come and go while their machine runs, hold what the guest wrote, and are ordinary ones after a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ..e2e.product import Product, wait
from . import machines
from .machines import ask, claim, container_disk, heard, machine, stream
from .pods import apply
from .test_snapshots import restore, snapshot

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
LAB = "localhost/vmpod-examples/lab:1"
VM, VMI = "virtualmachines", "virtualmachineinstances"


@pytest.fixture(scope="module")
def plug(home: Product) -> Product:
    """A Linux machine `plug`, and two claims."""
    disks: list[dict[str, Any]] = [{"name": "d", "disk": {"bus": "virtio"}}, {"name": "drive", "cdrom": {"bus": "sata"}}]
    made = machine("plug", container_disk(LAB), disks=disks, memory="256Mi")
    apply(home, claim("slow", "24Mi"), claim("fast", "24Mi"), made)
    machines.is_shown(home, "plug", "Running")
    with shell(home):  # it has booted: until then a guest lets go of no disk
        return home


def adding(name: str, bus: str) -> dict[str, Any]:
    source = {"persistentVolumeClaim": {"claimName": name}}
    return {"name": name, "disk": {"disk": {"bus": bus}, "serial": f"n-{name}"}, "volumeSource": source}


def row(home: Product, volume: str) -> dict[str, Any]:
    found = home.read("vmi", "plug")["status"].get("volumeStatus", [])
    return next((one for one in found if one["name"] == volume), {})


def is_plugged(home: Product, volume: str) -> None:
    wait(lambda: row(home, volume).get("phase") == "Ready", f"{volume} is plugged in", 60, 0.2)


def is_away(home: Product, volume: str) -> None:
    wait(lambda: not row(home, volume), f"{volume} is unplugged: {row(home, volume)}", 60, 0.2)


@contextmanager
def shell(home: Product) -> Iterator[Callable[[str], str]]:
    """Root's shell on the serial console: what a command prints, once the guest has booted."""
    with stream(home, "plug", "console") as console:
        def run(command: str, timeout_s: float = 60) -> str:
            console.send(f"{command}; echo en''d=$?\n".encode())
            said = heard(console, b"end=", timeout_s)
            said += b"" if said.rpartition(b"end=")[2][:1].isdigit() else heard(console, b"\n", timeout_s)
            text, _, code = said.decode(errors="replace").rpartition("end=")
            assert code[:1] == "0", f"{command}: {text}"
            return text
        wait(lambda: run("stty -echo", 10), "the guest's shell answers", 300)
        yield run


def until(look: str) -> str:
    """A shell line that waits for what the guest's kernel does in its own time."""
    return f"i=0; until {look}; do i=$((i+1)); [ $i -lt 200 ] || break; usleep 100000; done; {look}"


def test_what_is_plugged_in_is_written_to_and_keeps_it(plug: Product) -> None:
    before = machines.instance(plug, "plug")
    assert ask(plug, VM, "plug", "addvolume", adding("slow", "scsi")) == (202, "")
    is_plugged(plug, "slow")
    assert ask(plug, VMI, "plug", "addvolume", adding("fast", "virtio")) == (202, "")
    is_plugged(plug, "fast")
    assert row(plug, "slow")["persistentVolumeClaimInfo"]["requests"] == {"storage": "24Mi"}
    wait(lambda: row(plug, "slow").get("size") == 24 << 20, "its size is told", 60, 0.2)
    assert not machines.condition(plug, "vm", "plug", "RestartRequired")
    with shell(plug) as run:
        for disk in ("sda", "vdb"):
            run(until(f"[ -b /dev/{disk} ]"))
            run(f"busybox mke2fs -b 4096 /dev/{disk} >/dev/null && mount /dev/{disk} /mnt && echo kept-{disk} >/mnt/a && umount /mnt")
        assert "n-fast" in run("cat /sys/block/vdb/serial") and "49152" in run("cat /sys/block/sda/size")
        code, told = ask(plug, VM, "plug", "addvolume", adding("slow", "scsi"))
        assert code == 409 and "because volume with that name already exists" in told
        for resource, volume, disk in ((VM, "slow", "sda"), (VMI, "fast", "vdb")):
            assert ask(plug, resource, "plug", "removevolume", {"name": volume}) == (202, "")
            run(until(f"[ ! -b /dev/{disk} ]"))
            is_away(plug, volume)
    assert machines.instance(plug, "plug") == before


def disc(home: Product, *claims: str) -> None:
    """Put the claim into the machine's drive, or nothing, by its template."""
    volumes = [container_disk(LAB), *({"name": "drive", "persistentVolumeClaim": {"claimName": one, "hotpluggable": True}}
                                      for one in claims)]
    patch = json.dumps({"spec": {"template": {"spec": {"volumes": volumes}}}})
    home.kubectl("patch", "vm", "plug", "--type=merge", "-p", patch)


def test_a_disc_is_put_into_an_empty_drive_and_taken_out(plug: Product) -> None:
    """The guest keeps it as long as it has it mounted."""
    assert not row(plug, "drive")
    disc(plug, "slow")
    is_plugged(plug, "drive")
    with shell(plug) as run:
        run(until("dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null"))
        assert "kept-sda" in run("mount -o ro /dev/sr0 /mnt && cat /mnt/a")
        disc(plug)
        wait(lambda: "the guest holds the disc drive" in plug.kubectl("describe", "vmi", "plug").stdout, "an event tells", 30)
        assert row(plug, "drive")["phase"] == "Detaching"
        run("umount /mnt")
        is_away(plug, "drive")
        run("! dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null")
    assert not machines.condition(plug, "vm", "plug", "RestartRequired")


def test_an_engine_that_dies_meanwhile_ends_what_was_begun(plug: Product) -> None:
    """One disk is plugged back while the engine is killed, and the claim under it cannot be taken away."""
    assert ask(plug, VM, "plug", "addvolume", adding("slow", "scsi")) == (202, "")
    plug.kill_engine()
    plug.vmpod("engine", "start")
    is_plugged(plug, "slow")
    plug.kubectl("delete", "pvc", "slow", "--wait=false")
    with shell(plug) as run:
        run(until("[ -b /dev/sda ]"))
        assert "kept-sda" in run("mount /dev/sda /mnt && cat /mnt/a && umount /mnt")
    assert plug.value(".metadata.deletionTimestamp", "pvc", "slow")
    assert ask(plug, VM, "plug", "removevolume", {"name": "slow"}) == (202, "")
    is_away(plug, "slow")
    wait(lambda: not plug.kubectl("get", "pvc", "slow", check=False).stdout, "the claim goes with its last user", 30)


def taken(home: Product, name: str) -> None:
    """A snapshot of the machine, taken."""
    apply(home, snapshot(name, "plug"))
    home.kubectl("wait", "vmsnapshot", name, "--for=condition=Ready", "--timeout=60s")
    assert home.read("vmsnapshot", name)["status"]["snapshotVolumes"]["includedVolumes"] == ["fast"]


def test_a_snapshot_holds_a_disk_that_is_plugged_in(plug: Product) -> None:
    """What is restored of it is plugged into the same guest, beside the disk that it was taken of."""
    before = machines.instance(plug, "plug")
    assert ask(plug, VM, "plug", "addvolume", adding("fast", "scsi")) == (202, "")
    is_plugged(plug, "fast")
    with shell(plug) as run:
        run(until("[ -b /dev/sda ]"))
        run("mount /dev/sda /mnt && echo one >/mnt/snap && sync")
        taken(plug, "first")
        run("echo two >/mnt/snap && sync")
        taken(plug, "second")
        assert "two" in run("cat /mnt/snap && umount /mnt")
    apply(plug, restore("beside", "plug-copy", "first", volumeRestoreOverrides=[{"volumeName": "fast", "restoreName": "older"}]))
    plug.kubectl("wait", "vmrestore", "beside", "--for=condition=Ready", "--timeout=60s")
    assert ask(plug, VM, "plug", "addvolume", adding("older", "scsi")) == (202, "")
    is_plugged(plug, "older")
    with shell(plug) as run:
        run(until("[ -b /dev/sdb ]"))
        assert "one" in run("mount -o noload /dev/sdb /mnt 2>/dev/null || mount /dev/sdb /mnt; cat /mnt/snap; umount /mnt")
    for volume in ("older", "fast"):
        assert ask(plug, VM, "plug", "removevolume", {"name": volume}) == (202, "")
        is_away(plug, volume)
    assert machines.instance(plug, "plug") == before
    plug.kubectl("delete", "vmrestore,vmsnapshot", "--all", "--timeout=60s")
    plug.kubectl("delete", "vm/plug-copy", "pvc/older", "--timeout=60s")


def test_after_a_restart_it_is_an_ordinary_disk(plug: Product) -> None:
    assert ask(plug, VM, "plug", "addvolume", adding("fast", "scsi")) == (202, "")
    is_plugged(plug, "fast")
    before = machines.instance(plug, "plug")
    assert machines.tell(plug, "plug", "restart", {"gracePeriodSeconds": 0}) == (202, "")
    machines.runs_anew(plug, "plug", before)
    is_plugged(plug, "fast")
    with shell(plug) as run:
        assert "kept-vdb" in run("mount /dev/sda /mnt && cat /mnt/a && umount /mnt")
    assert ask(plug, VM, "plug", "removevolume", {"name": "fast"}) == (202, "")
    is_away(plug, "fast")
