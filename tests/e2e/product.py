"""The product as a person uses it: its commands and a real kubectl, on a home of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vmpod.base import proc
from vmpod.base.paths import Paths

ROOT = Path(__file__).resolve().parent.parent.parent
SHOP = ROOT / "examples" / "01-shop"
LINUX = ROOT / "examples" / "02-linux-vm"
Done = subprocess.CompletedProcess[str]
T = TypeVar("T")


@dataclass(frozen=True)
class Product:
    """One home. Its commands never see the user's own settings."""

    home: Path
    kubectl_program: str

    @property
    def env(self) -> dict[str, str]:
        own = {"VMPOD_HOME": str(self.home), "VMPOD_EGRESS": "off", "KUBECONFIG": str(Paths(self.home).kubeconfig)}
        return {key: value for key, value in os.environ.items() if not key.startswith("VMPOD_")} | own

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a `vmpod` command; it is for the caller to wait."""
        argv = [sys.executable, "-m", "vmpod", *arguments]
        return subprocess.Popen(argv, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def vmpod(self, *arguments: str, check: bool = True, timeout_s: float = 240, **env: str) -> Done:
        """Run a `vmpod` command; with `check` a failure fails the test with what it said."""
        argv = [sys.executable, "-m", "vmpod", *arguments]
        return run(argv, self.env | env, "", check, timeout_s)

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True, timeout_s: float = 60) -> Done:
        return run([self.kubectl_program, *arguments], self.env, stdin, check, timeout_s)

    def read(self, *arguments: str) -> Any:
        """What `kubectl get` tells, decoded."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def value(self, path: str, *arguments: str) -> str:
        """One value of one object, by JSONPath; empty when it has none."""
        return self.kubectl("get", *arguments, "-o", f"jsonpath={{{path}}}").stdout

    def pods(self, app: str) -> list[Any]:
        return list(self.read("pods", "-l", f"app={app}")["items"])

    def address(self, service: str) -> str:
        """The LoadBalancer address of a service."""
        return self.value(".status.loadBalancer.ingress[0].ip", "service", service)

    def shop(self) -> str:
        return f"http://{self.address('web')}/"

    def endpoints(self, service: str) -> list[str]:
        """The addresses of a service that are ready."""
        slices = self.read("endpointslices", "-l", f"kubernetes.io/service-name={service}")["items"]
        ready = [one for part in slices for one in part["endpoints"] or () if one["conditions"]["ready"]]
        return sorted(address for one in ready for address in one["addresses"])

    def story(self) -> str:
        """All that tells why something is not as it should be: for a test that failed."""
        told = self.kubectl("get", "vm,vmi,dv,pvc,pods,endpointslices", "-o", "wide", check=False).stdout
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False).stdout.splitlines()
        console = self.kubectl("logs", "-l", "kubevirt.io=virt-launcher", "--tail=15", check=False).stdout
        log = self.vmpod("engine", "logs", "--tail", "20", check=False).stdout
        return "\n".join([told, *events[-25:], "--- console", console, "--- engine", log])

    @property
    def engine(self) -> proc.Daemon | None:
        return proc.read_pid_file(Paths(self.home).engine_pid)

    def kill_engine(self) -> None:
        """As a crash would: no chance to clean up."""
        engine = self.engine
        assert engine is not None, "no engine runs"
        os.kill(engine.pid, signal.SIGKILL)
        wait(lambda: not proc.is_alive(engine), "the engine is dead", 10)


def run(argv: list[str], env: dict[str, str], stdin: str, check: bool, timeout_s: float) -> Done:
    shown = " ".join(argv[2:] if "-m" in argv else argv)
    try:
        done = subprocess.run(
            argv, env=env, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as late:
        said = b"".join(part for part in (late.stdout, late.stderr) if isinstance(part, bytes)).decode()
        raise AssertionError(f"{shown} did not end within {timeout_s:g} s:\n{said}") from None
    assert not check or done.returncode == 0, f"{shown} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


def ask(url: str, body: object = None, timeout_s: float = 30) -> tuple[int, Any]:
    """A request without any proxy: status and decoded answer (text when it is no JSON). Raises OSError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout_s) as answer:
            return answer.status, _decoded(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _decoded(error.read())


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


def order(shop: str, item: str = "teapot", quantity: int = 2) -> dict[str, Any]:
    """Place an order: it is in the machine, and the machine asked the catalog for the price."""
    status, made = ask(f"{shop}api/orders", {"item": item, "quantity": quantity})
    assert status == 201, f"{status}: {made}"
    return dict(made)


def state(shop: str) -> dict[str, Any]:
    status, seen = ask(f"{shop}api/state")
    assert status == 200, f"{status}: {seen}"
    return dict(seen)


def wait(look: Callable[[], T], what: str, timeout_s: float = 60, every_s: float = 0.2) -> T:
    """Look until there is something true; what fails on the way is looked at again. Fails the test when late.

    A wait of less than a minute would judge how busy this machine is.
    """
    timeout_s = max(timeout_s, 60)
    deadline = time.monotonic() + timeout_s
    last = ""
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except (AssertionError, OSError, KeyError, IndexError) as error:
            last = f" ({error})"
        time.sleep(every_s)
    raise AssertionError(f"not within {timeout_s:g} s: {what}{last}")


@contextmanager
def ended(child: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A child of ours that is ended, and its pipes closed, whatever happens."""
    try:
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=30)
