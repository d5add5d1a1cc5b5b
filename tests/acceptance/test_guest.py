"""What a real Linux guest shows of itself, what goes into it through its agent, and how it goes on after a rest."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ..e2e.product import Product, wait
from .machines import LAB, condition, container_disk, is_shown, machine
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(480)]
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/lab"


def secret(name: str, **values: str) -> dict[str, Any]:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def credential(kind: str, name: str, **agent: Any) -> dict[str, Any]:
    return {kind: {"source": {"secret": {"secretName": name}}, "propagationMethod": {"qemuGuestAgent": agent}}}


def new_key(folder: Path, name: str) -> str:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
    subprocess.run(argv, check=True)
    return (folder / f"{name}.pub").read_text()


def log_in(home: Product, key: Path, *words: str) -> str:
    done = home.vmpod("ssh", "-l", "root", "-i", str(key), "lab", "-o", "BatchMode=yes", *words, check=False)
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()}"


def events(home: Product, reason: str) -> list[str]:
    return home.value(".items[*].message", "events", f"--field-selector=reason={reason}").splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the keys are that the tests share."""
    return tmp_path_factory.mktemp("keys")


def test_keys_passwords_and_stages_of_a_guest(home: Product, folder: Path) -> None:
    apply(home, secret("keys", one=new_key(folder, "first")))
    ready = {"exec": {"command": ["test", "-e", "/etc/inittab"]}, "periodSeconds": 1, "failureThreshold": 300}
    alive = {"guestAgentPing": {}, "initialDelaySeconds": 120}
    wanted = machine("lab", container_disk(LAB), memory="256Mi", readinessProbe=ready, livenessProbe=alive, accessCredentials=[
        credential("sshPublicKey", "keys", users=["root", "tester"]), credential("userPassword", "words")])  # fmt: skip
    wanted["spec"]["template"]["metadata"]["annotations"] = {"vmpod.io/warm-start": "true"}
    device = {"interfaces": [{"name": "default", "masquerade": {}, "ports": [{"port": 22}]}]}
    wanted["spec"]["template"]["spec"]["domain"]["devices"] |= device
    wanted["spec"]["template"]["spec"]["networks"] = [{"name": "default", "pod": {}}]
    apply(home, wanted)
    home.kubectl("wait", "vm", "lab", "--for=condition=Ready", "--timeout=240s", timeout_s=250)

    def told() -> str:
        return str(condition(home, "vmi", "lab", "AccessCredentialsSynchronized").get("message"))

    wait(lambda: told() == "Secret default/words not found", "what is missing is told", 15, 0.2)
    apply(home, secret("words", tester="correct horse"))
    wait(lambda: condition(home, "vm", "lab", "AccessCredentialsSynchronized").get("status") == "True", "in the guest", 30, 0.2)
    assert events(home, "AccessCredentialsSyncSuccess") == ["Access credentials sync successful."]
    assert "Access credentials sync failed: Secret default/words not found" in events(home, "AccessCredentialsSyncFailed")
    assert log_in(home, folder / "first", "cat", "/home/tester/.ssh/authorized_keys") == (folder / "first.pub").read_text().strip()
    before = log_in(home, folder / "first", "grep", "-h", "^tester:", "/etc/passwd", "/etc/shadow", "||:")
    assert "$" in before, before

    apply(home, secret("words", tester="battery staple"))
    apply(home, secret("keys", one=new_key(folder, "second")))
    wait(lambda: log_in(home, folder / "second", "uname") == "Linux", "the second key opens", 60, 0.5)
    assert "Permission denied" in log_in(home, folder / "first", "uname")
    after = log_in(home, folder / "second", "grep", "-h", "^tester:", "/etc/passwd", "/etc/shadow", "||:")
    assert "$" in after and after != before

    stage = condition(home, "vm", "lab", "vmpod.io/GuestStage")
    for word in ("firmware 0 s", "boot disk", "init", "address", "agent", "22/tcp open"):
        assert word in stage["message"], stage
    assert "22/tcp open" in home.vmpod("status").stdout
    disks = home.kubectl("get", "--raw", f"{SUB}/filesystemlist").stdout
    assert '"kind":"VirtualMachineInstanceFileSystemList"' in disks and '"mountPoint":"/"' in disks
    users = home.kubectl("get", "--raw", f"{SUB}/userlist").stdout
    assert '"kind":"VirtualMachineInstanceGuestOSUserList"' in users and '"items":[' in users


def test_the_guest_goes_on_after_a_rest(home: Product, folder: Path) -> None:
    """With all that it held in memory, the time put right, the network as it was; measured on the way."""
    def guest(*words: str) -> str:
        return log_in(home, folder / "second", *words)

    def clock_is_right() -> bool:
        before, there, after = time.time(), int(guest("date", "+%s")), time.time()
        return before - 2 < there < after + 2

    boot = guest("cat", "/proc/sys/kernel/random/boot_id")
    guest("(n=0; while :; do n=$((n+1)); echo $n >/run/n; sleep 0.1; done) >/dev/null 2>&1 </dev/null &")
    wait(lambda: int(guest("cat", "/run/n")) > 0, "it counts", 20)
    home.vmpod("stop", "lab")
    is_shown(home, "lab", "Stopped")
    time.sleep(3)  # by so much its clock is behind at first
    begin = time.monotonic()
    home.vmpod("start", "lab")
    took_s = time.monotonic() - begin
    assert guest("cat", "/proc/sys/kernel/random/boot_id") == boot
    wait(clock_is_right, "its clock is right", 60, 0.5)
    first = int(guest("cat", "/run/n"))
    wait(lambda: int(guest("cat", "/run/n")) > first, "it counts on", 20)
    told = home.value('.items[*].message', "events", "--field-selector=reason=WarmStarted")
    assert "goes on where it was" in told
    print(f"started to Ready in {took_s:.2f} s: {told}")
    assert guest("wget", "-q", "-O", "-", "http://10.0.2.1:1/", "||", "echo", "reached").endswith("reached")
    home.kubectl("delete", "vm", "lab", "--timeout=60s")
