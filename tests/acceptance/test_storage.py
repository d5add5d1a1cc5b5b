"""Storage of machines: every source and its failures, who may use a claim, and what never happens to the host's files."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.testing import buckets, certificates, registry
from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait
from . import machines
from .claims import disks, phase, reaches, remove_all
from .machines import (
    QUICK,
    Object,
    claim,
    claim_disk,
    condition,
    container_disk,
    datavolume,
    echoes,
    heard,
    is_shown,
    machine,
    own,
    says,
    stream,
    tell,
)
from .pods import apply, container, mount, pod, ready, run_in

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
LAB = "localhost/vmpod-examples/lab:1"
TWO, EMPTY = own("two"), own("empty")


asked: list[str] = []  # by Range headers
HALF = 2 << 20


class Server(http.server.SimpleHTTPRequestHandler):
    """Files, and a few ill manners by path."""

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        if self.path == "/stops":
            self._stop_in_the_middle()
        elif self.path == "/slow":
            self._promise(50 << 20)
            try:
                for _ in range(600):
                    self.wfile.write(bytes(10_000))
                    time.sleep(0.1)
            except OSError:
                return
        elif self.path == "/cut":
            self._promise(1 << 20)
            self.wfile.write(bytes(1000))
        elif self.path == "/headed" and (self.headers.get("X-One"), self.headers.get("X-Key")) != ("1", "k"):
            self.send_error(403)
        elif self.path == "/private" and self.headers.get("Authorization") != "Basic dTpw":
            self.send_error(401)
        else:
            self.path = "/quick.img" if self.path in ("/private", "/headed") else self.path
            super().do_GET()

    def _stop_in_the_middle(self) -> None:
        """Half of it, and no more; what is asked for from the middle on is sent."""
        data = Path(self.directory, "noise.img").read_bytes()
        range = self.headers.get("Range", "")
        asked.append(range)
        start = int(range.removeprefix("bytes=").partition("-")[0]) if range else 0
        self.send_response(206 if range else 200)
        for key, value in (("Accept-Ranges", "bytes"), ("ETag", '"1"'), ("Content-Length", str(len(data) - start)),
                           ("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")):  # fmt: skip
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data[start:] if range else data[:HALF])
        self.wfile.flush()
        if not range:
            threading.Event().wait(120)  # its client dies before

    def _promise(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image in every format, and what must not be taken for one."""
    folder = tmp_path_factory.mktemp("www")
    quick = write_disk(folder / "quick.img")
    for format in ("qcow2", "vmdk", "vdi", "vhdx", "vpc"):
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", format, str(quick), str(folder / f"quick.{format}")], check=True)
    (folder / "quick.img.gz").write_bytes(gzip.compress(quick.read_bytes()))
    (folder / "text").write_text("this is no image\n")
    (folder / "page.html").write_bytes(b"<!DOCTYPE html><html>404</html>".ljust(1024))
    (folder / "noise.img").write_bytes(os.urandom(4 << 20))
    create = ["qemu-img", "create", "-q", "-u"]
    subprocess.run([*create, "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", str(folder / "backed.qcow2"), "1M"], check=True)
    subprocess.run([*create, "-f", "qcow2", str(folder / "big.qcow2"), "1G"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "-b", "quick.vmdk", "-F", "vmdk", "child.vmdk"], check=True, cwd=folder)
    whole = folder / "whole.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(folder / "noise.img"), str(whole)], check=True)
    (folder / "truncated.qcow2").write_bytes(whole.read_bytes()[: 2 << 20])
    return folder


@pytest.fixture(scope="module")
def url(files: Path) -> Iterator[str]:
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(files)))
    served.daemon_threads = True
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("images")
    machines.build_disks(folder)
    machines.build(folder, TWO, {"/disk/": folder / "quick.img", "/disk/more.img": folder / "deaf.img",
                                 "/place/disk.img": folder / "quick.img"})  # fmt: skip
    machines.build(folder, EMPTY, {"/": folder / "quick.img"})
    yield
    machines.remove_images(QUICK, machines.DEAF, TWO, EMPTY)


def reserved(name: str, **source: dict[str, object]) -> Object:
    made: Object = datavolume(name, "16Mi", **source)
    made["spec"]["preallocation"] = True
    return made


def fails(home: Product, name: str, words: str, wanted: str = "Failed") -> None:
    """Until a DataVolume says why it is not filled, in its condition and in an event."""
    def is_told() -> bool:
        status = home.read("dv", name).get("status", {})  # in one look: it may be tried again at any moment
        running: Object = next((one for one in status.get("conditions", []) if one["type"] == "Running"), {})
        return words in running.get("message", "") and wanted in (status.get("phase"), "")

    wait(is_told, f"{name} is {wanted} and says {words!r}", 60)
    events = home.read("events", "--field-selector", f"involvedObject.name={name},type=Warning")["items"]
    assert any(words in one["message"] for one in events), events


def test_every_format_over_http(home: Product, url: str) -> None:
    sha = hashlib.sha256(write_disk(home.home / "quick.img").read_bytes()).hexdigest()
    home.kubectl("create", "secret", "generic", "reader", "--from-literal=accessKeyId=u", "--from-literal=secretKey=p")
    home.kubectl("create", "secret", "generic", "header", "--from-literal=any=X-Key: k")
    formats = ("qcow2", "vmdk", "vdi", "vhdx", "vpc", "img", "img.gz")
    apply(home, *(datavolume(f"is-{one.replace('.', '-')}", http={"url": f"{url}/quick.{one}"}) for one in formats),
          datavolume("checked", http={"url": f"{url}/quick.img", "checksum": f"sha256:{sha}"}),
          datavolume("private", http={"url": f"{url}/private", "secretRef": "reader"}),
          datavolume("headed", http={"url": f"{url}/headed", "extraHeaders": ["X-One: 1"], "secretExtraHeaders": ["header"]}),
          reserved("reserved", http={"url": f"{url}/quick.qcow2"}), reserved("empty", blank={}),
          datavolume("data", http={"url": f"{url}/noise.img"}),
          datavolume("node", registry={"url": f"docker://{QUICK}", "pullMethod": "node"}), datavolume("blank", blank={}))  # fmt: skip
    for name in ("is-qcow2", "is-vmdk", "is-vdi", "is-vhdx", "is-vpc", "is-img", "is-img-gz", "checked", "private", "headed", "data", "node", "blank",
                 "reserved", "empty"):  # fmt: skip
        reaches(home, name, "Succeeded")
    for name in ("reserved", "empty", "is-qcow2"):
        volume = Paths(home.home).volume(home.value(".spec.volumeName", "pvc", name)) / "disk.qcow2"
        owned = volume.stat().st_blocks * 512 >= 16 << 20
        told = home.value(r".metadata.annotations.cdi\.kubevirt\.io/storage\.preallocation", "pvc", name)
        assert (owned, told) == ((True, "true") if name != "is-qcow2" else (False, ""))
    assert home.value(".status.progress", "dv", "node") == "100.0%"
    booted = ("is-qcow2", "is-vmdk", "is-vhdx", "is-img-gz", "reserved")
    apply(home, *(machine(f"boots-{one}", {"name": "d", "dataVolume": {"name": one}}) for one in booted))
    for one in booted:
        is_shown(home, f"boots-{one}", "Running", 60)
        echoes(home, f"boots-{one}")
    (home.home / "quick.img").unlink()
    remove_all(home)


def test_objects_of_buckets(home: Product, files: Path, tmp_path: Path) -> None:
    """Signed with what the secret says, or refused by the store with its reason."""
    for name in ("b/disk.qcow2", "public/disk.qcow2"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes((files / "quick.qcow2").read_bytes())
    made = certificates.make()
    with buckets.s3(tmp_path, certificates=made) as s3, buckets.google(tmp_path) as google:
        apply(home, buckets.secret("key", {"accessKeyId": buckets.KEY_ID, "secretKey": buckets.SECRET}),
              buckets.secret("account", {"credentials.json": google.key_file()}),
              {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.pem": made.ca.decode()}},
              datavolume("s3", s3={"url": f"{s3.url}/b/disk.qcow2", "secretRef": "key", "certConfigMap": "ca"}),
              datavolume("all", s3={"url": f"{s3.url}/public/disk.qcow2", "certConfigMap": "ca"}),
              datavolume("nobody", s3={"url": f"{s3.url}/b/disk.qcow2", "certConfigMap": "ca"}),
              datavolume("gcs", gcs={"url": f"{google.url}/b/disk.qcow2", "secretRef": "account"}))  # fmt: skip
        for name in ("s3", "all", "gcs"):
            reaches(home, name, "Succeeded")
        fails(home, "nobody", "the server answered 403 Forbidden: AccessDenied", "ImportScheduled")
    apply(home, machine("boots", {"name": "d", "dataVolume": {"name": "gcs"}}))
    is_shown(home, "boots", "Running")
    echoes(home, "boots")
    remove_all(home)


def test_what_is_not_done_is_refused_by_name(home: Product) -> None:
    for source, said in (
        ({"vddk": {"url": "http://a"}}, "spec.source.vddk: Forbidden: not supported: VMware's VDDK"),
        ({"imageio": {"url": "http://a", "diskId": "b"}}, "spec.source.imageio: Forbidden: not supported"),
        ({"glance": {"url": "http://a"}}, 'unknown field "spec.source.glance"'),
    ):
        one = json.dumps(datavolume("refused", **source))  # type: ignore[arg-type]
        done = home.kubectl("create", "--validate=strict", "-f", "-", stdin=one, check=False)
        assert done.returncode != 0 and said in done.stderr, done.stderr
    warned = datavolume("warned", blank={})
    warned["spec"]["priorityClassName"] = "high"
    done = home.kubectl("create", "-f", "-", stdin=json.dumps(warned))
    assert "Warning: spec.priorityClassName: not supported yet, ignored" in done.stderr
    remove_all(home)


def test_images_past_the_store_of_podman(home: Product, files: Path, tmp_path: Path) -> None:
    """Of another architecture, with an authority of the registry's own; and out of an archive, of one folder only."""
    registry.write_index({"amd64": files / "quick.img", "arm64": files / "noise.img"}, tmp_path / "two")
    archives = Paths(home.home).archives
    archives.mkdir()
    registry.push(tmp_path / "two", f"oci-archive:{archives}/two.tar:v1")
    shutil.copy(archives / "two.tar", home.home / "outside.tar")
    (tmp_path / "registry").mkdir()
    with registry.registry(tmp_path / "registry") as (address, authority):
        registry.push(tmp_path / "two", f"{address}/two:1")
        login = {"auths": {address: {"username": registry.USER, "password": registry.PASSWORD}}}
        image: dict[str, object] = {"url": f"docker://{address}/two:1", "secretRef": "login", "certConfigMap": "ca"}
        apply(home, buckets.secret("login", {".dockerconfigjson": json.dumps(login)}),
              {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.pem": authority}},
              datavolume("ours", registry=image),
              datavolume("other", registry=image | {"platform": {"architecture": "arm64"}, "pullMethod": "node"}),
              datavolume("none", registry=image | {"platform": {"architecture": "s390x"}}),
              datavolume("archive", registry={"url": "oci-archive:two.tar:v1"}),
              datavolume("outside", registry={"url": f"oci-archive:{home.home}/outside.tar"}))  # fmt: skip
        for name in ("ours", "other", "archive"):
            reaches(home, name, "Succeeded", 60)
        fails(home, "none", "s390x", "ImportScheduled")
        home.kubectl("delete", "dv", "other", "none", "--timeout=60s")
        template = {"spec": datavolume("any", registry=image | {"platform": {"architecture": "arm64"}})["spec"]}
        cron = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataImportCron", "metadata": {"name": "nightly"},
                "spec": {"schedule": "0 0 * * *", "managedDataSource": "golden", "template": template}}  # fmt: skip
        apply(home, cron)
        home.kubectl("wait", "--for=condition=UpToDate", "dic/nightly", "--timeout=60s")
    home.kubectl("delete", "dic,das", "--all", "--timeout=60s")
    fails(home, "outside", "archives are read from nowhere else", "ImportScheduled")
    apply(home, machine("boots", {"name": "d", "dataVolume": {"name": "archive"}}))
    is_shown(home, "boots", "Running")
    echoes(home, "boots")
    shutil.rmtree(archives)
    remove_all(home)


def test_claims_that_wait_for_their_first_consumer(home: Product) -> None:
    """Of the class local-wait: a pod or a machine that uses a claim binds it, or CDI's annotation does."""
    volumes = [datavolume(name, registry={"url": f"docker://{QUICK}"}) for name in ("used", "forced")]
    for one in volumes:
        one["spec"]["storage"] = {**one["spec"].pop("pvc"), "storageClassName": "local-wait"}
    volumes[1]["metadata"]["annotations"] = {"cdi.kubevirt.io/storage.bind.immediate.requested": ""}
    plain = claim("plain")
    plain["spec"]["storageClassName"] = "local-wait"
    apply(home, *volumes, plain)
    reaches(home, "forced", "Succeeded")
    reaches(home, "used", "WaitForFirstConsumer")
    assert home.value(".status.phase", "pvc", "plain") == "Pending"
    assert "waiting for first consumer" in home.kubectl("describe", "pvc", "plain").stdout
    apply(home, machine("box", {"name": "d", "dataVolume": {"name": "used"}}, claim_disk("plain") | {"name": "e"}))
    is_shown(home, "box", "Running")
    assert (phase(home, "used"), home.value(".status.phase", "pvc", "plain")) == ("Succeeded", "Bound")
    profile = home.read("storageprofile", "local-wait")["status"]
    assert (profile["provisioner"], profile["claimPropertySets"][0]["accessModes"]) == ("vmpod.io/local", ["ReadWriteOnce"])
    remove_all(home)


def with_modes(name: str, *modes: str, **source: Object) -> Object:
    """A claim, or with a source a DataVolume."""
    wanted = datavolume(name, "16Mi", **source) if source else claim(name)
    (wanted["spec"]["pvc"] if source else wanted["spec"])["accessModes"] = list(modes)
    return wanted


def test_what_access_modes_allow(home: Product) -> None:
    """ReadWriteMany: several write. ReadOnlyMany: nobody does, neither pods nor machines, which then share a disk."""
    def user(name: str, claim_name: str) -> Object:
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}]
        return pod(name, container(volumeMounts=[mount("v", "/v")]), volumes=volumes)

    apply(home, with_modes("many", "ReadWriteMany"), with_modes("none", "ReadOnlyMany"), user("one", "many"), user("two", "many"), user("reader", "none"),
          with_modes("shown", "ReadOnlyMany", registry={"url": f"docker://{QUICK}"}))  # fmt: skip
    reaches(home, "shown", "Succeeded")
    apply(home, machine("first", claim_disk("shown")), machine("second", claim_disk("shown")))
    ready(home, "one", "two", "reader")
    run_in(home, "one", "echo words > /v/a")
    assert run_in(home, "two", "cat /v/a; echo more >> /v/a; cat /v/a") == "words\nwords\nmore\n"
    assert run_in(home, "reader", "touch /v/a || echo refused").endswith("refused\n")
    volume = home.value(".spec.volumeName", "pvc", "many")
    home.kubectl("delete", "pv", volume, "--wait=false")
    assert "Terminating" in home.kubectl("get", "pv", volume).stdout  # kubernetes.io/pv-protection: its claim is there
    assert run_in(home, "one", "cat /v/a") == "words\nmore\n"
    for name in ("first", "second"):
        is_shown(home, name, "Running", 60)
        echoes(home, name)
    remove_all(home)


def test_a_claim_for_one_pod(home: Product) -> None:
    alone = claim("alone")
    alone["spec"]["accessModes"] = ["ReadWriteOncePod"]
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "alone"}}]
    first, second = (pod(name, container(volumeMounts=[mount("v", "/v")]), volumes=volumes) for name in ("first", "second"))
    apply(home, alone, first)
    ready(home, "first")
    apply(home, second)
    words = "the claim alone is ReadWriteOncePod and in use by the pod first"
    wait(lambda: words in home.kubectl("describe", "pod", "second").stdout, "the second pod waits", 20)
    home.kubectl("delete", "pod", "first", "--now")
    ready(home, "second")
    remove_all(home)


def grow(home: Product, name: str, size: str) -> None:
    home.kubectl("patch", "pvc", name, "-p", json.dumps({"spec": {"resources": {"requests": {"storage": size}}}}))
    wait(lambda: home.value(".status.capacity.storage", "pvc", name) == size, f"{name} has {size}", 20)


def test_claims_grow_also_under_a_running_machine(home: Product) -> None:
    apply(home, claim("data", "16Mi"), datavolume("idle", registry={"url": f"docker://{QUICK}"}),
          machine("lab", container_disk(LAB), {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, memory="256Mi"))  # fmt: skip
    is_shown(home, "lab", "Running", 60)
    reaches(home, "idle", "Succeeded")
    grow(home, "idle", "32Mi")
    disk = disks(home) / "volumes" / home.value(".spec.volumeName", "pvc", "idle") / "disk.qcow2"
    told = subprocess.run(["qemu-img", "info", "--output=json", str(disk)], check=True, capture_output=True, text=True).stdout
    assert json.loads(told)["virtual-size"] == 32 << 20
    wait(lambda: sectors(home) == (16 << 20) // 512, "the guest sees its disk", 240, 1)
    grow(home, "data", "48Mi")
    wait(lambda: sectors(home) == (48 << 20) // 512, "the guest sees it grow", 20, 1)
    smaller = home.kubectl("patch", "pvc", "data", "-p", '{"spec":{"resources":{"requests":{"storage":"8Mi"}}}}', check=False)
    assert "field can not be less than status.capacity" in smaller.stderr
    remove_all(home)


def sectors(home: Product) -> int:
    """The size of the second disk as the guest on its console says it."""
    with stream(home, "lab", "console") as console:
        console.send(b"\necho be''gin $(cat /sys/block/vdb/size) en''d\n")
        said = heard(console, b" end\r\n", 5).decode(errors="replace")
    return int(said.rpartition("begin ")[2].split()[0])


def test_what_is_no_image_is_refused_with_its_reason_and_leaves_nothing(home: Product, url: str) -> None:
    bad = {
        "text": "no known format", "page.html": "it is text", "truncated.qcow2": "truncated or damaged",
        "backed.qcow2": "it refers to another file (/etc/shadow)", "child.vmdk": "it refers to another file (quick.vmdk)",
        "big.qcow2": "set resources.requests.storage to 1Gi or more",
    }  # fmt: skip
    apply(home, *(datavolume(name.replace(".", "-"), http={"url": f"{url}/{name}"}) for name in bad),
          datavolume("checksum", http={"url": f"{url}/quick.img", "checksum": "sha256:" + "0" * 64}),
          datavolume("two", registry={"url": f"docker://{TWO}"}), datavolume("none", registry={"url": f"docker://{EMPTY}"}))  # fmt: skip
    for name, words in bad.items():
        fails(home, name.replace(".", "-"), words)
        assert str(home.home) not in condition(home, "dv", name.replace(".", "-"), "Running")["message"]
    fails(home, "checksum", "its sha256 is")
    fails(home, "two", "more than one file in /disk")
    fails(home, "none", "there is no disk in /disk")
    apply(home, machine("waits", {"name": "d", "dataVolume": {"name": "text"}}))
    says(home, "waits", "no known format")
    remove_all(home)


def test_what_may_be_better_later_is_tried_again(home: Product, url: str) -> None:
    apply(home, datavolume("missing", http={"url": f"{url}/missing"}), datavolume("cut", http={"url": f"{url}/cut"}),
          datavolume("private", http={"url": f"{url}/private"}), datavolume("refused", http={"url": "http://127.0.0.1:9/x"}),
          datavolume("pulled", registry={"url": "docker://localhost/none/such:1"}))  # fmt: skip
    for name, words in (("missing", "answered 404"), ("cut", "it ended after 1000 of"), ("private", "answered 401"),
                        ("refused", "Connection refused"), ("pulled", "cannot pull the image")):  # fmt: skip
        fails(home, name, words, "ImportScheduled")
    assert int(home.value(".status.restartCount", "dv", "missing")) >= 1
    remove_all(home)


def downloads(home: Product) -> list[Path]:
    return list(disks(home).glob("staging/*/download"))


def test_a_deleted_import_ends_at_once(home: Product, url: str) -> None:
    apply(home, datavolume("slow", "64Mi", http={"url": f"{url}/slow"}))
    wait(lambda: downloads(home), "it downloads", 60)
    home.kubectl("delete", "dv", "slow", "--timeout=10s")
    remove_all(home)


def test_an_import_goes_on_where_it_was_when_the_engine_was_killed(home: Product, url: str, files: Path) -> None:
    """A server that cannot send the rest alone is asked for all of it again."""
    sha = hashlib.sha256((files / "noise.img").read_bytes()).hexdigest()
    asked.clear()
    apply(home, datavolume("stops", "64Mi", http={"url": f"{url}/stops", "checksum": f"sha256:{sha}"}),
          datavolume("slow", "64Mi", http={"url": f"{url}/slow"}))  # fmt: skip
    wait(lambda: len(downloads(home)) == 2 and any(one.stat().st_size == HALF for one in downloads(home)), "both download", 60)
    home.kill_engine()
    try:
        wait(lambda: not list(disks(home).glob("staging/import-*/*")), "the importers have ended too", 60)
    finally:
        home.vmpod("engine", "start")
    reaches(home, "stops", "Succeeded", 60)
    assert asked == ["", f"bytes={HALF}-"]
    wait(lambda: phase(home, "slow") == "ImportInProgress" and downloads(home), "the other one downloads again", 60)
    remove_all(home)


@pytest.mark.parametrize("after_s", [0.0, 0.5])
def test_an_engine_that_dies_while_disks_come_in_are_copied_and_grow(home: Product, files: Path, after_s: float) -> None:
    """The old state or the new one: with the next engine all come to their end, and nothing half-made is left."""
    apply(home, datavolume("source", registry={"url": f"docker://{QUICK}"}))
    reaches(home, "source", "Succeeded")
    local = claim("local")
    local["metadata"]["annotations"] = {"cdi.kubevirt.io/storage.import.source": "file",
                                        "cdi.kubevirt.io/storage.import.endpoint": f"file://{files / 'whole.qcow2'}"}  # fmt: skip
    apply(home, local, datavolume("copy", "32Mi", pvc={"name": "source", "namespace": "default"}))
    home.kubectl("patch", "pvc", "source", "-p", '{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}')
    time.sleep(after_s)
    home.kill_engine()
    home.vmpod("engine", "start")
    reaches(home, "copy", "Succeeded", 60)
    phase = r".metadata.annotations.cdi\.kubevirt\.io/storage\.pod\.phase"
    wait(lambda: home.value(phase, "pvc", "local") == "Succeeded", "the file is in", 60)
    wait(lambda: home.value(".status.capacity.storage", "pvc", "source") == "32Mi", "the disk has grown", 60)
    assert _virtual_mib(home, "source") == 32 and _virtual_mib(home, "copy") >= 16
    assert not list((disks(home) / "staging").iterdir())
    apply(home, machine("boots", claim_disk("copy")))
    is_shown(home, "boots", "Running", 60)
    echoes(home, "boots")
    remove_all(home)


def _virtual_mib(home: Product, claim: str) -> int:
    folder = disks(home) / "volumes" / home.value(".spec.volumeName", "pvc", claim)
    (disk,) = folder.glob("disk*.qcow2")
    return int.from_bytes(disk.read_bytes()[24:32], "big") >> 20


def test_container_disks(home: Product) -> None:
    """One image for several machines, a path in it, and images that hold no disk or none that is named."""
    apply(home, machine("one"), machine("two", container_disk(path="/disk/quick.img")),
          machine("place", container_disk(TWO, path="/place/disk.img")), machine("many", container_disk(TWO)),
          machine("empty", container_disk(EMPTY)),
          machine("never", container_disk("localhost/none/such:1", imagePullPolicy="Never")))  # fmt: skip
    for name in ("one", "two", "place"):
        is_shown(home, name, "Running")
    echoes(home, "place")
    says(home, "many", "more than one file in /disk")
    says(home, "empty", "there is no disk in /disk")
    says(home, "never", "ErrImageNeverPull")
    assert len(list(Paths(home.home).bases.glob("*.qcow2"))) <= 2, "one base for one content"
    remove_all(home)


def test_templates_go_with_their_machine_and_claims_wait_for_theirs(home: Product) -> None:
    wanted = machine("shop", {"name": "d", "dataVolume": {"name": "shop-disk"}})
    made = datavolume("shop-disk", registry={"url": f"docker://{QUICK}"})
    wanted["spec"]["dataVolumeTemplates"] = [{"metadata": made["metadata"], "spec": made["spec"]}]
    apply(home, wanted)
    is_shown(home, "shop", "Running")
    home.kubectl("delete", "pvc", "shop-disk", "--wait=false")
    wait(lambda: "Terminating" in home.kubectl("get", "pvc").stdout, "it is protected", 10)
    assert "VolumeInUse" in home.kubectl("describe", "pvc", "shop-disk").stdout
    is_shown(home, "shop", "Running")
    home.kubectl("delete", "vm", "shop")
    remove_all(home)


def test_what_a_machine_writes_stays_and_a_retained_volume_too(home: Product) -> None:
    apply(home, claim("data"), machine("keeps", container_disk(), {"name": "c", "persistentVolumeClaim": {"claimName": "data"}}))
    is_shown(home, "keeps", "Running")
    volume = home.value(".spec.volumeName", "pvc", "data")
    disk = disks(home) / "volumes" / volume / "disk.qcow2"
    before = disk.stat().st_ino
    tell(home, "keeps", "restart")
    wait(lambda: home.value(".status.stateChangeRequests", "vm", "keeps") == "", "it was restarted", 20)
    is_shown(home, "keeps", "Running")
    assert disk.stat().st_ino == before
    home.kubectl("patch", "pv", volume, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}')
    home.kubectl("delete", "vm", "keeps")
    home.kubectl("delete", "pvc", "data")
    wait(lambda: home.value(".status.phase", "pv", volume) == "Released", "it is released", 10)
    assert disk.exists()
    home.kubectl("patch", "pv", volume, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}')
    remove_all(home)


def test_one_machine_at_a_time_writes_a_claim(home: Product) -> None:
    apply(home, datavolume("shared", registry={"url": f"docker://{QUICK}"}))
    reaches(home, "shared", "Succeeded")
    apply(home, machine("first", claim_disk("shared")))
    is_shown(home, "first", "Running")
    apply(home, machine("second", claim_disk("shared")))
    says(home, "second", "the disk on the claim shared is in use by the machine first")
    tell(home, "first", "stop")
    is_shown(home, "second", "Running")
    home.kubectl("delete", "vm", "first", "second")
    layers = [machine(name, {"name": "d", "ephemeral": claim_disk("shared") | {}}) for name in ("third", "fourth")]
    for one in layers:
        one["spec"]["template"]["spec"]["volumes"][0]["ephemeral"].pop("name")
    apply(home, *layers)
    is_shown(home, "third", "Running")
    is_shown(home, "fourth", "Running")
    echoes(home, "fourth")
    remove_all(home)


def test_what_a_container_puts_into_a_claim_is_not_followed(home: Product, files: Path) -> None:
    """A container and a machine share a claim; the container is not to be trusted."""
    shadow = os.stat("/etc/shadow")
    apply(home, claim("shared"), pod("writer", container(volumeMounts=[mount("v", "/v")]),
                                     volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "shared"}}]))  # fmt: skip
    ready(home, "writer")
    folder = disks(home) / "volumes" / home.value(".spec.volumeName", "pvc", "shared")
    backed = (files / "backed.qcow2").read_bytes()
    attacks = (("ln -s /etc/shadow /v/disk.img", "it is a symbolic link"), ("ln -s /etc/shadow /v/disk.qcow2", "it is a symbolic link"),
               ("mkfifo /v/disk.img", "it is not a regular file"), ("true", "it refers to another file (/etc/shadow)"))  # fmt: skip
    for script, words in attacks:
        run_in(home, "writer", f"rm -f /v/*; {script}")
        if script == "true":
            (folder / "disk.qcow2").write_bytes(backed)
        apply(home, machine("victim", claim_disk("shared")))
        says(home, "victim", words)
        home.kubectl("delete", "vm", "victim")
    now = os.stat("/etc/shadow")
    assert (now.st_uid, now.st_gid, now.st_mode, now.st_mtime) == (shadow.st_uid, shadow.st_gid, shadow.st_mode, shadow.st_mtime)
    run_in(home, "writer", "rm -f /v/*")
    (folder / "disk.img").write_bytes((files / "quick.img").read_bytes())
    apply(home, machine("raw", claim_disk("shared")))
    is_shown(home, "raw", "Running")
    echoes(home, "raw")
    remove_all(home)


def test_container_disks_of_images_that_are_gone_are_forgotten(home: Product, tmp_path: Path) -> None:
    """At the start of an engine, unless a disk lies on them."""
    image = own("passing")
    (tmp_path / "passing.img").write_bytes(write_disk(tmp_path / "passing.img").read_bytes() + bytes(512))
    machines.build(tmp_path, image, {"/disk/": tmp_path / "passing.img"})
    apply(home, machine("passing", container_disk(image)))
    is_shown(home, "passing", "Running")
    (pod_,) = home.read("pods", "-l", "vm=passing")["items"]
    base = Path(os.path.realpath(_backing(Paths(home.home).pod(pod_["metadata"]["uid"]) / "disks" / "d.qcow2")))
    machines.remove_images(image)
    home.vmpod("engine", "stop")
    home.vmpod("engine", "start")
    assert base.exists(), "a running machine's disk lies on it"
    home.kubectl("delete", "vm", "passing")
    home.vmpod("engine", "stop")
    home.vmpod("engine", "start")
    wait(lambda: not base.exists(), "the base is gone", 10)


def _backing(disk: Path) -> Path:
    from vmpod.drivers.disks import formats

    return disk.parent / formats.backing_name(disk)
