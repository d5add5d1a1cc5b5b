"""Claims that objects of CDI's populators fill: import, upload and copy, Pending until they hold what was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait
from .machines import Object, build, claim, claim_disk, echoes, gone, is_shown, machine, own, remove_images
from .pods import apply, reasons
from .test_upload import ASYNC, send, token

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
IMAGE = own("populated")
_STORAGE = "cdi.kubevirt.io/storage."


@pytest.fixture(scope="module")
def disk(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("images")
    path = write_disk(folder / "quick.img")
    build(folder, IMAGE, {"/disk/": path})
    yield path
    remove_images(IMAGE)


def source(kind: str, name: str, **spec: object) -> Object:
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def populated(name: str, kind: str, what: str, **more: object) -> Object:
    wanted = claim(name)
    wanted["spec"] |= {"dataSourceRef": {"apiGroup": "cdi.kubevirt.io", "kind": kind, "name": what}, **more}
    return wanted


def image() -> Object:
    return source("VolumeImportSource", "image", source={"registry": {"url": f"docker://{IMAGE}"}})


def phase(home: Product, name: str) -> str:
    return home.value(".status.phase", "pvc", name)


def is_bound(home: Product, *names: str) -> None:
    for name in names:
        wait(lambda one=name: phase(home, one) == "Bound", f"{name} is filled", 60)  # type: ignore[misc]


def is_told(home: Product, name: str, words: str) -> None:
    """Until `kubectl describe` says these words about a claim."""
    wait(lambda: words in home.kubectl("describe", "pvc", name).stdout, f"{name} says {words!r}", 60)


def remove_all(home: Product) -> None:
    """Nothing of the claims is left on disk."""
    home.kubectl("delete", "vm,pvc,volumeimportsource,volumeuploadsource,volumeclonesource", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "pvc", "pv")
    paths = Paths(home.home)
    wait(lambda: not [*paths.staging.iterdir(), *paths.volumes.iterdir()], "nothing left", 60)


def test_an_import_and_its_copy_boot(home: Product, disk: Path) -> None:
    apply(home, populated("first", "VolumeImportSource", "image"), machine("first", claim_disk("first")))
    is_told(home, "first", "VolumeImportSource default/image not found")
    assert phase(home, "first") == "Pending"
    copy = source("VolumeCloneSource", "copy", source={"kind": "PersistentVolumeClaim", "name": "first"})
    apply(home, copy, populated("second", "VolumeCloneSource", "copy"), image())
    is_bound(home, "first")
    notes = home.read("pvc", "first")["metadata"]["annotations"]
    assert notes[f"{_STORAGE}pod.phase"] == "Succeeded" and notes[f"{_STORAGE}populator.progress"] == "100.0%"
    wait(lambda: "importSucceeded" in reasons(home, "first"), "the import is told", 60)
    is_shown(home, "first", "Running", 60)
    echoes(home, "first")
    is_told(home, "second", "using PersistentVolumeClaim first")
    assert phase(home, "second") == "Pending"
    home.kubectl("delete", "vm", "first", "--timeout=60s")
    is_bound(home, "second")
    wait(lambda: home.read("pvc", "second")["metadata"]["annotations"].get("cdi.kubevirt.io/clonePhase") == "Succeeded", "the copy is told", 60)
    apply(home, machine("second", claim_disk("second")))
    is_shown(home, "second", "Running", 60)
    echoes(home, "second")
    remove_all(home)


def test_an_upload_fills_a_claim_that_is_not_bound(home: Product, disk: Path) -> None:
    apply(home, source("VolumeUploadSource", "here"), populated("sent", "VolumeUploadSource", "here"))
    is_told(home, "sent", "Upload into sent ready")
    assert phase(home, "sent") == "Pending"
    bearer = token(home, "sent")
    code, said = send(home, "POST", ASYNC, b"this is no image\n" * 100, bearer)
    assert (code, "no known format" in said, phase(home, "sent")) == (400, True, "Pending")
    home.kill_engine()
    home.vmpod("engine", "start")
    wait(lambda: send(home, "POST", ASYNC, disk.read_bytes(), token(home, "sent")) == (200, ""), "the next engine takes it", 60)
    is_bound(home, "sent")
    apply(home, machine("sent", claim_disk("sent")))
    is_shown(home, "sent", "Running", 60)
    echoes(home, "sent")
    remove_all(home)


def test_what_cannot_fill_says_so_and_leaves_nothing(home: Product, disk: Path) -> None:
    bad = source("VolumeImportSource", "bad", source={"http": {"url": "http://127.0.0.1:9/x"}})
    refused = home.kubectl("create", "-f", "-", stdin=json.dumps(source("VolumeImportSource", "none", source={})), check=False)
    assert "Missing VolumeImport source" in refused.stderr
    foreign = claim("foreign")
    foreign["spec"]["dataSourceRef"] = {"apiGroup": "forklift.konveyor.io", "kind": "OvirtVolumePopulator", "name": "x"}
    small = populated("small", "VolumeImportSource", "image", resources={"requests": {"storage": "1Ki"}})
    lazy = populated("lazy", "VolumeImportSource", "image", storageClassName="local-wait")
    apply(home, bad, image(), populated("bad", "VolumeImportSource", "bad"), small, lazy, foreign)
    is_told(home, "bad", "Connection refused")
    is_told(home, "small", "import into small failed")
    is_told(home, "lazy", "waiting for first consumer")
    is_told(home, "foreign", "UnrecognizedDataSourceKind")
    assert {phase(home, name) for name in ("bad", "small", "lazy", "foreign")} == {"Pending"}
    apply(home, machine("lazy", claim_disk("lazy")))
    is_shown(home, "lazy", "Running", 60)
    remove_all(home)
