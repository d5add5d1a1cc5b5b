"""The verbs against a real engine: machines without an operating system are enough for most of them."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from vmpod.testing import guest

from .conftest import Done, Home

pytestmark = pytest.mark.host

VM = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: {name}}}
spec:
  runStrategy: {strategy}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      domain:
        memory: {{guest: 64Mi}}
        devices:
          disks: [{{name: d, disk: {{bus: virtio}}}}]
          interfaces: [{{name: default, masquerade: {{}}}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes: [{{name: d, emptyDisk: {{capacity: 8Mi}}}}]
"""


@pytest.fixture
def work(tmp_path: Path, home: Home) -> Iterator[Path]:
    """A folder for manifests; all is taken down afterwards, `machine` too: what needs that one stands before."""
    yield tmp_path
    home.run("down", "--all", "--volumes")


@pytest.fixture(scope="module")
def machine(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a machine that runs."""
    file = tmp_path_factory.mktemp("vm") / "vm.yaml"
    file.write_text(VM.format(name="box", strategy="Always"))
    home.run("up", str(file))
    yield "box"
    home.run("down", str(file), "--volumes")


def rows(home: Home) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(home.run("status", "-o", "json").stdout)}


def uid(home: Home, vm: str) -> str:
    done: Done = subprocess.run([home.kubectl, "get", "vmi", vm, "-o", "jsonpath={.metadata.uid}"], env=home.env,
                                capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    return done.stdout


# machines


def test_status_shows_the_machine(home: Home, machine: str) -> None:
    row = rows(home)[machine]
    assert (row["kind"], row["state"], row["ready"]) == ("VirtualMachine", "Running", "1/1")
    assert row["ip"]
    assert f"VirtualMachine   {machine}" in home.run("status").stdout
    assert f"name: {machine}" in home.run("status", "-o", "yaml").stdout


def test_restart_stop_and_start_wait_for_their_end(home: Home, machine: str) -> None:
    home.run("restart", f"vm/{machine}")
    assert rows(home)[machine]["ready"] == "1/1"
    done = home.run("start", machine)
    assert "already running" in done.stdout
    home.run("stop", machine)
    assert rows(home)[machine]["state"] == "Stopped"
    assert "box: VM is not running" in home.run("stop", machine).stdout
    done = home.run("console", machine, code=1)
    assert "the machine box does not run (Stopped)" in done.stderr
    assert "vmpod start box" in done.stderr
    done = home.run("restart", machine, code=1)
    assert "cannot restart box" in done.stderr
    home.run("start", machine)
    home.run("restart", "--force", machine)
    assert rows(home)[machine]["ready"] == "1/1"


def test_pause_screenshot_and_reset(home: Home, machine: str, tmp_path: Path) -> None:
    assert "box: paused" in home.run("pause", machine).stdout
    assert "already paused" in home.run("pause", machine, code=1).stderr
    assert "box: goes on" in home.run("unpause", machine).stdout
    assert "box: reset" in home.run("reset", machine).stdout
    home.run("screenshot", machine, "-f", str(tmp_path / "screen.png"))
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
    done = home.run("guest", "info", machine, code=1)
    assert "cannot guestosinfo box: VMI does not have guest agent connected" in done.stderr


def test_a_service_is_made_once(home: Home, machine: str) -> None:
    home.run("expose", machine, "--name", "front", "--port", "80")
    assert "already exists" in home.run("expose", machine, "--name", "front", "--port", "80", code=1).stderr
    kept = subprocess.run([home.kubectl, "get", "service", "front", "-o", "jsonpath={.spec.selector}"], env=home.env,
                          capture_output=True, text=True, check=True, timeout=60)  # fmt: skip
    assert kept.stdout == '{"vmi.kubevirt.io/id":"box"}'
    subprocess.run([home.kubectl, "delete", "service", "front"], env=home.env, check=True, timeout=60, capture_output=True)


def test_a_forwarded_port_listens_and_ends_with_an_interrupt(home: Home, machine: str) -> None:
    with home.start("port-forward", machine, "0:80") as forward:
        assert forward.stdout is not None
        told = forward.stdout.readline()
        assert "leads to port 80 of box" in told
        port = int(told.split()[1].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
        forward.send_signal(signal.SIGINT)
        assert forward.wait(10) in (0, 130)


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "console", "vnc", "ssh", "pause", "unpause", "soft-reboot",
                                  "reset", "screenshot"])  # fmt: skip
def test_a_machine_that_is_not_there(home: Home, verb: str) -> None:
    arguments = ["vnc", "--proxy-only"] if verb == "vnc" else [verb]
    done = home.run(*arguments, "nobody", code=1)
    assert "there is no virtual machine 'nobody' in the namespace 'default'" in done.stderr


def test_the_console_ends_with_standard_input(home: Home, machine: str) -> None:
    done = home.run("console", machine, stdin="\n")
    assert "connected to box" in done.stderr


def test_the_console_ends_with_its_escape_on_a_terminal(home: Home, machine: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(home.argv()[0], home.argv("console", machine), home.env)
    said = b""
    while b"connected to" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, b"\r\x1d")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def test_the_screen_at_a_local_port(home: Home, machine: str) -> None:
    running = home.start("vnc", "--proxy-only", machine)
    try:
        assert running.stdout is not None
        port = json.loads(running.stdout.readline())["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as viewer:
            assert viewer.recv(12) == b"RFB 003.008\n"
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("arguments", [("--browser",), ()])
def test_the_screen_in_the_browser(home: Home, machine: str, arguments: tuple[str, ...]) -> None:
    """The page, and the WebSocket that it opens, for whoever has the token; without a viewer it is shown by itself."""
    running = home.start("vnc", *arguments, machine, PATH="/nowhere", DISPLAY="", WAYLAND_DISPLAY="", BROWSER="")
    try:
        assert running.stdout is not None
        url = urlsplit(running.stdout.readline().split()[-1])
        asyncio.run(_look_at_page(f"http://{url.netloc}", url.fragment, lambda: running.send_signal(signal.SIGINT)))
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.communicate()


async def _look_at_page(server: str, token: str, end: Callable[[], None]) -> None:
    async with aiohttp.ClientSession(server) as browser:
        async with browser.get("/") as page:
            assert (page.status, "screen.js" in await page.text()) == (200, True)
            assert server.replace("http", "ws") in page.headers["content-security-policy"]
        async with browser.get("/screen.js") as script:
            assert (script.content_type, "new WebSocket" in await script.text()) == ("text/javascript", True)
        async with browser.get("/", headers={"Host": "elsewhere.example"}) as page:
            assert page.status == 403
        async with browser.get("/other") as page:
            assert page.status == 404
        for said, origin in (("no", server), (token, "http://elsewhere.example"), ("", server)):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await browser.ws_connect("/screen", protocols=["vmpod.screen", f"token.{said}"], headers={"Origin": origin})
        for time in range(2):  # a page may be loaded anew
            async with browser.ws_connect("/screen", protocols=["vmpod.screen", f"token.{token}"], headers={"Origin": server}) as screen:
                assert screen.protocol == "vmpod.screen"
                assert await screen.receive_bytes() == b"RFB 003.008\n"
                await screen.send_bytes(b"RFB 003.008\n")
                assert await screen.receive_bytes() == b"\x01\x01"
                if time:
                    end()
                    assert (await screen.receive(10)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


def test_completion_knows_the_machines(home: Home, machine: str) -> None:
    done = home.run(_VMPOD_COMPLETE="zsh_complete", COMP_WORDS="vmpod console b", COMP_CWORD="2")
    assert machine in done.stdout.split()


# up and down: what follows takes all down at its end, the machine above with it


def test_a_machine_without_a_screen(home: Home, work: Path) -> None:
    blind = VM.format(name="blind", strategy="Always").replace("devices:\n", "devices:\n          autoattachGraphicsDevice: false\n")
    (work / "vm.yaml").write_text(blind)
    home.run("up", str(work / "vm.yaml"))
    assert "No graphics devices are present." in home.run("vnc", "--browser", "blind", code=1).stderr


def test_a_snapshot_is_taken_and_restored(home: Home, work: Path) -> None:
    file = work / "vm.yaml"
    volume = "persistentVolumeClaim: {claimName: kept}"
    claim = """---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Mi}}}
"""
    file.write_text(VM.format(name="saved", strategy="Always").replace("emptyDisk: {capacity: 8Mi}", volume) + claim)
    home.run("up", str(file))
    assert home.run("snapshot", "save", "saved", "first").stdout == "first\n"
    assert home.run("snapshot", "list").stdout.startswith("first  saved  Succeeded  20")
    assert "cannot restore saved" in home.run("snapshot", "restore", "saved", "first", code=1).stderr
    assert "saved: is as in first" in home.run("snapshot", "restore", "saved", "first", "--stop").stdout
    home.run("start", "saved")
    home.run("snapshot", "delete", "first")
    assert "there is no snapshot 'first'" in home.run("snapshot", "delete", "first", code=1).stderr


def test_a_change_that_waits_for_a_restart_is_told(home: Home, work: Path) -> None:
    file = work / "vm.yaml"
    file.write_text(VM.format(name="changed", strategy="Always"))
    home.run("up", str(file))
    file.write_text(file.read_text().replace("bus: virtio", "bus: sata"))
    done = home.run("up", str(file))
    assert "virtualmachine.kubevirt.io/changed configured" in done.stdout
    assert "changes that wait for a restart: vmpod restart changed" in done.stderr
    home.run("restart", "changed")
    assert "restart" not in home.run("up", str(file)).stderr


def test_bad_manifests_change_nothing(home: Home, work: Path) -> None:
    good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\n"
    file = work / "m.yaml"
    for bad, says in {
        "kind: [": "m.yaml, line",
        "apiVersion: foo/v1\nkind: Fridge\nmetadata: {name: x}\n": "m.yaml:5: no kind 'Fridge'",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nspec: {a: b}\n": 'unknown field "spec"',
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 70000}]}\n": "spec.ports[0].port",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: nowhere}\n": 'namespaces "nowhere" not found',
    }.items():
        file.write_text(good + bad)
        assert says in home.run("up", str(file), code=1).stderr
    assert "good" not in subprocess.run([home.kubectl, "get", "cm"], env=home.env, capture_output=True, text=True, check=True).stdout


def test_a_namespace_and_what_is_in_it_are_checked_together(home: Home, work: Path) -> None:
    file = work / "m.yaml"
    file.write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: fresh}\nspec: {}\n---\n"
                    "apiVersion: v1\nkind: Namespace\nmetadata: {name: fresh}\n")  # fmt: skip
    assert 'secret/x -n fresh' in home.run("up", str(file), code=1).stderr
    file.write_text(file.read_text().replace("spec: {}\n", ""))
    home.run("up", str(file))
    assert "unchanged" in home.run("up", str(file)).stdout
    done = home.run("down", str(file))
    assert "namespace/fresh kept (--volumes removes it)" in done.stdout
    home.run("down", str(file), "--volumes")


def test_what_is_stuck_says_why_within_seconds(home: Home, work: Path) -> None:
    file = work / "m.yaml"
    file.write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: stuck}\nspec:\n  selector: {matchLabels: {a: b}}\n"
        "  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: 'localhost:1/none:1'}]}\n"
    )
    done = home.run("up", str(file), "--timeout", "8", code=1)
    assert "cannot bring everything up: not ready after 8 s" in done.stderr
    assert "ImagePull" in done.stderr and "connection refused" in done.stderr
    assert "kubectl describe deployment.apps/stuck" in done.stderr


def test_interrupting_up_says_that_all_goes_on(home: Home, work: Path) -> None:
    file = work / "vm.yaml"
    file.write_text(VM.format(name="slow", strategy="Always").replace("emptyDisk: {capacity: 8Mi}",
                                                                     "containerDisk: {image: 'localhost:1/none:1'}"))  # fmt: skip
    running = home.start("up", str(file))
    assert running.stderr is not None
    running.stderr.readline()
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "interrupted: what was applied stays" in said


def test_a_deleted_object_is_awaited_and_made_anew(home: Home, work: Path) -> None:
    file = work / "vm.yaml"
    file.write_text(VM.format(name="again", strategy="Always"))
    home.run("up", str(file))
    before = uid(home, "again")
    subprocess.run([home.kubectl, "delete", "vm", "again", "--wait=false"], env=home.env, check=True, capture_output=True)
    home.run("up", str(file))
    assert uid(home, "again") not in ("", before)


def test_nothing_to_take_down(home: Home, work: Path) -> None:
    (work / "m.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: none}\n")
    assert "there is nothing of it" in home.run("down", str(work / "m.yaml")).stdout


# import


def test_an_image_becomes_a_base_and_manifests(home: Home, work: Path) -> None:
    image = work / "Old App.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "32M"], check=True)
    done = home.run("import", str(image), "--memory", "64Mi", "--port", "8080", "--apply", cwd=work)
    assert "old-app.yaml written" in done.stdout
    assert rows(home)["old-app"]["ready"] == "1/1"
    assert "the file exists" in home.run("import", str(image), code=1, cwd=work).stderr
    (work / "old-app.yaml").rename(work / "edited.yaml")
    assert "there is a claim called old-app already" in home.run("import", str(image), code=1, cwd=work).stderr
    assert "configured" not in home.run("up", str(work / "edited.yaml")).stdout


def test_a_damaged_image_leaves_nothing(home: Home, work: Path) -> None:
    image = work / "cut.qcow2"
    (work / "raw").write_bytes(os.urandom(1 << 20))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(work / "raw"), str(image)], check=True)
    os.truncate(image, 500_000)
    done = home.run("import", str(image), code=1, cwd=work)
    assert "truncated or damaged" in done.stderr
    assert not (work / "cut.yaml").exists()
    found = subprocess.run([home.kubectl, "get", "pvc,pv"], env=home.env, capture_output=True, text=True, check=True)
    assert "No resources found" in found.stderr
    assert not list((home.path / "disks" / "staging").iterdir())


def appliance(work: Path, formats: tuple[str, str]) -> Path:
    """An .ova of two disks: one that boots the smallest guest, and an empty one."""
    raw = bytearray(2 << 20)
    raw[:512] = guest.boot_sector()
    (work / "0.raw").write_bytes(raw)
    (work / "1.raw").write_bytes(bytes(1 << 20))
    for number, format in enumerate(formats):
        argv = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={format}", f"{number}.raw", f"{number}.vmdk"]
        subprocess.run(argv, cwd=work, check=True)
    disks = "".join(f'<Disk diskId="d{n}" fileRef="f{n}" capacity="{2 - n}" capacityAllocationUnits="byte * 2^20"/>' for n in (0, 1))
    items = "".join(f"<Item><ResourceType>17</ResourceType><AddressOnParent>{n}</AddressOnParent><HostResource>/disk/d{n}</HostResource></Item>"
                    for n in (0, 1))  # fmt: skip
    files = "".join(f'<File id="f{n}" href="{n}.vmdk"/>' for n in (0, 1))
    memory = "<Item><ResourceType>4</ResourceType><VirtualQuantity>48</VirtualQuantity></Item>"
    (work / "box.ovf").write_text(f'<Envelope><References>{files}</References>{disks}<VirtualSystem id="x">{memory}{items}</VirtualSystem></Envelope>')
    subprocess.run(["tar", "-cf", "two.ova", "box.ovf", "0.vmdk", "1.vmdk"], cwd=work, check=True)
    return work / "two.ova"


def greets(home: Home, app: str) -> None:
    """Until the smallest guest has said that it is up."""
    argv, deadline, said = [home.kubectl, "logs", "-l", f"app={app}", "--tail=-1"], time.monotonic() + 60, ""
    while guest.GREETING.decode().strip() not in said:
        assert time.monotonic() < deadline, f"{app} does not boot: {said}"
        said = subprocess.run(argv, env=home.env, capture_output=True, text=True, check=True).stdout
        time.sleep(0.3)


@pytest.mark.parametrize("format", ["vdi", "vhdx"])
def test_a_disk_of_another_format_boots(home: Home, work: Path, format: str) -> None:
    """VMDK boots in the next test, raw and qcow2 in many others."""
    raw, image = guest.write_disk(work / "one.raw"), work / f"one-{format}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", format, str(raw), str(image)], check=True)
    home.run("import", str(image), "--memory", "48Mi", "--up", cwd=work)
    greets(home, f"one-{format}")
    home.run("down", f"one-{format}.yaml", "--volumes", cwd=work)


def test_an_appliance_comes_with_all_its_disks_and_boots(home: Home, work: Path) -> None:
    image = appliance(work, ("streamOptimized", "monolithicSparse"))
    done = home.run("import", str(image), "--up", cwd=work)
    assert "two.yaml written" in done.stdout
    assert "guest: 48Mi  # its description says so" in (work / "two.yaml").read_text()
    found = subprocess.run([home.kubectl, "get", "pvc", "-o", "name"], env=home.env, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["persistentvolumeclaim/two", "persistentvolumeclaim/two-disk2"]
    greets(home, "two")
    assert not list((home.path / "disks" / "staging").iterdir())


def test_a_trial_start_leaves_a_picture_and_no_machine(home: Home, work: Path) -> None:
    guest.write_disk(work / "small.raw")
    done = home.run("import", "small.raw", "--memory", "48Mi", "--check-boot", "--boot-timeout", "20", code=1, cwd=work)
    assert "boot check: something speaks on the serial console" in done.stdout
    assert (work / "small-boot.png").read_bytes().startswith(b"\x89PNG")
    found = subprocess.run([home.kubectl, "get", "vm,vmi,pod"], env=home.env, capture_output=True, text=True, check=True)
    assert "No resources found" in found.stderr


# kubeconfig, version, doctor


def test_the_kubeconfig_goes_into_mine_and_out_again(home: Home, tmp_path: Path) -> None:
    mine = tmp_path / "config"
    mine.write_text("apiVersion: v1\nkind: Config\ncontexts: [{name: work, context: {cluster: c}}]\ncurrent-context: work\n")
    home.run("kubeconfig", "--merge", str(mine), "--context", "lab")
    assert mine.stat().st_mode & 0o777 == 0o600
    done = subprocess.run([home.kubectl, "--kubeconfig", str(mine), "get", "ns", "default", "-o", "name"],
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert done.stdout == "namespace/default\n"
    home.run("kubeconfig", "--remove", str(mine), "--context", "lab")
    assert "lab" not in mine.read_text() and "work" in mine.read_text()
    assert "it is the home's own" in home.run("kubeconfig", "--merge", code=1).stderr
    assert home.run("kubeconfig", "-o", "path").stdout.strip() == str(home.path / "kubeconfig")
    assert json.loads(home.run("kubeconfig", "-o", "json").stdout)["current-context"] == "vmpod"


def test_the_version_of_all(home: Home) -> None:
    said = json.loads(home.run("version", "-o", "json").stdout)
    assert said["engine"].startswith(said["kubernetes"])
    assert set(said) == {"vmpod", "kubernetes", "kubevirt", "cdi", "engine"}


def test_the_doctor_finds_what_the_engine_needs(home: Home) -> None:
    found = json.loads(home.run("doctor", "-o", "json").stdout)
    assert all(one["fix"] for one in found if one["state"] != "ok")
    assert {"podman", "qemu-system-x86_64", "nft", "kubectl"} <= {one["name"] for one in found}
    assert "ok       podman" in home.run("doctor").stdout


def test_the_doctor_fails_when_something_needed_is_missing(home: Home, tmp_path: Path) -> None:
    done = home.run("doctor", code=1, PATH="/nowhere", VMPOD_HOME=str(tmp_path / "other"))
    assert "missing  podman" in done.stdout and "fix: " in done.stdout
