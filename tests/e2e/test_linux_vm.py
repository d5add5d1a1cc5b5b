"""The talk's first demo, with its own manifests: a Linux machine from a container disk behind a LoadBalancer."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .product import LINUX, Product, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]

STOP = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/vm1/stop"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def host_ssh(key: Path) -> Iterator[str]:
    """An ssh server on the host's 0.0.0.0:22, its greeting; ours unless one runs already."""
    if not listening():
        Path("/run/sshd").mkdir(exist_ok=True)
        argv = [shutil.which("sshd", path="/usr/sbin:/usr/bin") or "sshd", "-D", "-e", "-f", "/dev/null", "-p", "22",
                "-h", str(key), "-o", "PidFile=none", "-o", "ListenAddress=0.0.0.0"]  # fmt: skip
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as server:
            try:
                wait(listening, "the host's ssh server listens", 10)
                yield greeting("127.0.0.1")
            finally:
                server.terminate()
    else:
        yield greeting("127.0.0.1")


def listening() -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", 22)) == 0


def greeting(address: str) -> str:
    """What an ssh server says first."""
    with closing(socket.create_connection((address, 22), timeout=10)) as connection:
        return connection.makefile("rb").readline().decode().strip()


@pytest.fixture(scope="module")
def machine(home: Product, key: Path) -> Product:
    """The commands of the demo, up to the machine's start."""
    script = key.parent / "startup-script"
    public = key.with_suffix(".pub").read_text().strip()
    script.write_text(f"#cloud-config\nhostname: myvm\nssh_authorized_keys:\n  - {public}\n")
    home.kubectl("create", "secret", "generic", "vm1-cloudconfig", f"--from-file=userdata={script}")
    applied = home.kubectl("apply", "-f", str(LINUX / "vm.yaml"))
    assert "virtualmachine.kubevirt.io/vm1 created" in applied.stdout
    home.kubectl("apply", "-f", str(LINUX / "service.yaml"))
    wait(lambda: home.value(".status.printableStatus", "vm", "vm1") == "Running", "the machine runs", 60)
    return home


def ssh(product: Product, key: Path, *command: str) -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-i", str(key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", f"fedora@{product.address('vm1ssh')}", *command]  # fmt: skip
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_launcher_pod_machine_and_instance_are_listed(machine: Product) -> None:
    said = machine.kubectl("get", "po,vm,vmi").stdout
    for words in ("pod/virt-launcher-vm1-", "virtualmachine.kubevirt.io/vm1", "virtualmachineinstance.kubevirt.io/vm1"):
        assert words in said, words


def test_a_label_of_some_cloud_is_relaxed_loudly(machine: Product) -> None:
    """`nested: "true"` picks a node pool of the talk's cluster; no node here carries such a key."""
    pod = machine.read("pods", "-l", "kubevirt.io/domain=vm1")["items"][0]
    assert any(one.get("reason") == "NodeSelectorRelaxed" for one in pod["status"]["conditions"])
    said = machine.kubectl("describe", "pod", pod["metadata"]["name"]).stdout
    assert "NodeSelectorRelaxed" in said and "no node carries the label nested" in said


def test_ssh_through_the_load_balancer_beside_the_hosts_own(machine: Product, key: Path, host_ssh: str) -> None:
    """The host's server on 0.0.0.0:22 takes no connection that is for the machine."""
    done = wait(lambda: (one := ssh(machine, key, "hostname; id -un")).returncode == 0 and one, "ssh answers", 180, 1)
    assert done and done.stdout.split() == ["myvm", "fedora"]
    assert greeting(machine.address("vm1ssh")) != host_ssh
    assert greeting("127.0.0.1") == host_ssh


def test_the_clusters_names_are_known_in_the_machine(machine: Product, key: Path) -> None:
    done = ssh(machine, key, "cat /etc/resolv.conf; ping -c 1 -w 5 kubernetes.default >/dev/null; echo $?")
    assert "search default.svc.cluster.local" in done.stdout, done.stdout + done.stderr


def test_stop_as_virtctl_does(machine: Product) -> None:
    """`virtctl stop vm1` is a PUT without a body's worth of meaning; the machine is told to power off."""
    machine.kubectl("replace", "--raw", STOP, "-f", "-", stdin="{}")
    wait(lambda: machine.value(".status.printableStatus", "vm", "vm1") == "Stopped", "the machine is stopped", 60)
    wait(lambda: machine.kubectl("get", "vmi,pods").stdout == "", "the instance and its pod are gone", 60)
    assert machine.value(".spec.running", "vm", "vm1") == "false"
    assert machine.endpoints("vm1ssh") == []
