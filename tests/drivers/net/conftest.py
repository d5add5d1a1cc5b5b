"""Homes with a network of their own, and small servers and clients inside their pods."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from vmpod.base.paths import Paths
from vmpod.drivers.net.network import Attachment, Network

OpenHome = Callable[..., Awaitable[Network]]
Serve = Callable[..., Awaitable[None]]


def shell(*argv: str, pod: Attachment | None = None, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
    """A command on the host, or inside a pod's network namespace."""
    inside = ["nsenter", f"--net={pod.netns_path}"] if pod else []
    return subprocess.run([*inside, *argv], capture_output=True, text=True, timeout=timeout_s, check=False)


def fetch(url: str, pod: Attachment | None = None, timeout_s: float = 3) -> tuple[int, str]:
    """curl's exit code (0 answered, 7 refused, 28 no answer in time) and what came."""
    done = shell("curl", "-s", "-m", str(timeout_s), f"http://{url}/", pod=pod)
    return done.returncode, done.stdout.strip()


@pytest.fixture
async def open_home(tmp_path: Path) -> AsyncIterator[OpenHome]:
    """Opens the network of a home below tmp_path by name; every one is removed again, and nothing may be left."""
    opened: dict[str, Network] = {}

    async def open_(name: str = "home", *, egress: bool = False, dual: bool = False,
                    shared: Path | None = None) -> Network:  # fmt: skip
        paths = Paths(tmp_path / name)
        paths.network.mkdir(parents=True, exist_ok=True)
        network = await Network.open(paths, paths.id, egress=egress, dual=dual, shared=shared)
        await network.ensure()
        opened[name] = network
        return network

    yield open_
    for network in opened.values():
        await network.remove()
    left = [line for network in opened.values() for line in await network.sweep()]
    assert left == []


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts an HTTP server that answers with a word, in a pod (None: on the host); all end with the test."""
    servers: list[subprocess.Popen[bytes]] = []

    async def serve_(word: str, port: int, pod: Attachment | None = None, address: str = "0.0.0.0") -> None:
        folder = tmp_path / f"www-{len(servers)}"
        folder.mkdir()
        (folder / "index.html").write_text(word + "\n")
        inside = ["nsenter", f"--net={pod.netns_path}"] if pod else []
        busybox = shutil.which("busybox") or "busybox"
        argv = [*inside, busybox, "httpd", "-f", "-p", f"{address}:{port}", "-h", str(folder)]
        servers.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        await _listening(port, pod)

    yield serve_
    for server in servers:
        server.kill()
        server.wait()


async def _listening(port: int, pod: Attachment | None) -> None:
    for _ in range(200):
        if shell("ss", "-Hltn", f"sport = :{port}", pod=pod).stdout:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


class Guest:
    """A stand-in for a machine: a namespace on the pod's inner bridge with the guest's MAC address."""

    def __init__(self, attachment: Attachment, tmp_path: Path) -> None:
        self._pod = attachment
        self._name = f"vmpod-guest-{os.getpid()}-{attachment.ip.rsplit('.', 1)[1]}"
        self._script = tmp_path / f"{self._name}.sh"
        self.path = f"/run/netns/{self._name}"

    def plug_in(self) -> None:
        """Its cable takes the place (and the name) of the tap, so that the pod's rules hold for it."""
        for argv in (
            ("ip", "netns", "add", self._name),
            ("ip", "-n", self._pod.netns, "link", "del", "tap0"),
            ("ip", "-n", self._pod.netns, "link", "add", "tap0", "type", "veth", "peer", "name", "eth0",
             "address", self._pod.guest_mac, "netns", self._name),
            ("ip", "-n", self._pod.netns, "link", "set", "tap0", "master", "k6t-eth0", "up"),
            ("ip", "-n", self._pod.netns, "link", "set", "tap0", "type", "bridge_slave", "learning", "off"),
            ("ip", "-n", self._name, "link", "set", "lo", "up"),
            ("ip", "-n", self._name, "link", "set", "eth0", "up"),
        ):  # fmt: skip
            done = shell(*argv)
            assert done.returncode == 0, (argv, done.stderr)

    def run(self, *argv: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--net={self.path}", *argv], capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def lease(self) -> dict[str, str]:
        """Ask for an address as a guest does, take it, and return all that was told."""
        self._script.write_text(
            "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nenv\n"
            "ip addr add $ip/$mask dev eth0\nip link set eth0 mtu ${mtu:-1500}\nip route add default via $router\n"
        )
        self._script.chmod(0o755)
        done = self.run(
            "busybox", "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "5", "-T", "1", "-s", str(self._script),
            "-O", "search", "-O", "mtu", "-O", "hostname",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    def unplug(self) -> None:
        shell("ip", "netns", "del", self._name)


@pytest.fixture
def guest_of(tmp_path: Path) -> Iterator[Callable[[Attachment], Guest]]:
    """Plugs a stand-in guest into a machine's pod."""
    guests: list[Guest] = []

    def make(attachment: Attachment) -> Guest:
        guest = Guest(attachment, tmp_path)
        guests.append(guest)
        guest.plug_in()
        return guest

    yield make
    for guest in guests:
        guest.unplug()


def is_running(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
