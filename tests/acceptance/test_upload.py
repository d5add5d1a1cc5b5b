"""Images that come in by upload: demo 3 of the talk word for word, the proxy's refusals, and what an upload that ends early leaves."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait
from .machines import claim, condition, datavolume, gone, is_shown
from .pods import apply

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


def connect(home: Product) -> http.client.HTTPSConnection:
    """To the address that CDIConfig tells, by somebody without a certificate."""
    url = home.value(".status.uploadProxyURL", "cdiconfig", "config")
    trusted = ssl.create_default_context(cafile=str(Paths(home.home).pki / "ca.crt"))
    return http.client.HTTPSConnection(url.removeprefix("https://"), context=trusted, timeout=60)


def send(home: Product, method: str, path: str, body: bytes = b"", bearer: str = "") -> tuple[int, str]:
    connection = connect(home)
    connection.request(method, path, body, {"Authorization": f"Bearer {bearer}"} if bearer else {})
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    return answer.status, said


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
    assert (code, "already finished uploading" in said) == (401, True)
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
