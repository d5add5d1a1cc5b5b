"""A bare QEMU with the smallest guest."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vmpod.drivers.qemu import sockets
from vmpod.drivers.qemu.command import argv
from vmpod.drivers.qemu.spec import Disk, MachineSpec, Sockets
from vmpod.testing.guest import GREETING, write_disk


@dataclass
class Running:
    """A machine that runs; its sockets are in `folder`."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def qmp(self) -> Path:
        return self.folder / "qmp.sock"

    async def booted(self) -> None:
        log = self.folder / "serial.log"
        await until(lambda: log.exists() and GREETING in log.read_bytes())


async def until(what: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


def _listens(path: Path) -> bool:
    """Whether somebody answers at a socket: its file is there a moment before."""
    try:
        sockets.connect(path).close()
    except OSError:
        return False
    return True


Boot = Callable[..., Awaitable[Running]]


@pytest.fixture
async def boot(tmp_path: Path) -> AsyncIterator[Boot]:
    """Starts a machine from a spec's changes; it is gone after the test."""
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("needs qemu-system-x86_64")
    made: list[Running] = []

    async def boot_(folder: Path | None = None, *, deaf: bool = False, start_paused: bool = False) -> Running:
        place = folder or tmp_path
        disk = write_disk(place / "disk.img", deaf=deaf)
        # a relative folder: QEMU itself cannot listen at a path longer than 107 bytes
        spec = MachineSpec(
            "test", "5a9fc181-957e-5c32-9e5a-2de5e9673531", 64 << 20, accelerator="tcg",
            disks=(Disk("root", str(disk), format="raw", boot_index=1),), sockets=Sockets(folder="."),
            start_paused=start_paused,
        )  # fmt: skip
        process = subprocess.Popen(argv(spec), cwd=place)
        running = Running(place, process)
        made.append(running)
        await until(lambda: _listens(running.qmp) or process.poll() is not None)
        assert process.poll() is None
        return running

    yield boot_
    for one in made:
        one.process.kill()
        one.process.wait()
