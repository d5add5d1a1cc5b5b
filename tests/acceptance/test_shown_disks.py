"""A pod that mounts the claim of a machine's disk sees it as CDI lays it out: disk.img, raw, and no copy."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vmpod.base import proc
from vmpod.drivers.disks import mounts
from vmpod.testing.guest import GREETING, write_keeper

from ..e2e.product import Product, wait
from . import machines
from .claims import reaches, remove_all
from .machines import claim_disk, datavolume, is_shown, machine, says, stream, tell
from .pods import Object, apply, container, ended, mount, pod, ready, run_in

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
KEEPER = "localhost/vmpod-test/shown-keeper:1"
BYTE = "dd if=/d/disk.img bs=1 skip=512 count=1 2>/dev/null"


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("images")
    machines.build(folder, KEEPER, {"/disk/": write_keeper(folder / "keeper.img", b"a")})
    yield
    machines.remove_images(KEEPER)


def user(name: str, script: str = "sleep 1000", *, read_only: bool = False, **spec: Any) -> Object:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "disk", "readOnly": read_only}}
    spec = {"securityContext": {"fsGroup": 107}} | spec  # the image of its container is not for root
    return pod(name, container(script, volumeMounts=[mount("v", "/d")]), volumes=[volume], **spec)


def servers(home: Product) -> list[proc.Daemon]:
    return proc.naming(str(home.home), [("qemu-storage-daemon",)])


def waits(home: Product, name: str, words: str) -> None:
    """Until the events about a pod say why its volume is not there."""
    def told() -> bool:
        found = home.read("events", "--field-selector", f"involvedObject.name={name},reason=FailedMount")["items"]
        return any(words in one["message"] for one in found)

    wait(told, f"{name} says {words!r}", 60)


def greets_with(home: Product, name: str, byte: bytes) -> None:
    """At its boot the guest prints the byte that its disk holds."""
    log = Path(home.home, "pods")

    def printed() -> bool:
        return any(GREETING + byte in one.read_bytes() for one in log.glob("*/run/serial.log"))

    wait(printed, f"{name} prints {byte!r}", 60)


def test_a_pod_and_a_machine_have_one_disk_in_turn(home: Product) -> None:
    apply(home, datavolume("disk", registry={"url": f"docker://{KEEPER}"}))
    reaches(home, "disk", "Succeeded")
    apply(home, machine("keeper", claim_disk("disk")))
    greets_with(home, "keeper", b"a")
    is_shown(home, "keeper", "Running")
    with stream(home, "keeper", "console") as console:
        console.send(b"b")
        machines.heard(console, b"b", 60)
    apply(home, user("reader"))
    waits(home, "reader", "the disk on the claim disk is in use by the machine keeper")
    tell(home, "keeper", "stop")
    ready(home, "reader")
    assert run_in(home, "reader", "ls -A /d; stat -c '%a %u %s' /d/disk.img") == f"disk.img\n660 107 {16 << 20}\n"
    assert run_in(home, "reader", f"dd if=/d/disk.img bs=1 skip=510 count=2 2>/dev/null | od -An -tx1; {BYTE}") == " 55 aa\nb"
    assert "Read-only" in run_in(home, "reader", "touch /d/more 2>&1; true")
    (server,) = servers(home)
    home.kill_engine()
    home.vmpod("engine", "start")
    wait(lambda: run_in(home, "reader", BYTE, check=False) == "b", "the pod reads on", 60)
    run_in(home, "reader", "printf c | dd of=/d/disk.img bs=1 seek=512 conv=notrunc,fsync 2>/dev/null")
    assert servers(home) == [server], "the next engine finds what serves the disk"
    os.kill(server.pid, signal.SIGKILL)
    wait(lambda: home.value(".status.containerStatuses[0].restartCount", "pod", "reader") == "1", "it begins anew", 60)
    wait(lambda: run_in(home, "reader", BYTE, check=False) == "c", "it reads what it wrote", 60)
    tell(home, "keeper", "start")
    says(home, "keeper", "the disk on the claim disk is in use by the pod reader", 60)
    home.kubectl("delete", "pod", "reader")
    greets_with(home, "keeper", b"c")
    assert (servers(home), mounts.below(home.home)) == ([], [])
    remove_all(home)


def test_those_who_only_read_share_a_disk(home: Product) -> None:
    apply(home, datavolume("disk", registry={"url": f"docker://{KEEPER}"}))
    reaches(home, "disk", "Succeeded")
    apply(home, user("one", read_only=True), user("two", read_only=True))
    ready(home, "one", "two")
    assert "can't open" in run_in(home, "one", "printf z | dd of=/d/disk.img bs=1 conv=notrunc 2>&1; true")
    apply(home, user("writer", f"{BYTE} > /dev/termination-log", restartPolicy="Never"))
    assert run_in(home, "two", BYTE) == "a"
    waits(home, "writer", "the disk on the claim disk is in use by the pod")
    home.kubectl("delete", "pod", "one", "two")
    done = ended(home, "writer", "Succeeded")
    assert done["containerStatuses"][0]["state"]["terminated"]["message"] == "a"
    wait(lambda: not servers(home), "a pod that has ended has no disk any more", 60)
    apply(home, machine("keeper", claim_disk("disk")))
    is_shown(home, "keeper", "Running", 60)
    remove_all(home)
    assert mounts.below(home.home) == []
