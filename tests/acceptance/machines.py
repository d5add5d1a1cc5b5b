"""Virtual machines of the acceptance tests, written short: a boot sector that greets, echoes and obeys its power button."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vmpod.base.paths import Paths
from vmpod.cli import bridge
from vmpod.cli.bridge import Stream
from vmpod.client.simple import SimpleClient
from vmpod.model.status import ApiError
from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait

Object = dict[str, Any]
LAB = "localhost/vmpod-examples/lab:1"
_SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default"


def own(image: str) -> str:
    """The name of an image of this run: podman's store is shared with the runs of others."""
    return f"localhost/vmpod-test/{image}:{os.getpid()}"


QUICK, DEAF = own("quick"), own("deaf")


def build(folder: Path, name: str, files: dict[str, Path]) -> None:
    """A local image of these files, and nothing else."""
    lines = [f"ADD --chown=107:107 {source.name} {target}" for target, source in files.items()]
    (folder / "Containerfile").write_text("\n".join(["FROM scratch", *lines]) + "\n")
    subprocess.run(["podman", "build", "-q", "--network", "none", "-t", name, str(folder)], check=True, capture_output=True)


def build_disks(folder: Path) -> None:
    """The container disks QUICK and DEAF."""
    build(folder, QUICK, {"/disk/": write_disk(folder / "quick.img")})
    build(folder, DEAF, {"/disk/": write_disk(folder / "deaf.img", deaf=True)})


def remove_images(*names: str) -> None:
    subprocess.run(["podman", "rmi", "-f", *names], check=False, capture_output=True)


def container_disk(image: str = QUICK, **more: str) -> Object:
    return {"name": "d", "containerDisk": {"image": image, **more}}


def claim_disk(claim: str) -> Object:
    return {"name": "d", "persistentVolumeClaim": {"claimName": claim}}


def machine(name: str, *volumes: Object, disks: list[Object] | None = None, strategy: str = "Always",
            memory: str = "64Mi", **spec: Any) -> Object:  # fmt: skip
    """A VirtualMachine; without volumes it boots the quick guest, without disks every volume is a virtio disk."""
    wanted = list(volumes) or [container_disk()]
    devices = {"disks": disks or [{"name": one["name"], "disk": {"bus": "virtio"}} for one in wanted]}
    inside = {"domain": {"devices": devices, "memory": {"guest": memory}}, "volumes": wanted, **spec}
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": name},
            "spec": {"runStrategy": strategy, "template": {"metadata": {"labels": {"vm": name}}, "spec": inside}}}  # fmt: skip


def claim(name: str, size: str = "16Mi") -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def datavolume(name: str, size: str = "16Mi", **source: Object) -> Object:
    spec = {"source": source, "pvc": claim(name, size)["spec"]}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": name}, "spec": spec}


def shown(home: Product, name: str) -> str:
    """What `kubectl get vm` shows as its status."""
    return home.value(".status.printableStatus", "vm", name)


def is_shown(home: Product, name: str, status: str, timeout_s: float = 40) -> None:
    wait(lambda: shown(home, name) == status, f"{name} is {status}", timeout_s, 0.1)


def instance(home: Product, name: str) -> str:
    """The uid of the instance, empty without one."""
    return home.kubectl("get", "vmi", name, "-o", "jsonpath={.metadata.uid}", check=False).stdout


def runs_anew(home: Product, name: str, before: str) -> None:
    """Until another instance than `before` runs."""
    wait(lambda: instance(home, name) not in ("", before) and shown(home, name) == "Running", f"{name} runs anew", 40, 0.1)


def condition(home: Product, kind: str, name: str, type: str) -> Object:
    found = home.read(kind, name)["status"].get("conditions", [])
    return next((one for one in found if one["type"] == type), {})


def why(home: Product, name: str) -> str:
    """Reason and message of what keeps a machine from starting."""
    found = condition(home, "vmi", name, "Synchronized")
    return f"{found.get('reason')}: {found.get('message')}" if found else ""


def says(home: Product, name: str, words: str, timeout_s: float = 30) -> None:
    wait(lambda: words in why(home, name), f"{name} says {words!r}, not {why(home, name)!r}", timeout_s, 0.2)


def ask(home: Product, resource: str, name: str, verb: str, body: Object | None = None) -> tuple[int, str]:
    """PUT a subresource as virtctl does: code and message."""
    with SimpleClient.load(Paths(home.home).kubeconfig) as client:
        try:
            data = b"" if body is None else json.dumps(body).encode()
            return client.raw("PUT", f"{_SUB}/{resource}/{name}/{verb}", body=data).status, ""
        except ApiError as error:
            return error.code, error.message


def tell(home: Product, name: str, verb: str, body: Object | None = None) -> tuple[int, str]:
    """start, stop or restart a VirtualMachine."""
    return ask(home, "virtualmachines", name, verb, body or {})


@contextmanager
def stream(home: Product, name: str, verb: str) -> Iterator[Stream]:
    """console or vnc, over the WebSocket that virtctl opens."""
    with SimpleClient.load(Paths(home.home).kubeconfig) as client:
        opened = bridge.connect(client, f"{_SUB}/virtualmachineinstances/{name}/{verb}")
        try:
            yield opened
        finally:
            opened.close()


def heard(opened: Stream, words: bytes, timeout_s: float = 60) -> bytes:
    """What comes until it holds `words`; fails when it does not."""
    said, deadline = b"", time.monotonic() + timeout_s
    while time.monotonic() < deadline and words not in said:
        if opened.pending or select.select([opened], [], [], 0.2)[0]:
            piece = opened.step()
            if piece is None:
                break
            said += piece
    assert words in said, f"{words!r} is not in {said[-500:]!r}"
    return said


def echoes(home: Product, name: str) -> None:
    """The quick guest answers on its console, once it has booted and the engine reaches it."""
    def answers() -> bool:
        try:
            with stream(home, name, "console") as console:
                console.send(b"#")
                return bool(heard(console, b"#", 2))
        except ApiError as error:
            raise AssertionError(error.message) from None

    wait(answers, f"{name} echoes", 20)


def process(home: Product, name: str) -> int:
    """The pid of the machine's QEMU."""
    (pod,) = [one["metadata"]["uid"] for one in home.read("pods", "-l", f"vm.kubevirt.io/name={name}")["items"]
              if one["status"].get("phase") == "Running"]  # fmt: skip
    argv = ["podman", "ps", "--filter", f"label=io.vmpod.pod={pod}", "--format", "{{.Pid}}"]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def crash(home: Product, name: str) -> None:
    """End this very QEMU as a crash would."""
    os.kill(process(home, name), signal.SIGKILL)


def type_in(home: Product, name: str, keys: bytes) -> None:
    """Keys for the guest, whatever it says."""
    with stream(home, name, "console") as console:
        console.send(keys)


def typed(home: Product, name: str, command: str, patience_s: float = 30) -> str:
    """What a command prints on a Linux guest's console, between two marks that its echo does not hold."""
    with stream(home, name, "console") as console:
        console.send(f"\necho be''gin; {command}; echo en''d\n".encode())
        found = heard(console, b"end\r\n", patience_s).decode(errors="replace")
    return found.rpartition("begin\r\n")[2].partition("end\r\n")[0].strip()


def has_shell(home: Product, name: str, timeout_s: float = 240) -> None:
    """Until the Linux guest obeys on its console, and its DHCP client, which talks there too, has said its last."""
    def answers() -> bool:
        try:
            return typed(home, name, "uname", 5) == "Linux"
        except (AssertionError, ApiError):
            return False

    wait(answers, f"{name} has a shell", timeout_s, 0.5)
    lease = "[ ! -e /sys/class/net/eth0 ] || ip addr show eth0 | grep -q 'inet '"
    typed(home, name, f"for try in $(seq 20); do {lease} && break; sleep 1; done; sleep 1", 60)


def gone(home: Product, *kinds: str) -> None:
    """Until nothing of these kinds is there any more."""
    wait(lambda: not home.kubectl("get", ",".join(kinds), "-o", "name").stdout, f"no {', '.join(kinds)} left", 30)
