"""The monitor of a real machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.qmp import Event, Gone, Monitor, Refused

pytestmark = pytest.mark.host
Boot = Callable[..., Awaitable[Any]]


async def collect(monitor: Monitor) -> list[Event]:
    return [event async for event in monitor.events()]


async def test_power_button_ends_the_machine(boot: Boot) -> None:
    machine = await boot()
    await machine.booted()
    monitor = await Monitor.connect(machine.qmp)
    assert await monitor.status() == "running"
    assert (await monitor.machine_type()).startswith("pc-q35-")
    assert not await monitor.is_agent_connected("agent0")
    assert [one["qdev"] for one in await monitor.block_devices()] == ["/machine/peripheral/ua-root/virtio-backend"]
    heard = asyncio.create_task(collect(monitor))
    await monitor.power_down()
    events = await asyncio.wait_for(heard, 10)
    assert [event.name for event in events] == ["POWERDOWN", "SHUTDOWN"]
    assert events[1].data["guest"] is True
    assert machine.process.wait(5) == 0
    with pytest.raises(Gone):
        await monitor.status()
    await monitor.close()


async def test_pause_reset_and_screen(boot: Boot) -> None:
    machine = await boot(start_paused=True)
    monitor = await Monitor.connect(machine.qmp)
    assert await monitor.status() == "prelaunch"
    await monitor.cont()
    await machine.booted()
    await monitor.stop()
    assert await monitor.status() == "paused"
    await monitor.cont()
    await monitor.reset()
    await monitor.screenshot("screen.png")
    assert (machine.folder / "screen.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(Refused) as refused:
        await monitor.execute("no-such-command")
    assert refused.value.kind == "CommandNotFound"
    await monitor.quit()
    await monitor.close()
    assert machine.process.wait(5) == 0


async def test_a_second_engine_takes_over_at_a_long_path(boot: Boot, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    machine = await boot(folder)
    first = await Monitor.connect(machine.qmp)
    await first.close()
    second = await Monitor.connect(machine.qmp)
    assert await second.status() in ("running", "prelaunch")
    await second.close()
    assert machine.process.poll() is None


async def test_killed_machine_is_gone(boot: Boot) -> None:
    machine = await boot()
    monitor = await Monitor.connect(machine.qmp)
    heard = asyncio.create_task(collect(monitor))
    machine.process.kill()
    assert await asyncio.wait_for(heard, 5) == []
    with pytest.raises(Gone):
        await monitor.status()
    await monitor.close()
    with pytest.raises(Gone):
        await Monitor.connect(machine.qmp)


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"cannot reach the monitor qmp\.sock"):
        await Monitor.connect(tmp_path / "qmp.sock")
