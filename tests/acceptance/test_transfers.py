"""ObjectTransfers: a disk goes to another namespace and back under another name, with engines that are killed on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait
from .machines import Object, build, claim_disk, condition, datavolume, echoes, gone, is_shown, machine, remove_images
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
IMAGE = "localhost/vmpod-test/moved:1"


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("images")
    build(folder, IMAGE, {"/disk/": write_disk(folder / "quick.img")})
    yield
    remove_images(IMAGE)


def transfer(name: str, kind: str, source: str, target: str) -> Object:
    """From and to are NAMESPACE/NAME."""
    where, wanted = source.split("/")
    to = target.split("/")
    spec = {"source": {"kind": kind, "namespace": where, "name": wanted}, "target": {"namespace": to[0], "name": to[1]}}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "ObjectTransfer", "metadata": {"name": name}, "spec": spec}


def says(home: Product, name: str, words: str) -> None:
    wait(lambda: condition(home, "ot", name, "Complete").get("message") == words, f"{name} says {words!r}", 60)


def test_a_disk_goes_to_another_namespace_and_back(home: Product) -> None:
    home.kubectl("create", "namespace", "other")
    apply(home, datavolume("disk", registry={"url": f"docker://{IMAGE}"}), machine("box", claim_disk("disk")))
    is_shown(home, "box", "Running", 60)
    volume = home.value(".spec.volumeName", "pvc", "disk")
    apply(home, transfer("away", "DataVolume", "default/disk", "other/moved"))
    says(home, "away", "Pods using DataVolume PVC")
    home.kubectl("delete", "vm", "box", "--timeout=60s")
    wait(lambda: home.value(".status.phase", "ot", "away") in ("Running", "Complete"), "it begins", 60, 0.05)
    home.kill_engine()
    home.vmpod("engine", "start")
    says(home, "away", "Transfer complete")
    assert home.value(".status.phase", "dv", "moved", "-n", "other") == "Succeeded"
    assert home.value(".spec.volumeName", "pvc", "moved", "-n", "other") == volume
    assert home.kubectl("get", "dv,pvc", "-o", "name").stdout == ""
    taken = home.kubectl("create", "-f", "-", stdin=json.dumps(transfer("x", "DataVolume", "default/a", "other/moved")), check=False)
    assert 'ObjectTransfer target "other/moved" already exists' in taken.stderr
    apply(home, transfer("back", "DataVolume", "other/moved", "default/back"))
    says(home, "back", "Transfer complete")
    found = home.read("pv", volume)
    assert (found["status"]["phase"], found["spec"]["persistentVolumeReclaimPolicy"]) == ("Bound", "Delete")
    apply(home, machine("box", claim_disk("back")))
    is_shown(home, "box", "Running", 60)
    echoes(home, "box")
    home.kubectl("delete", "vm,dv,pvc,ot", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "pvc", "pv", "ot")
    wait(lambda: not [*Paths(home.home).volumes.iterdir()], "nothing left", 60)
