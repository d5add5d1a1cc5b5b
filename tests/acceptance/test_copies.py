"""Claims that are copies: of a golden image in another namespace, by a DataSource, of what a machine wrote, of files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import GREETING, write_keeper

from ..e2e.product import Product, wait
from .machines import (
    Object,
    build,
    claim,
    claim_disk,
    condition,
    datavolume,
    gone,
    heard,
    is_shown,
    machine,
    own,
    remove_images,
    stream,
    tell,
    type_in,
)
from .pods import apply, container, mount, pod

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
KEEPER = own("copied-keeper")


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("images")
    build(folder, KEEPER, {"/disk/": write_keeper(folder / "keeper.img")})
    yield
    remove_images(KEEPER)


@pytest.fixture(scope="module")
def golden(home: Product) -> Product:
    """A namespace with one image, which a DataSource names."""
    home.kubectl("create", "namespace", "golden")
    image = datavolume("image", registry={"url": f"docker://{KEEPER}"})
    source: Object = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataSource", "metadata": {"name": "keeper"},
                      "spec": {"source": {"pvc": {"name": "image", "namespace": "golden"}}}}  # fmt: skip
    for one in (image, source):
        one["metadata"]["namespace"] = "golden"
    apply(home, image, source)
    home.kubectl("wait", "-n", "golden", "--for=condition=Ready", "dv/image", "das/keeper", "--timeout=60s")
    return home


def copy_of(name: str, source: str, size: str = "", namespace: str = "default") -> Object:
    made = datavolume(name, pvc={"name": source, "namespace": namespace})
    made["spec"]["pvc"] = claim(name, size or "16Mi")["spec"]
    return made


def by_reference(name: str) -> Object:
    """A DataVolume whose size and mode are those of what it is copied from."""
    spec = {"sourceRef": {"kind": "DataSource", "name": "keeper", "namespace": "golden"}, "storage": {}}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": name}, "spec": spec}


def filled(home: Product, *names: str) -> None:
    for name in names:
        wait(lambda one=name: home.value(".status.phase", "dv", one) == "Succeeded", f"{name} is filled", 40)  # type: ignore[misc]


def kept(home: Product, name: str) -> str:
    """What the guest of a machine prints when it boots: its greeting, and the byte that its disk keeps."""
    is_shown(home, name, "Running")
    told = wait(lambda: home.kubectl("logs", "-l", f"vm.kubevirt.io/name={name}").stdout.partition(GREETING.decode().strip())[2].strip(),
                f"the guest of {name} tells its byte", 40)  # fmt: skip
    return str(told)[0]


def test_copies_of_a_golden_image(golden: Product) -> None:
    home = golden
    apply(home, copy_of("one", "image", namespace="golden"), copy_of("large", "image", "64Mi", "golden"), by_reference("two"))
    filled(home, "one", "large", "two")
    assert home.value(".spec.resources.requests.storage", "pvc", "two") == "16Mi"
    assert home.value(".status.capacity.storage", "pvc", "large") == "64Mi"
    events = home.kubectl("describe", "dv", "one").stdout
    assert "Successfully cloned from golden/image into default/one" in events
    assert list(Paths(home.home).layers.glob("*.base")) == []  # nobody has written it, so nothing had to be frozen
    refused = home.kubectl("create", "-f", "-", stdin=json.dumps(copy_of("bad", "image", "1Mi", "golden")), check=False)
    assert refused.returncode == 0
    wait(lambda: "smaller than the source 1Mi < 16Mi" in condition(home, "dv", "bad", "Running").get("message", ""), "it is refused", 20)
    home.kubectl("delete", "dv", "--all", "--timeout=60s")
    gone(home, "dv", "pvc")


def test_a_copy_of_what_a_machine_wrote_goes_its_own_way(golden: Product) -> None:
    home = golden
    apply(home, by_reference("first"), machine("first", claim_disk("first")))
    is_shown(home, "first", "Running")
    with stream(home, "first", "console") as console:
        console.send(b"b")
        heard(console, b"b")
    apply(home, copy_of("second", "first"))
    wait(lambda: condition(home, "dv", "second", "Running").get("reason") == "CloneSourceInUse", "it waits for the machine", 20)
    assert home.value(".status.phase", "dv", "second") == "CloneScheduled"
    assert tell(home, "first", "stop") == (202, "")
    filled(home, "second")
    apply(home, machine("second", claim_disk("second")))
    tell(home, "first", "start")
    assert (kept(home, "first"), kept(home, "second")) == ("b", "b")
    type_in(home, "second", b"c")
    home.kubectl("delete", "vm", "--all", "--timeout=60s")
    gone(home, "vm", "vmi")
    apply(home, machine("first", claim_disk("first")), machine("second", claim_disk("second")))
    assert (kept(home, "first"), kept(home, "second")) == ("b", "c")
    home.kubectl("delete", "vm,dv", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "dv", "pvc")
    wait(lambda: not list(Paths(home.home).layers.glob("*.base")), "the layer goes with the last disk on it", 20)


def test_a_copy_of_files(golden: Product) -> None:
    """By the claim's own `dataSource`, without CDI."""
    home = golden
    script = "echo words > /v/a; ln -s a /v/b; mkdir /v/c; sleep 1000"
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "files"}}]
    apply(home, claim("files"), pod("writer", container(script, volumeMounts=[mount("v", "/v")]), volumes=volumes))
    home.kubectl("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    wanted = claim("again")
    wanted["spec"]["dataSource"] = {"kind": "PersistentVolumeClaim", "name": "files"}
    apply(home, wanted)
    wait(lambda: "using PersistentVolumeClaim files" in home.kubectl("describe", "pvc", "again").stdout, "it waits for the pod", 20)
    home.kubectl("delete", "pod", "writer", "--now")
    wait(lambda: "Succeeded" in home.kubectl("get", "pvc", "again", "-o", "jsonpath={.metadata.annotations}").stdout, "it is filled", 30)
    folder: Path = Paths(home.home).volume(home.value(".spec.volumeName", "pvc", "again"))
    assert (folder / "a").read_text() == "words\n"
    assert (folder / "b").is_symlink() and (folder / "c").is_dir()
    home.kubectl("delete", "pvc", "--all", "--timeout=60s")
    gone(home, "pvc")


def volume_snapshot(name: str, claim: str, **spec: str) -> Object:
    return {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": name},
            "spec": {"source": {"persistentVolumeClaimName": claim}, **spec}}  # fmt: skip


def test_a_snapshot_of_a_running_machine_fills_claims(golden: Product) -> None:
    home = golden
    apply(home, by_reference("first"), machine("first", claim_disk("first")))
    is_shown(home, "first", "Running")
    with stream(home, "first", "console") as console:
        console.send(b"b")
        heard(console, b"b")
        apply(home, volume_snapshot("saved", "first", volumeSnapshotClassName="csi-azuredisk-vsc"))
        home.kubectl("wait", "--for=jsonpath={.status.readyToUse}=true", "vs/saved", "--timeout=40s")
        console.send(b"c")
        heard(console, b"c")
    told = home.kubectl("get", "vs,vsc").stdout
    assert "16Mi" in told and "snapcontent-" in told and "VolumeSnapshotClassRelaxed" in home.kubectl("describe", "vs", "saved").stdout
    wanted, native = datavolume("second", snapshot={"name": "saved", "namespace": "default"}), claim("third")
    native["spec"]["dataSource"] = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "saved"}
    apply(home, wanted, native, machine("second", claim_disk("second")), machine("third", claim_disk("third")))
    assert (kept(home, "second"), kept(home, "third")) == ("b", "b")
    assert tell(home, "first", "restart") == (202, "")
    wait(lambda: home.value(".status.stateChangeRequests", "vm", "first") == "", "it was restarted", 20)
    wait(lambda: kept(home, "first") == "c", "it keeps what it wrote since", 30)
    home.kubectl("delete", "vs", "saved", "--timeout=30s")
    gone(home, "vs", "vsc")
    home.kubectl("delete", "vm,dv,pvc", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "dv", "pvc")
    wait(lambda: not list(Paths(home.home).layers.iterdir()), "no layer is left", 20)


def test_a_snapshot_that_cannot_be(golden: Product) -> None:
    home = golden
    script = "echo words > /v/a"
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "files"}}]
    apply(home, claim("files"), pod("writer", container(script, volumeMounts=[mount("v", "/v")]), volumes=volumes, restartPolicy="Never"))
    wait(lambda: home.value(".status.phase", "pod", "writer") == "Succeeded", "it has written", 40)
    apply(home, volume_snapshot("files", "files"), volume_snapshot("none", "nothing"))
    for name, why in (("files", "holds files, not a disk"), ("none", "gone or not bound")):
        wait(lambda one=name, words=why: words in home.value(".status.error.message", "vs", one), f"{name} says {why}", 20)  # type: ignore[misc]
    home.kubectl("delete", "vs,pod,pvc", "--all", "--timeout=60s")
    gone(home, "vs", "pvc")


def test_an_image_is_looked_for_by_schedule(golden: Product) -> None:
    """Found at once, imported and named; machines are made of the DataSource that the cron keeps."""
    home = golden
    source = {"registry": {"url": f"docker://{KEEPER}"}}
    storage = {"resources": {"requests": {"storage": "16Mi"}}}
    cron: Object = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataImportCron", "metadata": {"name": "daily"},
                    "spec": {"schedule": "@daily", "managedDataSource": "fresh",
                             "template": {"spec": {"source": source, "storage": storage}}}}  # fmt: skip
    apply(home, cron)
    home.kubectl("wait", "--for=condition=UpToDate", "dic/daily", "--timeout=60s")
    wanted = by_reference("made")
    wanted["spec"]["sourceRef"] = {"kind": "DataSource", "name": "fresh"}
    apply(home, wanted)
    filled(home, "made")
    (current,) = home.read("dic", "daily")["status"]["currentImports"]
    assert current["DataVolumeName"] == f"fresh-{current['Digest'].removeprefix('sha256:')[:12]}"
    home.kubectl("delete", "dic,das,dv", "--all", "--timeout=60s")
    gone(home, "dic", "das", "dv", "pvc")
