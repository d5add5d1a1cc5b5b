"""Virtual machines as pods: every strategy, end and answer, by real kubectl and the requests that virtctl sends."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from vmpod.base import proc
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.cli import bridge
from vmpod.client.simple import SimpleClient, target
from vmpod.model.status import ApiError
from vmpod.testing.guest import GREETING

from ..e2e.product import Product, wait
from . import machines
from .machines import (
    DEAF,
    QUICK,
    ask,
    condition,
    container_disk,
    crash,
    echoes,
    heard,
    instance,
    is_shown,
    machine,
    runs_anew,
    says,
    shown,
    stream,
    tell,
)
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
INSTANCES = "virtualmachineinstances"


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("images")
    machines.build_disks(folder)
    yield folder
    machines.remove_images(QUICK, DEAF)


@pytest.fixture(scope="module")
def quick(home: Product) -> Product:
    """A machine `quick` that always runs."""
    apply(home, machine("quick"))
    is_shown(home, "quick", "Running")
    return home


def test_what_kubectl_shows_of_a_machine(quick: Product) -> None:
    wait(lambda: quick.value(".status.ready", "vm", "quick") == "true", "it is ready", 10)
    table = quick.kubectl("get", "vm,vmi,pods", "-o", "wide").stdout
    for words in ("STATUS", "PHASE", "LIVE-MIGRATABLE", "Running", "virt-launcher-quick-"):
        assert words in table, table
    status = quick.read("vmi", "quick")["status"]
    assert [one["phase"] for one in status["phaseTransitionTimestamps"]] == ["Pending", "Scheduling", "Scheduled", "Running"]
    assert status["interfaces"][0]["ipAddress"] and status["volumeStatus"] == [
        {"name": "d", "size": 1 << 20, "target": "vda"}]  # fmt: skip
    assert condition(quick, "vmi", "quick", "LiveMigratable")["status"] == "True"
    emulated = condition(quick, "vm", "quick", "SoftwareEmulation")
    assert not emulated or (emulated["status"] == "True" and emulated["reason"] == "NoKVM")


def test_the_log_of_its_console_is_a_container_of_its_pod(quick: Product) -> None:
    wait(lambda: quick.value(".status.ready", "vm", "quick") == "true", "it is ready", 60)
    (pod,) = quick.read("pods", "-l", "vm.kubevirt.io/name=quick")["items"]
    (row,) = pod["status"]["initContainerStatuses"]
    assert row["name"] == "guest-console-log" and row["ready"] and "running" in row["state"]
    assert pod["status"]["qosClass"] == "Burstable"
    name, words = pod["metadata"]["name"], GREETING.decode().strip()
    wait(lambda: words in quick.kubectl("logs", name, "-c", "guest-console-log").stdout, "the guest has spoken", 60, 0.2)
    assert "2/2" in quick.kubectl("get", "pod", name).stdout


def test_a_machine_whose_console_is_not_logged_has_no_such_container(home: Product) -> None:
    mute = machine("mute")
    mute["spec"]["template"]["spec"]["domain"]["devices"]["logSerialConsole"] = False
    apply(home, mute)
    is_shown(home, "mute", "Running", 60)
    (pod,) = home.read("pods", "-l", "vm.kubevirt.io/name=mute")["items"]
    assert "initContainers" not in pod["spec"]
    refused = home.kubectl("logs", pod["metadata"]["name"], "-c", "guest-console-log", check=False)
    assert refused.returncode and "guest-console-log" in refused.stderr
    home.kubectl("delete", "vm", "mute", "--timeout=60s")


def test_qemu_has_no_privilege(quick: Product) -> None:
    pid = machines.process(quick, "quick")
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["107"] * 4
    assert {status[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert "spawn=deny" in Path(f"/proc/{pid}/cmdline").read_text()


def test_all_guests_together_weigh_no_more_than_the_engine(quick: Product) -> None:
    """Control groups, version 1 or 2: below the group that both are in, the one that leads to the guest."""
    engine = quick.engine
    assert engine is not None
    guest, own = _cpu_group(machines.process(quick, "quick")), _cpu_group(engine.pid)
    parts = next(n for n, (a, b) in enumerate(zip_longest(guest.parts, own.parts)) if a != b)
    group = Path(*guest.parts[: parts + 1])
    weight = next(path for name in ("cpu.shares", "cpu.weight") if (path := group / name).exists())
    assert int(weight.read_text()) <= {"cpu.shares": 1024, "cpu.weight": 100}[weight.name], group


def _cpu_group(pid: int) -> Path:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return Path(f"/sys/fs/cgroup/cpu{path}")
    return Path(f"/sys/fs/cgroup{path}")


_KNOCK = """
import socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("open", path)
    except PermissionError:
        print("closed")
"""


@pytest.mark.parametrize("user", ["65534", "107"])
def test_nobody_else_reaches_its_monitor_console_or_screen(quick: Product, user: str) -> None:
    """Not even a process with QEMU's user: the home around the sockets is closed."""
    (pod,) = quick.read("pods", "-l", "vm=quick")["items"]
    folder = Paths(quick.home).pod(pod["metadata"]["uid"]) / "run"
    sockets = [str(folder / name) for name in ("qmp.sock", "serial.sock", "vnc.sock", "agent.sock")]
    assert all(Path(one).is_socket() for one in sockets)
    argv = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "/usr/bin/python3", "-c", _KNOCK, *sockets]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split() == ["closed"] * 4
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (107, 0o700)


def test_it_listens_on_no_port(quick: Product) -> None:
    """Neither VNC nor the monitor: in the network of its pod there is no listener at all."""
    pid = machines.process(quick, "quick")
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        assert not [line for line in lines if line.split()[3] == "0A"], table


def test_its_container_sees_nothing_of_the_engine(quick: Product) -> None:
    root = Path(f"/proc/{machines.process(quick, 'quick')}/root")
    for path in (str(quick.home), "/root", "/run/podman", "/etc/shadow", "/var/lib/containers"):
        assert not (root / path.lstrip("/")).exists(), path
    mounts = (root.parent / "mountinfo").read_text().splitlines()
    (whole,) = [line for line in mounts if line.split()[4] == "/"]
    assert "ro" in whole.split()[5].split(","), whole
    own = {line.split()[4] for line in mounts if f" {quick.home}/" in line}
    (pod,) = quick.read("pods", "-l", "vm=quick")["items"]
    disks = f"/disks/pods/{pod['metadata']['uid']}/disks"
    assert {one for one in own if "/bases/" not in one} == {"/run/vm", disks}, own


def test_a_home_is_its_owners(quick: Product) -> None:
    paths = Paths(quick.home)
    assert paths.home.stat().st_mode & 0o077 == 0
    for file in (paths.kubeconfig, paths.settings, *paths.pki.iterdir()):
        assert file.stat().st_mode & 0o077 == 0, file


def test_the_next_client_takes_the_console_over(quick: Product) -> None:
    """Nobody says farewell to the earlier one: that is how virtctl knows that another user connected."""
    with stream(quick, "quick", "console") as first:
        assert first.protocol == "plain.kubevirt.io"
        first.send(b"hello")
        heard(first, b"hello")
        with stream(quick, "quick", "console") as second:
            second.send(b"again")
            heard(second, b"again")
            with pytest.raises((AssertionError, OSError, Problem)):
                heard(first, b"never said", 5)


def test_the_screen(quick: Product) -> None:
    with stream(quick, "quick", "vnc") as screen:
        heard(screen, b"RFB 003.008\n")
    with SimpleClient.load(Paths(quick.home).kubeconfig) as client:
        path = f"/apis/subresources.kubevirt.io/v1/namespaces/default/{INSTANCES}/quick/vnc/screenshot"
        assert client.raw("GET", path, query={"moveCursor": "false"}).body.startswith(b"\x89PNG\r\n")
        with stream(quick, "quick", "vnc") as screen:
            heard(screen, b"RFB 003.008\n")
            vnc = path.removesuffix("/screenshot")
            with pytest.raises(ApiError, match=r"Active VNC connection\. Request denied\."):
                bridge.Stream.open(client.context, target(vnc, {"preserveSession": "true"}), bridge.PROTOCOL, 10)
            graph = client.raw("GET", f"{path.partition('/vnc')[0]}/objectgraph")
            assert b"virt-launcher-quick-" in graph.body


def test_pause_and_unpause(quick: Product) -> None:
    assert ask(quick, INSTANCES, "quick", "pause", {}) == (200, "")
    is_shown(quick, "quick", "Paused")
    code, said = ask(quick, INSTANCES, "quick", "pause", {})
    assert code == 409 and said.endswith("VMI is already paused")
    assert quick.value(".status.ready", "vm", "quick") == "false"
    assert ask(quick, INSTANCES, "quick", "unpause", {}) == (200, "")
    is_shown(quick, "quick", "Running")
    code, said = ask(quick, INSTANCES, "quick", "unpause", {})
    assert code == 409 and said.endswith("VMI is not paused")


def test_reset_and_soft_reboot_keep_the_instance(quick: Product) -> None:
    before = instance(quick, "quick")
    with stream(quick, "quick", "console") as console:
        for verb in ("reset", "softreboot"):
            assert ask(quick, INSTANCES, "quick", verb) == (200, "")
            heard(console, GREETING)
    assert instance(quick, "quick") == before


@pytest.mark.parametrize("verb", ["guestosinfo", "userlist", "filesystemlist"])
def test_questions_without_an_agent(quick: Product, verb: str) -> None:
    path = f"/apis/subresources.kubevirt.io/v1/namespaces/default/{INSTANCES}/quick/{verb}"
    said = quick.kubectl("get", "--raw", path, check=False)
    assert said.returncode != 0 and "VMI does not have guest agent connected" in said.stderr


def test_an_instance_or_launcher_that_is_taken_away_comes_back(quick: Product) -> None:
    before = instance(quick, "quick")
    quick.kubectl("delete", "vmi", "quick", "--wait=false")
    runs_anew(quick, "quick", before)
    before = instance(quick, "quick")
    quick.kubectl("delete", "pod", "-l", "vm=quick", "--wait=false")
    runs_anew(quick, "quick", before)


def test_a_changed_template_waits_for_a_restart(quick: Product) -> None:
    apply(quick, machine("quick", memory="81Mi"))
    wait(lambda: condition(quick, "vm", "quick", "RestartRequired").get("status") == "True", "RestartRequired", 10)
    before = instance(quick, "quick")
    assert tell(quick, "quick", "restart") == (202, "")
    runs_anew(quick, "quick", before)
    assert not condition(quick, "vm", "quick", "RestartRequired")
    assert quick.value(".status.memory.guestCurrent", "vmi", "quick") == "81Mi"


def test_what_runs_is_adopted_by_the_next_engine(quick: Product) -> None:
    before, pid = instance(quick, "quick"), machines.process(quick, "quick")
    started = proc.start_time(pid)
    quick.kill_engine()
    quick.vmpod("engine", "start")
    is_shown(quick, "quick", "Running")
    assert instance(quick, "quick") == before and machines.process(quick, "quick") == pid
    assert proc.start_time(pid) == started
    echoes(quick, "quick")


def test_always(home: Product) -> None:
    apply(home, machine("always"))
    is_shown(home, "always", "Running")
    code, said = tell(home, "always", "start")
    assert (code, said.rpartition(": ")[2]) == (409, "VM is already running")
    assert tell(home, "always", "stop") == (202, "")
    is_shown(home, "always", "Stopped")
    assert home.value(".spec.runStrategy", "vm", "always") == "Halted"
    wait(lambda: instance(home, "always") == "", "the instance is gone", 30)
    code, said = tell(home, "always", "stop")
    assert (code, said.rpartition(": ")[2]) == (409, "VM is not running")
    code, said = tell(home, "always", "restart")
    assert (code, said.rpartition(": ")[2]) == (409, "RunStategy Halted does not support manual restart requests")
    assert tell(home, "always", "start", {"paused": True, "dryRun": ["All"]}) == (202, "")
    assert shown(home, "always") == "Stopped"
    assert tell(home, "always", "start", {"paused": True}) == (202, "")
    is_shown(home, "always", "Paused")
    home.kubectl("delete", "vm", "always")


def test_manual_and_a_crash_that_nobody_waits_for(home: Product) -> None:
    apply(home, machine("manual", strategy="Manual"))
    is_shown(home, "manual", "Stopped")
    assert tell(home, "manual", "start") == (202, "")
    is_shown(home, "manual", "Running")
    crash(home, "manual")
    is_shown(home, "manual", "Stopped")
    assert home.value(".status.phase", "vmi", "manual") == "Failed"
    assert tell(home, "manual", "start") == (202, "")
    is_shown(home, "manual", "Running", 8)
    assert tell(home, "manual", "stop") == (202, "")
    is_shown(home, "manual", "Stopped")
    home.kubectl("delete", "vm", "manual")


def test_the_deprecated_field(home: Product) -> None:
    old = machine("old")
    del old["spec"]["runStrategy"]
    old["spec"]["running"] = True
    assert "spec.running is deprecated" in apply(home, old)
    is_shown(home, "old", "Running")
    assert tell(home, "old", "stop") == (202, "")
    is_shown(home, "old", "Stopped")
    assert home.value(".spec.running", "vm", "old") == "false"
    home.kubectl("delete", "vm", "old")


def test_a_crash_is_followed_by_a_new_instance_and_then_by_patience(home: Product) -> None:
    apply(home, machine("crash", strategy="RerunOnFailure"))
    is_shown(home, "crash", "Running")
    before = instance(home, "crash")
    crash(home, "crash")
    wait(lambda: home.value(".status.startFailure.consecutiveFailCount", "vm", "crash") == "1", "it is counted", 10, 0.1)
    is_shown(home, "crash", "CrashLoopBackOff", 10)
    runs_anew(home, "crash", before)
    assert tell(home, "crash", "stop") == (202, "")
    is_shown(home, "crash", "Stopped")
    home.kubectl("delete", "vm", "crash")


def test_an_instance_of_nobody_stays_as_it_ended(home: Product) -> None:
    spec = machine("alone")["spec"]["template"]["spec"]
    apply(home, {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "alone"}, "spec": spec})
    wait(lambda: home.value(".status.phase", "vmi", "alone") == "Running", "it runs", 30, 0.1)
    crash(home, "alone")
    wait(lambda: home.value(".status.phase", "vmi", "alone") == "Failed", "it has failed", 10, 0.1)
    home.kubectl("delete", "vmi", "alone")
    wait(lambda: "alone" not in home.kubectl("get", "pods", "-o", "name").stdout, "its launcher is gone", 10)


def test_a_deaf_guest_ends_when_its_grace_period_does(home: Product) -> None:
    apply(home, machine("deaf", container_disk(DEAF), terminationGracePeriodSeconds=2),
          machine("deafer", container_disk(DEAF), terminationGracePeriodSeconds=300))  # fmt: skip
    is_shown(home, "deaf", "Running")
    is_shown(home, "deafer", "Running")
    home.kubectl("delete", "vm", "deaf", "--timeout=12s")
    assert tell(home, "deafer", "stop", {"gracePeriod": 0}) == (202, "")
    is_shown(home, "deafer", "Stopped", 12)
    home.kubectl("delete", "vm", "deafer")


def test_deletion_in_every_phase(home: Product) -> None:
    apply(home, machine("no-claim", machines.claim_disk("nowhere")), machine("no-image", container_disk("localhost/none/such:1")),
          machine("huge", memory="900Gi"), machine("fresh"), machine("halted", strategy="Halted"))  # fmt: skip
    is_shown(home, "no-claim", "ErrorPvcNotFound")
    says(home, "no-claim", "FailedPvcNotFound: PVC default/nowhere does not exist")
    is_shown(home, "huge", "ErrorUnschedulable")
    says(home, "no-image", "ErrImagePull: cannot pull the image localhost/none/such:1")
    is_shown(home, "no-image", "ErrImagePull")
    home.kubectl("delete", "vm", "no-claim", "no-image", "huge", "fresh", "halted", "--timeout=20s")


@pytest.mark.parametrize(("spoil", "said"), [
    ({"domain": {"devices": {"disks": [{"name": "d", "disk": {"bus": "ide"}}]}, "memory": {"guest": "64Mi"}}},
     "spec.template.spec.domain.devices.disks[0].disk.bus"),
    ({"bogus": 1}, 'unknown field "spec.template.spec.bogus"'),
    ({"networks": [{"name": "n", "multus": {"networkName": "x"}}]}, "spec.template.spec.networks"),
])  # fmt: skip
def test_nonsense_is_refused_by_path(home: Product, spoil: machines.Object, said: str) -> None:
    wanted = machine("nonsense")
    wanted["spec"]["template"]["spec"] |= spoil
    done = home.kubectl("apply", "-f", "-", stdin=json.dumps(wanted), check=False)
    assert said in done.stderr
    home.kubectl("delete", "vm", "nonsense", "--ignore-not-found")


def test_what_is_not_supported_is_told_by_path_and_by_the_machine(home: Product) -> None:
    wanted = machine("gpu")
    wanted["spec"]["template"]["spec"]["domain"]["devices"]["gpus"] = [{"name": "g", "deviceName": "x/y"}]
    assert "spec.template.spec.domain.devices.gpus: not supported yet" in apply(home, wanted)
    says(home, "gpu", "spec.domain.devices.gpus: GPUs are not passed through")
    home.kubectl("delete", "vm", "gpu")


def test_every_kind_of_disk_and_seed(home: Product, tmp_path: Path) -> None:
    (tmp_path / "host.img").write_bytes(bytes(1 << 20))
    seed = base64.b64encode(b"#cloud-config\nhostname: seeded\n").decode()
    home.kubectl("create", "secret", "generic", "seed", "--from-literal=userdata=#cloud-config")
    home.kubectl("create", "configmap", "answers", "--from-literal=Unattend.xml=<unattend/>")
    block = machines.claim("block")
    block["spec"]["volumeMode"] = "Block"
    digest = subprocess.run(["podman", "image", "inspect", "--format", "{{.Digest}}", QUICK], capture_output=True,
                            text=True, check=True).stdout.strip()  # fmt: skip
    label = {"path": "vm", "fieldRef": {"fieldPath": "metadata.labels['vm']"}}
    volumes: list[machines.Object] = [
        container_disk(), {"name": "empty", "emptyDisk": {"capacity": "2Mi"}},
        {"name": "host", "hostDisk": {"path": f"{tmp_path}/host.img", "type": "Disk"}},
        {"name": "made", "hostDisk": {"path": f"{tmp_path}/made.img", "type": "DiskOrCreate", "capacity": "1Mi"}},
        {"name": "inline", "cloudInitNoCloud": {"userDataBase64": seed, "networkData": "version: 2\n"}},
        {"name": "secret", "cloudInitNoCloud": {"secretRef": {"name": "seed"}}},
        {"name": "sysprep", "sysprep": {"configMap": {"name": "answers"}}},
        {"name": "labels", "downwardAPI": {"fields": [label], "volumeLabel": "self"}},
        {"name": "digest", "containerDisk": {"image": f"{QUICK.rpartition(':')[0]}@{digest}", "path": "/disk/quick.img"}},
        {"name": "block", "persistentVolumeClaim": {"claimName": "block"}},
    ]
    disks: list[machines.Object] = [
        {"name": "d", "disk": {"bus": "sata"}, "bootOrder": 1}, {"name": "empty", "disk": {"bus": "scsi"}, "serial": "S1"},
        {"name": "host", "disk": {"bus": "virtio"}}, {"name": "made", "disk": {"bus": "virtio"}},
        {"name": "inline", "cdrom": {"bus": "sata"}}, {"name": "secret", "disk": {"bus": "virtio"}},
        {"name": "sysprep", "cdrom": {"bus": "sata"}}, {"name": "labels", "disk": {"bus": "virtio"}},
        {"name": "digest", "disk": {"bus": "virtio"}}, {"name": "block", "disk": {"bus": "virtio"}},
    ]
    assert "not supported" not in apply(home, block, machine("disks", *volumes, disks=disks))
    is_shown(home, "disks", "Running")
    echoes(home, "disks")
    (pod,) = home.read("pods", "-l", "vm=disks")["items"]
    made = Paths(home.home).pod(pod["metadata"]["uid"]) / "disks"
    for name, words in (("inline", b"hostname: seeded"), ("sysprep", b"<unattend/>"), ("labels", b"disks")):
        assert words in (made / f"{name}.iso").read_bytes(), name
    assert (tmp_path / "made.img").stat().st_size == 1 << 20
    home.kubectl("delete", "vm/disks", "pvc/block")


def test_a_host_disk_that_is_a_link_is_not_followed(home: Product, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link.img").symlink_to("secret")
    apply(home, machine("linked", {"name": "d", "hostDisk": {"path": f"{tmp_path}/link.img", "type": "Disk"}}))
    says(home, "linked", "it is a symbolic link, which is never followed")
    assert (tmp_path / "secret").stat().st_uid == 0
    home.kubectl("delete", "vm", "linked")


def test_a_service_follows_the_readiness_of_a_machine(home: Product) -> None:
    """The quick guest listens nowhere: it is never ready, and no endpoint of the service."""
    probe = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probed"},
               "spec": {"selector": {"vm": "probed"}, "ports": [{"port": 80}]}}  # fmt: skip
    apply(home, machine("probed", readinessProbe=probe), service)
    is_shown(home, "probed", "Running")
    wait(lambda: "probe" in condition(home, "vmi", "probed", "Ready").get("message", ""), "the probe has failed", 15)
    assert home.endpoints("probed") == []
    home.kubectl("delete", "vm/probed", "service/probed")
