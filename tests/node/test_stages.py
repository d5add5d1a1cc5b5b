"""How far a guest has come: from what is seen to stages with times, and how that is told."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.qemu.qmp import Monitor
from vmpod.node.machine_stages import Ascent
from vmpod.node.status import stages
from vmpod.node.status.stages import Look, Progress, Stage, advance, ports, switched_on, tell, words

T = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def after(*looks: Look) -> Progress:
    known = switched_on(T)
    for look in looks:
        known = advance(known, look)
    return known


@pytest.mark.parametrize(
    ("said", "stage"),
    [
        (b"GNU GRUB  version 2.06", "BootLoader"),
        (b"Welcome to GRUB!\r\n", "BootLoader"),
        (b"SYSLINUX 6.04 EDD", "BootLoader"),
        (b"BdsDxe: starting Boot0001", "BootLoader"),
        (b"[    0.000000] Linux version 6.1.0-56-amd64 (debian)", "Kernel"),
        (b"[    1.234567] Run /init as init process", "Kernel"),
        (b"EFI stub: Loaded initrd", "Kernel"),
        (b"FreeBSD 14.1-RELEASE", "Kernel"),
        (b"[    4.0] systemd[1]: Detected virtualization kvm.", "Init"),
        (b"\r\nWelcome to Debian GNU/Linux 12 (bookworm)!", "Init"),
        (b"INIT: version 3.06 booting", "Init"),
        (b"\r\nlab login: ", "Login"),
        (b"guest is up\r\n", "Console"),
    ],
)
def test_what_the_console_shows(said: bytes, stage: str) -> None:
    assert after(Look(T + 2, console=said)).stages == (Stage("Firmware", 0.0), Stage(stage, 2.0))


def test_a_whole_boot_in_words() -> None:
    known = after(
        Look(T + 0.52, has_read_disk=True), Look(T + 1.25, console=b"Linux version 6.1"), Look(T + 8, console=b"INIT: version 3"),
        Look(T + 12.4, leased_at=T + 9.5, has_agent=True), Look(T + 13, port=22),
    )  # fmt: skip
    assert words(known) == ("firmware 0 s, boot disk 0.5 s, kernel 1.2 s, init 8 s, address 9.5 s, agent 12 s, "
                            "22/tcp open 13 s")  # fmt: skip
    (told,) = tell([], known)
    assert (told["type"], told["status"], told["reason"]) == ("vmpod.io/GuestStage", "True", "Port")
    assert told["lastTransitionTime"] == "2026-01-01T00:00:13Z"
    assert tell([told], known) == [told]
    assert tell([told], stages.OFF) == []


def test_a_later_stage_is_not_left_for_an_earlier_one() -> None:
    known = after(Look(T + 5, console=b"INIT: version 3"), Look(T + 6, console=b"[  6.0000000] late\nLinux version 6"))
    assert [one.name for one in known.stages] == ["Firmware", "Init"]
    assert after(Look(T + 5, leased_at=T - 60)).stages == (Stage("Firmware", 0.0),), "a lease of the boot before"


looks = st.builds(
    Look, st.floats(T, T + 900), st.sampled_from([b"", b"hello", b"GNU GRUB", b"Linux version 6", b"INIT: version"]),
    st.booleans(), st.one_of(st.just(0.0), st.floats(T - 100, T + 900)), st.booleans(), st.sampled_from([0, 22, 80]),
)  # fmt: skip


@given(st.lists(looks, max_size=8))
def test_any_boot(seen: list[Look]) -> None:
    known = after(*sorted(seen, key=lambda one: one.now))
    names = [one.name for one in known.stages]
    assert len(names) == len(set(names)) and names[0] == "Firmware"
    assert all(one.after_s >= 0 for one in known.stages)
    boot = [name for name in names if name in ("Firmware", "BootDisk", "BootLoader", "Kernel", "Init")]
    assert boot == sorted(boot, key=["Firmware", "BootDisk", "BootLoader", "Kernel", "Init"].index)
    assert advance(known, Look(T + 1000)) == known


def test_ports_that_somebody_names() -> None:
    card = {"name": "default", "ports": [{"name": "web", "port": 8080}, {"port": 53, "protocol": "UDP"}]}
    vmi = {"metadata": {"labels": {"vm": "a"}}, "spec": {
        "readinessProbe": {"httpGet": {"port": "web"}}, "domain": {"devices": {"interfaces": [card]}}}}  # fmt: skip
    chosen = {"spec": {"selector": {"vm": "a"}, "ports": [{"port": 22}, {"port": 80, "targetPort": "web"},
                                                          {"port": 81, "targetPort": "none"},
                                                          {"port": 5353, "protocol": "UDP"}]}}  # fmt: skip
    other = {"spec": {"selector": {"vm": "b"}, "ports": [{"port": 1}]}}
    assert ports(vmi, [chosen, other, {"spec": {"ports": [{"port": 2}]}}]) == (8080, 22)
    assert ports({}, []) == ()


class Disks:
    """A monitor that tells of a disk that was read."""

    async def execute(self, command: str) -> list[Any]:
        assert command == "query-blockstats"
        return [{"stats": {"rd_operations": 3}}]


async def until(ascent: Ascent, *names: str) -> None:
    async with asyncio.timeout(60):
        while not all(ascent.known.has(name) for name in names):
            await asyncio.sleep(0.02)


async def test_a_guest_is_followed_over_two_engines(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    log, lease = tmp_path / "run/serial.log", tmp_path / "lease"
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    told: list[Progress] = []

    def made() -> Ascent:
        return Ascent(tmp_path / "run", lease, lambda: ("127.0.0.1", (1, port)), told.append)

    def follow(one: Ascent) -> asyncio.Task[None]:
        return asyncio.create_task(one.follow(lambda: cast(Monitor, Disks()), lambda: False))

    first = made()
    assert first.known == stages.OFF
    task = follow(first)
    log.write_bytes(b"Linux version 6.1\n")
    first.switched_on()
    await until(first, "Kernel")
    assert not first.known.has("Port"), "who has no address yet is not asked for a port"
    task.cancel()

    second = made()
    assert second.known == first.known == told[-1]
    second.switched_on()
    assert second.known == first.known, "it runs already"
    with log.open("ab") as more:
        more.write(b"INIT: version 3\n")
    lease.touch()
    task = follow(second)
    await until(second, "Init", "Address", "Port")
    assert second.known.stages[-1].detail == str(port)
    second.restarted()
    assert [one.name for one in second.known.stages] == ["Firmware"]
    os.utime(lease, (time.time() + 5, time.time() + 5))
    await until(second, "Address", "BootDisk")
    assert not second.known.has("Init"), "what the console said before the restart is not read again"
    task.cancel()
    server.close()
    await server.wait_closed()
