"""The requests that virtctl sends, command by command and in its words, played against a real engine with real objects."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from vmpod.base.paths import Paths
from vmpod.cli import bridge
from vmpod.client.simple import SimpleClient
from vmpod.model.status import ApiError
from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait
from . import machines
from .machines import Object, container_disk, datavolume, gone, heard, is_shown, machine, stream
from .pods import apply
from .test_upload import send

pytestmark = [pytest.mark.host, pytest.mark.timeout(400)]
LAB = "localhost/vmpod-examples/lab:1"
SUB, NS = "/apis/subresources.kubevirt.io", "/namespaces/default"
VM, VMI = f"{SUB}/v1{NS}/virtualmachines/vm1", f"{SUB}/v1{NS}/virtualmachineinstances/vm1"
OBJECT = f"/apis/kubevirt.io/v1{NS}/virtualmachines/vm1"
KUBEVIRTS, SECRETS = "/apis/kubevirt.io/v1/kubevirts", f"/api/v1{NS}/secrets"
NO_AGENT = "VMI does not have guest agent connected"
JSON, PATCH = "application/json", "application/json-patch+json"


class Sent(NamedTuple):
    """One request and what has to come back; without `type` it has no Content-Type, as virtctl's PUTs."""

    command: str
    method: str
    path: str
    body: str = ""
    code: int = 200
    words: str = ""
    type: str = ""


def _service() -> str:
    return json.dumps({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "svc1", "namespace": "default"},
                       "spec": {"ports": [{"protocol": "TCP", "port": 22, "targetPort": 0}], "type": "NodePort",
                                "selector": {"vmi.kubevirt.io/id": "vm1"}}, "status": {"loadBalancer": {}}})  # fmt: skip


def _hotplug() -> str:
    disk = {"name": "", "disk": {"bus": "scsi"}, "serial": "disk1"}
    return json.dumps({"name": "disk1", "disk": disk, "volumeSource": {"dataVolume": {"name": "disk1", "hotpluggable": True}}})


def _key() -> str:
    return json.dumps([
        {"op": "test", "path": "/spec/template/spec/accessCredentials", "value": None},
        {"op": "add", "path": "/spec/template/spec/accessCredentials", "value": [{"sshPublicKey": {
            "source": {"secret": {"secretName": "pw"}}, "propagationMethod": {"qemuGuestAgent": {"users": ["u"]}}}}]},
    ])


STOPPED = (
    Sent("version", "GET", SUB, words='"preferredVersion"'),
    Sent("version", "GET", f"{SUB}/v1/version", words='"gitVersion"'),
    Sent("vnc screenshot", "GET", f"{VMI}/vnc/screenshot", code=404, words="vm1"),
    Sent("pause", "PUT", f"{VMI}/pause", "{}", 404, "vm1"),
    Sent("stop", "PUT", f"{VM}/stop", "{}", 409, "VM is not running"),
    Sent("start --paused --dry-run", "PUT", f"{VM}/start", '{"paused":true,"dryRun":["All"]}', 202),
    Sent("start", "PUT", f"{VM}/start", "{}", 202),
)
RUNNING = (
    Sent("start", "PUT", f"{VM}/start", "{}", 409, "already running"),
    Sent("pause vm", "GET", OBJECT, words='"vm1"'),
    Sent("pause vm", "PUT", f"{VMI}/pause", "{}"),
    Sent("pause vm", "PUT", f"{VMI}/pause", "{}", 409, "VMI is already paused"),
    Sent("unpause vm", "PUT", f"{VMI}/unpause", "{}"),
    Sent("unpause vm", "PUT", f"{VMI}/unpause", "{}", 409, "VMI is not paused"),
    Sent("reset", "PUT", f"{VMI}/reset"),
    Sent("soft-reboot", "PUT", f"{VMI}/softreboot"),
    Sent("expand", "GET", f"{VM}/expand-spec", words='"runStrategy":"Manual"'),
    Sent("expand --file", "PUT", f"{SUB}/v1{NS}/expand-vm-spec", json.dumps(machine("file")), words='"file"'),
    Sent("evacuate-cancel", "GET", f"/apis/kubevirt.io/v1{NS}/virtualmachineinstances/vm1", words='"nodeName"'),
    Sent("evacuate-cancel", "PUT", f"{VM}/evacuate/cancel", '{"evacuationNodeName":"local"}'),
    Sent("vnc screenshot", "GET", f"{VMI}/vnc/screenshot?moveCursor=false", words="PNG"),
    Sent("guestosinfo", "GET", f"{VMI}/guestosinfo", code=409, words=NO_AGENT),
    Sent("fslist", "GET", f"{VMI}/filesystemlist", code=409, words=NO_AGENT),
    Sent("userlist", "GET", f"{VMI}/userlist", code=409, words=NO_AGENT),
    Sent("usbredir", "GET", f"{VMI}/usbredir", code=409, words="Not configured with USB Redirection"),
    Sent("objectgraph", "GET", f"{VM}/objectgraph", '{"includeOptionalNodes":true}', words="virt-launcher-vm1-"),
    Sent("addvolume", "GET", f"/apis/cdi.kubevirt.io/v1beta1{NS}/datavolumes/disk1"),
    Sent("addvolume", "PUT", f"{VM}/addvolume", _hotplug(), 202),
    Sent("removevolume", "PUT", f"{VM}/removevolume", '{"name":"disk1"}', 202),
    Sent("memory-dump get", "PUT", f"{VM}/memorydump", '{"claimName":"pvc9","phase":""}', 404, '"pvc9" not found'),
    Sent("memory-dump remove", "PUT", f"{VM}/removememorydump", "", 409, "no association found"),
    Sent("expose", "POST", f"/api/v1{NS}/services", _service(), 201, '"nodePort"', JSON),
    Sent("permitted-devices", "GET", f"/apis/kubevirt.io/v1{NS}/kubevirts", words='"items"'),
    Sent("credentials set-password", "GET", f"{SECRETS}/pw"),
    Sent("credentials set-password", "PATCH", f"{SECRETS}/pw", '[{"op":"add","path":"/data/u","value":"cA=="}]', 200, "cA==", PATCH),
    Sent("credentials add-ssh-key", "PATCH", OBJECT, _key(), 200, '"accessCredentials"', PATCH),
    Sent("adm log-verbosity", "GET", KUBEVIRTS, words='"kubevirt"'),
    Sent("adm log-verbosity", "GET", "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt", words="Deployed"),
    Sent("guestfs", "GET", f"{SUB}/v1/guestfs", words='"gsImage"'),
    Sent("guestfs", "GET", f"/api/v1{NS}/persistentvolumeclaims/disk1", words="Bound"),
    Sent("restart", "PUT", f"{VM}/restart", "{}", 202),
)
ENDING = (Sent("stop --force", "PUT", f"{VM}/stop", '{"gracePeriod":0}', 202),)
# What this release does not serve; virtctl shows the message.
REFUSED = (
    Sent("template process", "POST", f"/apis/subresources.template.kubevirt.io/v1beta1{NS}/virtualmachinetemplates/tpl1/process",
         "{}", 404, "the server could not find the requested resource", JSON),
    Sent("vsock of a machine without one", "GET", f"{VMI}/vsock?port=1", code=400, words="VSOCK is not attached."),
    Sent("sev", "GET", f"{VMI}/sev/fetchcertchain", code=400, words="feature gate is not enabled"),
)  # fmt: skip


def played(home: Product, *rows: Sent) -> list[str]:
    """What came back otherwise than it should, of all rows."""
    wrong = []
    with SimpleClient.load(Paths(home.home).kubeconfig) as client:
        for row in rows:
            path, _, query = row.path.partition("?")
            headers = {"accept": "application/json, */*"} | ({"content-type": row.type} if row.type else {})
            asked = dict(pair.split("=") for pair in query.split("&") if pair)
            try:
                answer = client.raw(row.method, path, query=asked, headers=headers, body=row.body.encode())
                code, said = answer.status, answer.body.decode(errors="replace")
            except ApiError as error:
                code, said = error.code, error.message
            if code != row.code or row.words not in said:
                wrong.append(f"{row.command}: {code} {said[:300]}")
    return wrong


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    machines.build_disks(tmp_path_factory.mktemp("images"))
    yield
    machines.remove_images(machines.QUICK, machines.DEAF)


def test_what_virtctl_sends(home: Product) -> None:
    home.kubectl("create", "secret", "generic", "pw", "--from-literal=a=b")
    apply(home, machine("vm1", strategy="Manual"), datavolume("disk1", blank={}))
    wait(lambda: home.value(".status.phase", "dv", "disk1") == "Succeeded", "the disk is there", 40)
    assert played(home, *STOPPED) == []
    is_shown(home, "vm1", "Running")
    for verb, words in (("console", b"#"), ("vnc", b"RFB 003.008\n")):
        with stream(home, "vm1", verb) as opened:
            opened.send(b"#" if verb == "console" else b"")
            heard(opened, words)
    before = machines.instance(home, "vm1")
    wrong = played(home, *RUNNING)
    assert not wrong, "\n".join(wrong)
    machines.runs_anew(home, "vm1", before)
    assert moved_and_called_off(home) == []
    assert played(home, *REFUSED, *ENDING) == []
    is_shown(home, "vm1", "Stopped")
    home.kubectl("delete", "secret/pw", "service/svc1")
    home.kubectl("delete", "vm,dv,pvc", "--all", "--timeout=60s")
    gone(home, "vm", "vmi", "dv", "pvc", "pv")


def moved_and_called_off(home: Product) -> list[str]:
    """`virtctl migrate`, then `migrate-cancel`: it looks for the machine's migrations and deletes the first."""
    wrong = played(home, Sent("migrate", "PUT", f"{VM}/migrate", "{}", 202))
    path = f"/apis/kubevirt.io/v1{NS}/virtualmachineinstancemigrations"
    with SimpleClient.load(Paths(home.home).kubeconfig) as client:
        found = json.loads(client.raw("GET", path, query={"labelSelector": "kubevirt.io/vmi-name==vm1"}).body)["items"]
    (one,) = (each["metadata"]["name"] for each in found)
    options = '{"kind":"DeleteOptions","apiVersion":"kubevirt.io/v1"}\n'
    wrong += played(home, Sent("migrate-cancel", "DELETE", f"{path}/{one}", options, type=JSON))
    gone(home, "vmim")
    is_shown(home, "vm1", "Running")
    return wrong


# What virtctl prints, without asking the server, for `kubectl create -f -`.
PRINTED = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {creationTimestamp: null, name: made}
spec:
  runStrategy: Halted
  template:
    metadata: {creationTimestamp: null}
    spec:
      domain: {devices: {}, memory: {guest: 512Mi}, resources: {}}
      terminationGracePeriodSeconds: 180
      volumes:
      - {containerDisk: {image: quay.io/a/b:1}, name: src}
status: {}
---
apiVersion: instancetype.kubevirt.io/v1beta1
kind: VirtualMachineClusterInstancetype
metadata: {creationTimestamp: null, name: instancetype-x7k2p}
spec: {cpu: {guest: 1}, memory: {guest: 64Mi}}
---
apiVersion: instancetype.kubevirt.io/v1beta1
kind: VirtualMachineClusterPreference
metadata: {creationTimestamp: null, name: preference-9fqz2}
spec: {}
"""


def test_what_virtctl_prints_is_taken(home: Product) -> None:
    home.kubectl("create", "-f", "-", stdin=PRINTED)
    assert home.value(".status.printableStatus", "vm", "made") in ("", "Stopped")
    assert home.value(".spec.cpu.guest", "virtualmachineclusterinstancetype", "instancetype-x7k2p") == "1"
    home.kubectl("delete", "-f", "-", stdin=PRINTED)


def test_ports_of_a_guest(home: Product, tmp_path: Path) -> None:
    """`virtctl port-forward --stdio`, of the VM and of the instance, TCP and UDP; and `virtctl ssh`, which goes through it."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    user = f"#cloud-config\nssh_authorized_keys:\n- {key.with_suffix('.pub').read_text()}"
    apply(home, machine("vm1", container_disk(LAB), {"name": "seed", "cloudInitNoCloud": {"userData": user}}, memory="256Mi"))
    is_shown(home, "vm1", "Running", 90)
    wait(lambda: said(home, f"{VM}/portforward/22/tcp", b"").startswith(b"SSH-2.0-"), "the guest's sshd greets", 240, 1)
    assert said(home, f"{VMI}/portforward/22/tcp", b"").startswith(b"SSH-2.0-")
    assert logged_in(home, key, "echo $((6 * 7))") == "42\n"
    echo = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 5300))\nwhile 1: d, a = s.recvfrom(99); s.sendto(d[::-1], a)"
    logged_in(home, key, f'python3 -c "{echo}" >/dev/null 2>&1 </dev/null &')
    wait(lambda: said(home, f"{VMI}/portforward/5300/udp", b"gnip") == b"ping", "the guest answers a datagram", 30, 1)
    home.kubectl("delete", "vm", "vm1", "--timeout=60s")
    gone(home, "vm", "vmi")


def said(home: Product, path: str, words: bytes) -> bytes:
    """What a stream says within some seconds after it heard `words`; nothing while it does not open."""
    with SimpleClient.load(Paths(home.home).kubeconfig) as client:
        try:
            opened = bridge.connect(client, path)
        except ApiError:  # no guest has the address yet
            return b""
        try:
            opened.send(words)
            return opened.step() or b"" if opened.pending or select.select([opened], [], [], 3)[0] else b""
        finally:
            opened.close()


def logged_in(home: Product, key: Path, command: str) -> str:
    """`virtctl ssh -i KEY tester@vm/vm1 -c COMMAND`: ssh, whose connection is `port-forward --stdio`."""
    through = "from vmpod.cli import bridge; from vmpod.client.simple import SimpleClient; import sys; " \
              "bridge.copy(bridge.connect(SimpleClient.load(sys.argv[1]), sys.argv[2]), 0, 1)"  # fmt: skip
    proxy = f"{sys.executable} -c '{through}' {Paths(home.home).kubeconfig} {VM}/portforward/22/tcp"
    argv = ["ssh", "-o", f"ProxyCommand={proxy}", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "ConnectTimeout=30", "-o", "BatchMode=yes", "-i", str(key), "tester@vm.vm1.default", command]  # fmt: skip
    done = subprocess.run(argv, env=home.env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["dv", "pvc"])
@pytest.mark.parametrize(("insecure", "bind"), [(False, False), (True, True)], ids=["plain", "insecure-force-bind"])
def test_image_upload(home: Product, kind: str, insecure: bool, bind: bool) -> None:
    """`virtctl image-upload dv|pvc up1 --size=16Mi --image-path=quick.img [--insecure --force-bind]`, step by step."""
    claims, volumes = f"/api/v1{NS}/persistentvolumeclaims", f"/apis/cdi.kubevirt.io/v1beta1{NS}/datavolumes"
    wanted: Object = {"resources": {"requests": {"storage": "16Mi"}}}
    volume = {"kind": "DataVolume", "apiVersion": "cdi.kubevirt.io/v1beta1", "metadata": {"name": "up1", "namespace": "default"},
              "spec": {"source": {"upload": {}}, "storage": wanted, "contentType": "kubevirt"}, "status": {}}  # fmt: skip
    notes = {"cdi.kubevirt.io/storage.upload.target": "", "cdi.kubevirt.io/storage.contentType": "kubevirt"}
    if bind:
        notes["cdi.kubevirt.io/storage.bind.immediate.requested"] = ""
        volume["metadata"] = {"name": "up1", "namespace": "default",
                              "annotations": {"cdi.kubevirt.io/storage.bind.immediate.requested": ""}}  # fmt: skip
    meta = {"name": "up1", "namespace": "default", "annotations": notes, "labels": {"cdi.kubevirt.io/applyStorageProfile": "true"}}
    made = (Sent("create", "POST", volumes, json.dumps(volume), 201, "", JSON) if kind == "dv" else
            Sent("create", "POST", claims, json.dumps({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": meta, "spec": wanted}),
                 201, '"ReadWriteOnce"', JSON))  # fmt: skip
    assert played(home, Sent("look", "GET", f"{claims}/up1", code=404), made) == []
    ready = "{.metadata.annotations.cdi\\.kubevirt\\.io/storage\\.pod\\.ready}"
    wait(lambda: home.kubectl("get", "pvc", "up1", "-o", f"jsonpath={ready}", check=False).stdout == "true", "it is ready", 30)
    asked = {"kind": "UploadTokenRequest", "apiVersion": "upload.cdi.kubevirt.io/v1beta1",
             "metadata": {"generateName": "token-for-virtctl-"}, "spec": {"pvcName": "up1"}, "status": {}}  # fmt: skip
    with SimpleClient.load(Paths(home.home).kubeconfig) as client:
        answer = client.raw("POST", f"/apis/upload.cdi.kubevirt.io/v1beta1{NS}/uploadtokenrequests",
                            headers={"content-type": JSON}, body=json.dumps(asked).encode())  # fmt: skip
        token = json.loads(answer.body)["status"]["token"]
    image = write_disk(home.home / "quick.img")
    assert send(home, "HEAD", "/v1beta1/upload-async", b"", token, insecure=insecure)[0] == 200
    sent = send(home, "POST", "/v1beta1/upload-async", image.read_bytes(), token, "application/octet-stream", insecure=insecure)
    assert sent == (200, "")
    image.unlink()
    phase = home.read("pvc", "up1")["metadata"]["annotations"]["cdi.kubevirt.io/storage.pod.phase"]
    assert phase == "Succeeded"
    home.kubectl("delete", "dv,pvc", "--all", "--timeout=60s")
    gone(home, "dv", "pvc", "pv")
