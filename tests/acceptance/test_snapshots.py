"""Snapshots and restores of machines: under a running guest, across a kill of the engine, and into another machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import GREETING, write_keeper

from ..e2e.product import Product, wait
from . import machines
from .machines import datavolume, gone, heard, is_shown, machine, own, stream
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
KEEPER = own("keeper")
API = "snapshot.kubevirt.io/v1beta1"


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("images")
    machines.build(folder, KEEPER, {"/disk/": write_keeper(folder / "keeper.img")})
    yield
    machines.remove_images(KEEPER)


def keeper(name: str) -> dict[str, Any]:
    """A machine that boots the keeper from a DataVolume of its own."""
    volume = datavolume(f"{name}-disk", registry={"url": f"docker://{KEEPER}"})
    made = machine(name, {"name": "d", "dataVolume": {"name": f"{name}-disk"}})
    made["spec"]["dataVolumeTemplates"] = [{"metadata": volume["metadata"], "spec": volume["spec"]}]
    return made


def snapshot(name: str, vm: str) -> dict[str, Any]:
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
    return {"apiVersion": API, "kind": "VirtualMachineSnapshot", "metadata": {"name": name}, "spec": {"source": source}}


def restore(name: str, vm: str, taken: str, **more: Any) -> dict[str, Any]:
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
    return {"apiVersion": API, "kind": "VirtualMachineRestore", "metadata": {"name": name},
            "spec": {"target": target, "virtualMachineSnapshotName": taken, **more}}  # fmt: skip


def keep(home: Product, vm: str, byte: bytes) -> None:
    """Let the guest write a byte to its disk."""
    with stream(home, vm, "console") as console:
        console.send(byte)
        heard(console, byte)


def is_ready(home: Product, kind: str, name: str) -> None:
    home.kubectl("wait", kind, name, "--for=condition=Ready", "--timeout=50s")


def boots_with(home: Product, vm: str, byte: str) -> None:
    """Start a machine; what its guest read from its disk."""
    home.kubectl("patch", "vm", vm, "--type=merge", "-p", '{"spec":{"runStrategy":"Always"}}')
    words = GREETING.decode().strip()

    def said() -> str:
        log = home.kubectl("logs", "-l", f"vm.kubevirt.io/name={vm}", check=False).stdout
        return log.partition(words)[2].strip().strip("\0")

    wait(lambda: said() != "", f"{vm} has booted", 60, 0.5)
    assert said() == byte


def test_a_running_machine_goes_back_to_what_it_was(home: Product) -> None:
    apply(home, keeper("db"))
    is_shown(home, "db", "Running", 60)
    keep(home, "db", b"b")
    apply(home, snapshot("one", "db"))
    is_ready(home, "vmsnapshot", "one")
    taken = home.read("vmsnapshot", "one")["status"]
    assert taken["phase"] == "Succeeded" and taken["snapshotVolumes"] == {"includedVolumes": ["d"], "excludedVolumes": []}
    assert taken["indications"] == ["NoGuestAgent", "Online"]
    keep(home, "db", b"c")
    before = machines.process(home, "db")

    apply(home, snapshot("two", "db"))
    home.kill_engine()
    home.vmpod("engine", "start")
    is_ready(home, "vmsnapshot", "two")
    keep(home, "db", b"d")
    assert machines.process(home, "db") == before

    home.kubectl("patch", "vm", "db", "--type=merge", "-p", '{"spec":{"runStrategy":"Halted"}}')
    is_shown(home, "db", "Stopped")
    volume, claim = home.read("dv", "db-disk")["metadata"]["uid"], home.read("pvc", "db-disk")["metadata"]["uid"]
    apply(home, restore("back", "db", "one", volumeRestorePolicy="InPlace"))
    is_ready(home, "vmrestore", "back")
    assert home.value(".status.complete", "vmrestore", "back") == "true"
    wait(lambda: home.value(".status.phase", "dv", "db-disk") == "Succeeded", "the volume has its claim", 60, 0.2)
    assert home.read("dv", "db-disk")["metadata"]["uid"] == volume
    assert home.read("pvc", "db-disk")["metadata"]["uid"] != claim
    boots_with(home, "db", "b")

    apply(home, restore("beside", "db-copy", "two"))
    is_ready(home, "vmrestore", "beside")
    boots_with(home, "db-copy", "c")

    home.kubectl("delete", "vm,vmsnapshot,vmrestore,dv,pvc", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "vmsnapshot", "vmsnapshotcontent", "vmrestore", "dv", "pvc", "pv")
    wait(lambda: not list(Paths(home.home).layers.iterdir()), "no layer is left", 20)
