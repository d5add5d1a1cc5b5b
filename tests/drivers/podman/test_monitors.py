"""No monitor of an exec session outlives its use."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.spec import ContainerSpec

pytestmark = pytest.mark.host


def monitors(container: str) -> list[str]:
    """The processes that watch the sessions of a container."""
    shown = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if container in line and "--exec-process-spec" in line]


async def none_left(container: str) -> bool:
    for _ in range(100):
        if not monitors(container):
            return True
        await asyncio.sleep(0.1)
    return False


async def sleeper(podman: Podman, image: str, name: str) -> str:
    spec = ContainerSpec(
        name=f"{image.partition(':')[0]}-{name}", image=f"localhost/{image}", entrypoint=("/bin/sh", "-c"),
        command=("exec sleep 600",), stop_signal="SIGKILL",
    )
    id = await podman.create(spec)
    await podman.start(id)
    return id


async def test_the_monitor_of_an_ended_program_ends_at_once(podman: Podman, image: str) -> None:
    id = await sleeper(podman, image, "monitored")
    for code in (0, 3):
        assert (await podman.run_in(id, ["/bin/sh", "-c", f"exit {code}"], timeout_s=20))[0] == code
    assert await none_left(id)
    await podman.remove(id)


async def test_monitors_nobody_waited_for_go_with_the_container(podman: Podman, image: str) -> None:
    id = await sleeper(podman, image, "abandoned")
    session = await podman.exec(id, ["/bin/true"])
    while await session.read() is not None:
        pass
    await session.close()
    assert monitors(id)
    await podman.remove(id)
    assert await none_left(id)
