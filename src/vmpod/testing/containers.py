"""Real containers for tests: a home of its own, podman connected to it, and an image that needs no registry."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmpod.base.paths import Paths
from vmpod.drivers.host import oci
from vmpod.drivers.podman import service
from vmpod.drivers.podman.client import Podman

_CONTAINERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
CMD ["/bin/sh", "-c", "echo default"]
"""


@dataclass(frozen=True)
class Runtime:
    """As much of the machine's facts as podman asks for."""

    oci_runtime: str


@contextmanager
def home() -> Iterator[Paths]:
    """A home with a short path, removed after."""
    paths = Paths(Path("/tmp") / f"vmpod-test-{secrets.token_hex(4)}")
    paths.create()
    try:
        yield paths
    finally:
        shutil.rmtree(paths.home, ignore_errors=True)


@asynccontextmanager
async def podman(paths: Paths) -> AsyncIterator[Podman]:
    """A podman service of the home's own; all its containers are removed after."""
    await service.start(paths, (await oci.probe()).runtime)
    driver = await Podman.connect(paths, Runtime((await oci.probe()).runtime))
    try:
        yield driver
        await driver.ensure()
        for one in await driver.containers():
            await driver.remove(one.id)
    finally:
        await driver.close(stop_service=True)


@contextmanager
def busybox_image(folder: Path) -> Iterator[str]:
    """The short name of an image that holds busybox; in the store it is called localhost/NAME."""
    name = f"vmpod-test-{secrets.token_hex(4)}:1"
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "Containerfile").write_text(_CONTAINERFILE)
    paths = Paths(folder)
    paths.create()
    env = service.environment(paths, "")
    argv = ["podman", "build", "-q", "--isolation", "chroot", "-t", f"localhost/{name}", str(folder)]
    subprocess.run(argv, check=True, capture_output=True, env=env)
    try:
        yield name
    finally:
        subprocess.run(["podman", "rmi", "-f", f"localhost/{name}"], check=True, capture_output=True, env=env)


@contextmanager
def namespace() -> Iterator[str]:
    """The path of a network namespace that holds nothing but its loopback."""
    name = f"vmpodt{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    try:
        yield f"/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
