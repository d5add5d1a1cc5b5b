"""The monitor of a real machine."""

from __future__ import annotations

import asyncio
import subprocess
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
    events = await asyncio.wait_for(heard, 60)
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
    assert await asyncio.wait_for(heard, 60) == []
    with pytest.raises(Gone):
        await monitor.status()
    await monitor.close()
    with pytest.raises(Gone):
        await Monitor.connect(machine.qmp)


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"cannot reach the monitor qmp\.sock"):
        await Monitor.connect(tmp_path / "qmp.sock")


async def test_a_disk_is_plugged_by_its_open_file_alone(boot: Boot, tmp_path: Path) -> None:
    machine = await boot()
    await machine.booted()
    monitor = await Monitor.connect(machine.qmp)
    base, disk = tmp_path / "base.img", tmp_path / "hidden" / "more.qcow2"
    disk.parent.mkdir()
    base.write_bytes(b"\x5a" * (1 << 20))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(disk)], check=True)
    with base.open("rb") as below, disk.open("r+b") as above:
        beneath = await monitor.add_fd(below.fileno(), note="base of more")
        path = await monitor.add_fd(above.fileno(), note="more")
    disk.parent.rename(tmp_path / "elsewhere")  # no path leads QEMU there any more
    file = {"driver": "file", "filename": path}
    backing = {"driver": "raw", "read-only": True, "file": {"driver": "file", "filename": beneath}}
    await monitor.execute("blockdev-add", driver="qcow2", node_name="more", file=file, backing=backing)
    notes = {fd["opaque"] for one in await monitor.fd_sets() for fd in one["fds"]}
    assert notes == {"base of more", "more"}
    await monitor.execute("blockdev-del", node_name="more")
    for one in (path, beneath, path):
        await monitor.remove_fd(one)
    assert await monitor.fd_sets() == []
    await monitor.close()


async def test_files_nobody_holds_go_with_the_connection(boot: Boot, tmp_path: Path) -> None:
    machine = await boot()
    monitor = await Monitor.connect(machine.qmp)
    with (tmp_path / "disk.img").open("rb") as reading, (tmp_path / "disk.img").open("r+b") as writing:
        path = await monitor.add_fd(reading.fileno())
        assert await monitor.add_fd(writing.fileno(), to=path) == path
    assert [len(one["fds"]) for one in await monitor.fd_sets()] == [2]
    await monitor.close()
    with pytest.raises(Gone):
        await monitor.add_fd(0)
    second = await Monitor.connect(machine.qmp)
    assert await second.fd_sets() == []
    await second.close()
