"""Disks that leave: by the links of an export, as curl, virtctl and a pod fetch them, and boot again somewhere else."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from vmpod.base.paths import Paths
from vmpod.testing.guest import GREETING, write_keeper

from ..e2e.product import Product, wait
from . import machines, pods
from .machines import Object, claim, condition, gone, is_shown
from .pods import apply, container, pod, run_in
from .test_snapshots import KEEPER, keep, keeper, snapshot
from .test_virtctl_replay import JSON, NS, Sent, played

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
EXPORTS = f"/apis/export.kubevirt.io/v1{NS}/virtualmachineexports"
HEADER = "x-kubevirt-export-token"


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("images")
    machines.build(folder, KEEPER, {"/disk/": write_keeper(folder / "keeper.img")})
    yield
    machines.remove_images(KEEPER)


def export(name: str, kind: str, source: str, **spec: Any) -> Object:
    group = {"VirtualMachine": "kubevirt.io", "VirtualMachineSnapshot": "snapshot.kubevirt.io"}.get(kind)
    wanted = {"kind": kind, "name": source} | ({"apiGroup": group} if group else {})
    return {"apiVersion": "export.kubevirt.io/v1", "kind": "VirtualMachineExport", "metadata": {"name": name},
            "spec": {"source": wanted, **spec}}  # fmt: skip


def is_ready(home: Product, name: str) -> Object:
    """The links of an export, once it is ready."""
    home.kubectl("wait", "vmexport", name, "--for=condition=Ready", "--timeout=40s")
    return dict(home.read("vmexport", name)["status"]["links"])


def token(home: Product, name: str) -> str:
    secret = home.value(".status.tokenSecretRef", "vmexport", name)
    return base64.b64decode(home.value(".data.token", "secret", secret)).decode()


def url(links: Object, format: str, door: str = "external") -> str:
    return str(next(one["url"] for one in links[door]["volumes"][0]["formats"] if one["format"] == format))


def fetch(links: Object, where: str, shown: str, **headers: str) -> tuple[int, bytes]:
    """As a client does that trusts the certificate in the links, and no other."""
    parts = urlsplit(where)
    trusted = ssl.create_default_context(cadata=links["external"]["cert"])
    connection = http.client.HTTPSConnection(parts.netloc, context=trusted, timeout=60)
    try:
        connection.request("GET", parts.path, headers=({HEADER: shown} if shown else {}) | headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def forwarded(home: Product, service: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [home.kubectl_program, "port-forward", f"service/{service}", f"{port}:443"]
    process = subprocess.Popen(argv, env=home.env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "Forwarding from" in process.stdout.readline()
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=10)


def boots(disk: Path) -> bytes:
    """What a guest says first, in a QEMU that has nothing to do with us."""
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-m", "32", "-display", "none", "-monitor", "none", "-serial", "stdio",
            "-drive", f"file={disk},format=raw,if=virtio"]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            said = b""
            while len(said) < len(GREETING) + 1:
                said += process.stdout.read(1)
            return said
        finally:
            process.kill()


def test_a_disk_leaves_and_boots_elsewhere(home: Product, tmp_path: Path) -> None:
    apply(home, keeper("db"))
    is_shown(home, "db", "Running", 60)
    keep(home, "db", b"b")
    apply(home, snapshot("one", "db"), export("e", "VirtualMachine", "db"))
    wait(lambda: condition(home, "vmexport", "e", "Ready").get("reason") == "InUse", "it waits for the machine", 30)
    home.kubectl("wait", "vmsnapshot", "one", "--for=condition=Ready", "--timeout=50s")
    keep(home, "db", b"c")
    home.kubectl("patch", "vm", "db", "--type=merge", "-p", '{"spec":{"runStrategy":"Halted"}}')
    is_shown(home, "db", "Stopped")

    links, shown = is_ready(home, "e"), token(home, "e")
    packed, raw = url(links, "gzip"), url(links, "raw")
    assert [fetch(links, packed, one)[0] for one in ("", "wrong", f"{shown}x")] == [401, 401, 401]
    code, body = fetch(links, packed, shown)
    assert code == 200 and fetch(links, raw, shown) == (200, gzip.decompress(body))
    assert fetch(links, raw, shown, range="bytes=512-512") == (206, b"c")
    disk = tmp_path / "disk.img"
    disk.write_bytes(gzip.decompress(body))
    told = json.loads(subprocess.run(["qemu-img", "info", "--output=json", str(disk)], check=True, capture_output=True).stdout)
    assert (told["format"], told["virtual-size"]) == ("raw", 16 << 20)
    assert boots(disk) == GREETING + b"c"

    apply(home, pod("client", container()))
    pods.ready(home, "client")
    inside = url(links, "gzip", "internal")
    home.kubectl("exec", "-i", "client", "-c", "c", "--", "sh", "-c", "cat > /tmp/ca.pem", stdin=links["internal"]["cert"])
    script = (f"import urllib.request as u, ssl; r = u.Request('{inside}', headers={{'{HEADER}': '{shown}'}}); "
              "print(len(u.urlopen(r, context=ssl.create_default_context(cafile='/tmp/ca.pem')).read()))")  # fmt: skip
    assert run_in(home, "client", f'python3 -c "{script}"').strip() == str(len(body))
    with forwarded(home, "virt-export-e") as port:
        argv = ["curl", "-sk", "--noproxy", "*", "-H", f"{HEADER}: {shown}", f"https://127.0.0.1:{port}{urlsplit(inside).path}"]
        assert subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout == body
        argv = ["curl", "-sk", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", f"https://127.0.0.1:{port}/version"]
        assert subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout == b"404"

    apply(home, export("s", "VirtualMachineSnapshot", "one"))
    of_snapshot = is_ready(home, "s")
    assert fetch(of_snapshot, url(of_snapshot, "raw"), token(home, "s"), range="bytes=512-512") == (206, b"b")
    home.kubectl("create", "namespace", "elsewhere")
    for one in of_snapshot["external"]["manifests"]:
        code, manifest = fetch(of_snapshot, one["url"], token(home, "s"), accept="application/yaml")
        assert code == 200
        home.kubectl("apply", "-n", "elsewhere", "-f", "-", stdin=manifest.decode())
    home.kubectl("wait", "-n", "elsewhere", "dv/db-disk", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    logs = ("logs", "-n", "elsewhere", "-l", "vm.kubevirt.io/name=db")
    wait(lambda: GREETING.decode().strip() in home.kubectl(*logs, check=False).stdout, "it boots there", 60, 0.5)
    assert home.kubectl(*logs).stdout.strip().strip("\0").endswith("b")
    home.kubectl("delete", "namespace", "elsewhere", "--timeout=60s")

    home.kubectl("delete", "vm,vmsnapshot,vmexport,dv,pvc,pods", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "vmsnapshot", "vmexport", "dv", "pvc", "pv", "secrets", "pods")
    wait(lambda: not list(Paths(home.home).layers.iterdir()), "no layer is left", 20)


def test_a_download_ends_when_the_disk_is_wanted_back(home: Product) -> None:
    apply(home, claim("big", "20Gi"), export("e", "PersistentVolumeClaim", "big"))
    wait(lambda: home.value(".status.links.external.volumes[0].formats[0].format", "vmexport", "e") == "tar.gz", "files", 30)
    user = machines.machine("user", machines.claim_disk("big"), strategy="Halted")
    apply(home, user)
    wait(lambda: "raw" in json.dumps(home.read("vmexport", "e")["status"]["links"]), "it is a disk now", 30)
    links, shown = is_ready(home, "e"), token(home, "e")
    parts = urlsplit(url(links, "raw"))
    trusted = ssl.create_default_context(cadata=links["external"]["cert"])

    @contextmanager
    def begun() -> Iterator[http.client.HTTPResponse]:
        with closing(http.client.HTTPSConnection(parts.netloc, context=trusted, timeout=60)) as connection:
            connection.request("GET", parts.path, headers={HEADER: shown})
            with connection.getresponse() as answer:
                assert answer.read(100) == bytes(100)
                yield answer

    def ends_early(answer: http.client.HTTPResponse) -> None:
        with pytest.raises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)):
            while answer.read(1 << 22):
                pass
            raise http.client.IncompleteRead(b"") if answer.length else AssertionError("it was whole")

    with begun() as first:
        home.kubectl("patch", "vm", "user", "--type=merge", "-p", '{"spec":{"runStrategy":"Always"}}')
        ends_early(first)
    assert condition(home, "vmexport", "e", "Ready")["reason"] == "InUse"
    home.kubectl("patch", "vm", "user", "--type=merge", "-p", '{"spec":{"runStrategy":"Halted"}}')
    is_shown(home, "user", "Stopped")
    is_ready(home, "e")
    with begun() as second:
        assert readers()
        home.kill_engine()
        ends_early(second)
    wait(lambda: not readers(), "nobody reads on", 20)
    home.vmpod("engine", "start")
    wait(lambda: fetch(links, url(links, "raw"), shown, range="bytes=0-0") == (206, b"\0"), "the next engine answers", 30)
    home.kubectl("delete", "vmexport,vm,pvc", "--all", "--timeout=60s")
    gone(home, "vmexport", "vm", "pvc", "pv", "pods")


@pytest.mark.parametrize(("kind", "said"), [("pvc", "PersistentVolumeClaim"), ("vm", "VirtualMachine"),
                                            ("snapshot", "VirtualMachineSnapshot")])  # fmt: skip
def test_what_is_not_there_is_told_at_once(home: Product, tmp_path: Path, kind: str, said: str) -> None:
    done = home.vmpod("export", kind, "nosuch", "-o", str(tmp_path / "x"), check=False)
    assert done.returncode != 0 and f"there is no {said} nosuch in the namespace default" in done.stderr
    assert f"kubectl get {said.lower()}s -n default" in done.stderr
    assert not home.kubectl("get", "vmexport", "-o", "name").stdout and not list(tmp_path.iterdir())


def readers() -> list[str]:
    argv = ["pgrep", "-f", "vmpod.drivers.disks.stream"]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout.split()


def test_what_virtctl_sends_and_the_end_of_its_export(home: Product) -> None:
    apply(home, keeper("vm1"))
    is_shown(home, "vm1", "Running", 60)
    home.kubectl("patch", "vm", "vm1", "--type=merge", "-p", '{"spec":{"runStrategy":"Halted"}}')
    is_shown(home, "vm1", "Stopped")
    asked = export("e1", "VirtualMachine", "vm1", tokenSecretRef="secret-e1", ttlDuration="20s")
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "secret-e1", "namespace": "default"},
              "data": {"token": base64.b64encode(b"TT").decode()}, "type": "Opaque"}  # fmt: skip
    assert played(
        home, Sent("vmexport", "GET", f"{EXPORTS}/e1", code=404, words="not found"),
        Sent("vmexport", "POST", EXPORTS, json.dumps(asked), 201, '"e1"', JSON),
        Sent("vmexport", "POST", f"/api/v1{NS}/secrets", json.dumps(secret), 201, "secret-e1", JSON),
    ) == []  # fmt: skip
    begun = time.monotonic()
    links = is_ready(home, "e1")
    assert played(home, Sent("vmexport", "GET", f"/api/v1{NS}/secrets/secret-e1", words="VFQ=")) == []
    code, body = fetch(links, url(links, "gzip"), "TT")
    assert code == 200 and len(gzip.decompress(body)) == 16 << 20
    manifests = {one["type"]: one["url"] for one in links["external"]["manifests"]}
    assert b"VirtualMachine" in fetch(links, manifests["all"], "TT", accept="application/yaml")[1]
    wait(lambda: not home.kubectl("get", "vmexport", "-o", "name").stdout, "its time is over", 40)
    assert time.monotonic() - begun < 60
    assert fetch(links, url(links, "gzip"), "TT")[0] == 404
    home.kubectl("delete", "vm,dv,pvc,secrets", "--all", "--timeout=60s")
