"""Images that come in by upload: demo 3 of the talk word for word, the proxy's refusals, and what an upload that ends early leaves."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait
from .machines import claim, condition, datavolume, gone, is_shown
from .pods import IMAGE, apply, mount, pod

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
LAB, PAGE = "localhost/vmpod-examples/lab:1", "a machine beside the containers\n"
DEMO = Path(__file__).parent / "demo3"
ASYNC = "/v1beta1/upload-async"


@pytest.fixture(scope="module")
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small disk as it is and in VMware's format, and what is none."""
    folder = tmp_path_factory.mktemp("uploads")
    quick = write_disk(folder / "quick.img")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", str(quick), str(folder / "quick.vmdk")], check=True)
    (folder / "text").write_text("this is no image\n")
    return folder


@pytest.fixture(scope="module")
def vagrant_vmdk(host: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `vagrant up` leaves: a Linux disk in VMware's format, with a web server that a provisioner has put there."""
    folder = tmp_path_factory.mktemp("vagrant")
    made = subprocess.run(["podman", "create", LAB, "none"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["podman", "cp", f"{made}:/disk/disk.qcow2", str(folder)], check=True)
    subprocess.run(["podman", "rm", made], check=True, capture_output=True)
    raw = folder / "disk.raw"
    convert(folder / "disk.qcow2", raw)
    parts = json.loads(subprocess.run(["sfdisk", "-J", str(raw)], check=True, capture_output=True).stdout)["partitiontable"]["partitions"]
    root = f"{raw}?offset={parts[-1]['start'] * 512}"
    inittab = subprocess.run(["debugfs", "-R", "cat /etc/inittab", root], check=True, capture_output=True, text=True).stdout
    (folder / "inittab").write_text(f"{inittab}ht:2:respawn:/bin/busybox httpd -f -p 80 -h /srv\n")
    (folder / "index.html").write_text(PAGE)
    steps = ["rm /etc/inittab", f"write {folder}/inittab /etc/inittab", "mkdir /srv", f"write {folder}/index.html /srv/index.html"]
    (folder / "steps").write_text("\n".join(steps))
    subprocess.run(["debugfs", "-w", "-f", str(folder / "steps"), root], check=True, capture_output=True)
    convert(raw, folder / "vagrant.vmdk")
    return folder / "vagrant.vmdk"


def convert(source: Path, target: Path) -> None:
    forms = [path.suffix.removeprefix(".") for path in (source, target)]
    subprocess.run(["qemu-img", "convert", "-f", forms[0], "-O", forms[1], str(source), str(target)], check=True)


@contextmanager
def forwarded(home: Product) -> Iterator[int]:
    """`kubectl port-forward -n cdi service/cdi-uploadproxy 8443:443`, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [home.kubectl_program, "port-forward", "-n", "cdi", "service/cdi-uploadproxy", f"{port}:443"]
    process = subprocess.Popen(argv, env=home.env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "Forwarding from" in process.stdout.readline()
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=10)


def token(home: Product, name: str) -> str:
    asked = {"apiVersion": "upload.cdi.kubevirt.io/v1beta1", "kind": "UploadTokenRequest",
             "metadata": {"generateName": "token-for-virtctl-"}, "spec": {"pvcName": name}}  # fmt: skip
    return home.kubectl("create", "-f", "-", "-o", "jsonpath={.status.token}", stdin=json.dumps(asked)).stdout


def connect(home: Product, *, insecure: bool = False) -> http.client.HTTPSConnection:
    """To the address that CDIConfig tells, by somebody without a certificate."""
    url = home.value(".status.uploadProxyURL", "cdiconfig", "config")
    trusted = ssl.create_default_context(cafile=str(Paths(home.home).pki / "ca.crt"))
    if insecure:
        trusted = ssl._create_unverified_context()
    return http.client.HTTPSConnection(url.removeprefix("https://"), context=trusted, timeout=60)


def send(home: Product, method: str, path: str, body: bytes = b"", bearer: str = "", type: str = "",
         *, insecure: bool = False) -> tuple[int, str]:  # fmt: skip
    connection = connect(home, insecure=insecure)
    headers = ({"Authorization": f"Bearer {bearer}"} if bearer else {}) | ({"Content-Type": type} if type else {})
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    return answer.status, said


def form(*entries: tuple[str, bytes]) -> tuple[bytes, str]:
    """The body of a form with these entries, and its type."""
    parts = [b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n' % (name.encode(), data)
             for name, data in entries]  # fmt: skip
    return b"".join(parts) + b"--edge--\r\n", "multipart/form-data; boundary=edge"


def archive(*entries: tuple[str, bytes], link: str = "") -> bytes:
    """A tar archive, packed; with a link of that name to the host's secrets."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
            made.addfile(info)
    return out.getvalue()


def phase(home: Product, name: str) -> str:
    return home.value(".status.phase", "dv", name)


def fetched(url: str) -> str:
    """What a URL serves, empty while it serves nothing."""
    curl = ["curl", "-sf", "--noproxy", "*", "--max-time", "5", url]
    return subprocess.run(curl, check=False, capture_output=True, text=True, timeout=30).stdout


def staged(home: Product) -> list[Path]:
    return list(Paths(home.home).staging.iterdir())


def test_demo_3(home: Product, vagrant_vmdk: Path) -> None:
    wait(lambda: home.kubectl("get", "service", "-n", "cdi", "cdi-uploadproxy", check=False).returncode == 0, "the proxy is named", 30)
    home.kubectl("apply", "-f", str(DEMO / "datavolume.yaml"))
    with forwarded(home) as port:
        bearer = home.kubectl("apply", "-o=jsonpath={.status.token}", "-f", str(DEMO / "token.yaml")).stdout
        curl = ["curl", "-sS", "--insecure", "--noproxy", "*", "-H", f"Authorization: Bearer {bearer}", "--data-binary",
                f"@{vagrant_vmdk}", "-w", "%{http_code}", f"https://127.0.0.1:{port}/v1alpha1/upload"]  # fmt: skip
        assert subprocess.run(curl, check=True, capture_output=True, text=True, timeout=120).stdout == "200"
    wait(lambda: phase(home, "upload-datavolume") == "Succeeded", "the DataVolume succeeds", 30)
    home.kubectl("apply", "-f", str(DEMO / "vm.yaml"))
    is_shown(home, "testvm2", "Running")
    home.kubectl("apply", "-f", str(DEMO / "service.yaml"))
    wait(lambda: home.address("vm2http"), "the service has an address outside", 20)
    wait(lambda: fetched(f"http://{home.address('vm2http')}:38883") == PAGE, "the machine's page is served", 200, 1)
    home.kubectl("delete", "vm,dv,pvc,service", "testvm2", "upload-datavolume", "vm2http", "--ignore-not-found", "--timeout=60s")
    gone(home, "vm", "vmi", "dv", "pvc", "pv")


def test_what_the_slides_show(home: Product) -> None:
    assert "Deployed" in home.kubectl("get", "kubevirt", "-n", "kubevirt").stdout
    assert "Deployed" in home.kubectl("get", "cdi", "cdi").stdout
    everything = home.kubectl("get", "all", "-n", "kubevirt").stdout
    for name in ("pod/virt-api", "pod/virt-controller", "pod/virt-handler-", "pod/virt-operator", "service/virt-api"):
        assert name in everything
    pods = home.kubectl("get", "pods", "-n", "cdi").stdout.splitlines()[1:]
    assert {line.split()[0] for line in pods} == {"cdi-apiserver", "cdi-deployment", "cdi-operator", "cdi-uploadproxy"}
    assert all(line.split()[2] == "Running" for line in pods)


def test_who_may_upload(home: Product, images: Path) -> None:
    apply(home, datavolume("one", upload={}), claim("plain"))
    wait(lambda: phase(home, "one") == "UploadReady", "an upload is awaited", 30)
    bearer, image = token(home, "one"), (images / "quick.img").read_bytes()
    refused = home.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "upload.cdi.kubevirt.io/v1beta1", "kind": "UploadTokenRequest", "metadata": {"name": "x"},
        "spec": {"pvcName": "none"}}), check=False)  # fmt: skip
    assert 'persistentvolumeclaims "none" not found' in refused.stderr
    assert send(home, "POST", ASYNC, image)[0] == 400
    assert send(home, "POST", ASYNC, image, bearer[:-4] + "AAAA")[0] == 401
    assert send(home, "GET", ASYNC, b"", bearer)[0] == 405
    assert send(home, "HEAD", ASYNC, b"", bearer)[0] == 200
    assert send(home, "POST", ASYNC, image, token(home, "plain"))[0] == 503
    code, said = send(home, "POST", ASYNC, (images / "text").read_bytes(), bearer)
    assert (code, "no known format" in said, str(home.home) in said) == (400, True, False)
    assert send(home, "POST", ASYNC, image, bearer)[0] == 200
    wait(lambda: phase(home, "one") == "Succeeded", "the DataVolume succeeds", 30)
    code, said = send(home, "POST", ASYNC, image, bearer)
    assert (code, "already finished uploading" in said) == (503, True)
    home.kubectl("delete", "dv,pvc", "--all", "--timeout=60s")
    gone(home, "dv", "pvc", "pv")


def test_an_upload_that_ends_early_leaves_nothing(home: Product, images: Path) -> None:
    apply(home, datavolume("cut", upload={}))
    wait(lambda: phase(home, "cut") == "UploadReady", "an upload is awaited", 30)
    bearer = token(home, "cut")
    connection = connect(home)
    connection.putrequest("POST", ASYNC)
    connection.putheader("Authorization", f"Bearer {bearer}")
    connection.putheader("Content-Length", str(8 << 20))
    connection.endheaders(bytes(2 << 20))
    wait(lambda: staged(home), "the image is on its way", 20)
    assert send(home, "POST", ASYNC, b"x", bearer)[0] == 503
    connection.close()
    wait(lambda: not staged(home), "nothing is left of it", 20)
    assert phase(home, "cut") == "UploadReady"
    apply(home, datavolume("small", "1Ki", upload={}))
    wait(lambda: phase(home, "small") == "UploadReady", "an upload is awaited", 30)
    code, said = send(home, "POST", ASYNC, (images / "quick.vmdk").read_bytes(), token(home, "small"))
    assert (code, "larger than the claim" in said) == (400, True)
    assert "larger than the claim" in condition(home, "dv", "small", "Running")["message"]
    assert staged(home) == []
    home.kubectl("delete", "dv,pvc", "--all", "--timeout=60s")
    gone(home, "dv", "pvc", "pv")


def test_uploads_that_mean_harm_leave_nothing(home: Product, images: Path) -> None:
    """Two at once, more than the claim holds, other lengths than were said, bytes that trickle, a claim in use."""
    script = "echo mine > /v/file; sleep 1000"
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]
    own = {"name": "c", "image": IMAGE, "command": ["sh", "-c", script], "volumeMounts": [mount("v", "/v")]}
    apply(home, datavolume("one", upload={}), datavolume("other", upload={}), claim("used"), pod("user", own, volumes=volumes))
    for name in ("one", "other"):
        wait(lambda one=name: phase(home, one) == "UploadReady", f"an upload into {name} is awaited", 60)  # type: ignore[misc]
    engine, bearer, image = home.engine, token(home, "one"), (images / "quick.img").read_bytes()
    large = trickling(home, bearer, f"Content-Length: {40 << 20}")
    answer = large.getresponse()
    assert (answer.status, b"41943040 bytes or more are larger than the claim" in answer.read()) == (400, True)
    slow = [trickling(home, bearer, length) for length in ("Content-Length: 30000000", "Transfer-Encoding: chunked")]
    wait(lambda: staged(home), "one of them is on its way", 60)
    home.kubectl("get", "pods")
    assert send(home, "POST", ASYNC, image, bearer)[0] == 503
    assert send(home, "POST", ASYNC, image, token(home, "other")) == (200, "")
    assert phase(home, "one") == "UploadReady"  # another claim's token fills that one
    for connection in (*slow, large):
        connection.close()
    wait(lambda: not staged(home), "nothing is left of them", 60)
    home.kubectl("wait", "--for=condition=Ready", "pod/user", "--timeout=60s")
    home.kubectl("annotate", "pvc", "used", "cdi.kubevirt.io/storage.upload.target=")
    words = "pod default/user using PersistentVolumeClaim used"
    wait(lambda: words in home.kubectl("describe", "pvc", "used").stdout, "the claim says that it is used", 60)
    assert send(home, "POST", ASYNC, image, token(home, "used")) == (503, f"{words}\n")
    assert [one.name for one in volume(home, "used").iterdir()] == ["file"]
    answers: list[tuple[int, str]] = []
    both = [threading.Thread(target=lambda: answers.append(send(home, "POST", ASYNC, image, bearer))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(code for code, _ in answers) == [200, 503]
    wait(lambda: not staged(home), "nothing is left", 60)
    assert home.engine == engine
    home.kubectl("delete", "pod,dv,pvc", "--all", "--timeout=60s")
    gone(home, "dv", "pvc", "pv")


def trickling(home: Product, bearer: str, length: str) -> http.client.HTTPSConnection:
    """An upload that has begun and does not go on."""
    connection = connect(home)
    connection.putrequest("POST", ASYNC)
    connection.putheader("Authorization", f"Bearer {bearer}")
    connection.putheader(*length.split(": "))
    connection.endheaders(b"1\r\nx\r\n" if "chunked" in length else b"x")
    return connection


def test_a_form_holds_the_image(home: Product, images: Path) -> None:
    apply(home, datavolume("form", upload={}))
    wait(lambda: phase(home, "form") == "UploadReady", "an upload is awaited", 30)
    bearer, image = token(home, "form"), (images / "quick.img").read_bytes()
    code, said = send(home, "POST", "/v1beta1/upload-form", image, bearer)
    assert (code, "multipart/form-data" in said) == (400, True), said
    body, type = form(("other", image))
    assert send(home, "POST", "/v1beta1/upload-form", body, bearer, type) == (400, 'the form has no entry "file"\n')
    assert send(home, "POST", "/v1beta1/upload-archive", image, bearer)[0] == 400
    assert staged(home) == []
    body, type = form(("other", b"x"), ("file", image))
    assert send(home, "POST", "/v1beta1/upload-form-async", body, bearer, type) == (200, "")
    wait(lambda: phase(home, "form") == "Succeeded", "the DataVolume succeeds", 30)
    assert volume(home, "form").joinpath("disk.qcow2").is_file()


def volume(home: Product, name: str) -> Path:
    """The folder of a claim's volume."""
    return Paths(home.home).volume(home.value(".spec.volumeName", "pvc", name))


def test_the_files_of_an_archive(home: Product) -> None:
    wanted = datavolume("files", upload={})
    wanted["spec"]["contentType"] = "archive"
    apply(home, wanted)
    wait(lambda: phase(home, "files") == "UploadReady", "an upload is awaited", 30)
    bearer = token(home, "files")
    good = archive(("a.txt", b"one\n"), ("b/c.txt", b"two\n"))
    for bad, why in ((archive(("../up", b"x")), "leads out"), (archive(("a", b"x"), link="b"), "a link"), (good[:40], "damaged")):
        code, said = send(home, "POST", ASYNC, bad, bearer)
        assert (code, why in said, str(home.home) in said) == (400, True, False), said
    assert list(volume(home, "files").iterdir()) == []
    assert send(home, "POST", ASYNC, good, bearer) == (200, "")
    wait(lambda: phase(home, "files") == "Succeeded", "the DataVolume succeeds", 30)
    assert (volume(home, "files") / "b" / "c.txt").read_text() == "two\n"
    own = {"name": "c", "image": IMAGE, "command": ["cat", "/v/a.txt"], "volumeMounts": [mount("v", "/v")]}
    apply(home, pod("reader", own, restartPolicy="Never", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "files"}}]))
    wait(lambda: home.value(".status.phase", "pod", "reader") == "Succeeded", "the container reads it", 40)
    assert home.kubectl("logs", "reader").stdout == "one\n"
    home.kubectl("delete", "pod,dv,pvc", "--all", "--timeout=60s")
    gone(home, "dv", "pvc", "pv")


def test_an_upload_goes_on_after_the_engine_was_killed(home: Product, images: Path) -> None:
    """All of the image has arrived; it is being converted when the engine dies. Whoever sent it need not come again."""
    large = images / "large.img"
    with (images / "quick.img").open("rb") as head, large.open("wb") as out:
        out.write(head.read(1 << 20) + os.urandom(150 << 20))
    apply(home, datavolume("kept", "256Mi", upload={}))
    wait(lambda: phase(home, "kept") == "UploadReady", "an upload is awaited", 30)
    bearer = token(home, "kept")
    sender = threading.Thread(target=lost, args=(home, large.read_bytes(), bearer))
    sender.start()
    try:
        wait(lambda: [one for one in staged(home) if (one / "whole").exists()], "the whole image is here", 60, 0.02)
        home.kill_engine()
        assert staged(home), "the engine was killed too late"
    finally:
        sender.join()
        home.vmpod("engine", "start")
    assert phase(home, "kept") in ("UploadReady", "Succeeded")
    wait(lambda: phase(home, "kept") == "Succeeded", "the DataVolume succeeds", 60)
    large.unlink()
    assert staged(home) == []
    home.kubectl("delete", "dv,pvc", "--all", "--timeout=60s")
    gone(home, "dv", "pvc", "pv")


def lost(home: Product, image: bytes, bearer: str) -> None:
    """Send an image to an engine that dies on the way."""
    try:
        send(home, "POST", ASYNC, image, bearer)
    except (OSError, http.client.HTTPException):
        return
