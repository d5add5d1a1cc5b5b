"""A running Linux guest gets processors and memory, and sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmpod.testing.guest import write_disk

from ..e2e.product import Product, wait
from . import machines
from .machines import LAB, condition, container_disk, has_shell, instance, is_shown, machine, own, typed
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(480)]
GROWS = own("grows")


def said(home: Product, command: str) -> str:
    return typed(home, "lab", command)


def number(home: Product, command: str) -> int:
    digits = re.findall(r"\d+", said(home, command))
    return int(digits[0]) if digits else -1


@pytest.fixture
def quick(host: None, tmp_path: Path) -> Iterator[None]:
    machines.build(tmp_path, GROWS, {"/disk/": write_disk(tmp_path / "quick.img")})
    yield
    machines.remove_images(GROWS)


def test_a_guest_without_the_driver_is_told_of(home: Product, quick: None) -> None:
    wanted = machine("plain", container_disk(GROWS))
    apply(home, wanted)
    is_shown(home, "plain", "Running")
    wanted["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "128Mi"
    apply(home, wanted)
    said = "the guest has taken 64Mi of 128Mi of memory; it has no virtio_mem driver that would take it"
    wait(lambda: condition(home, "vm", "plain", "HotMemoryChange").get("message") == said, said, 20, 0.2)
    home.kubectl("delete", "vm", "plain", "--timeout=60s")


def test_processors_and_memory_arrive_in_the_guest(home: Product) -> None:
    wanted = machine("lab", container_disk(LAB), memory="256Mi")
    wanted["spec"]["template"]["spec"]["domain"]["cpu"] = {"sockets": 1}
    apply(home, wanted)
    is_shown(home, "lab", "Running")
    first = instance(home, "lab")
    has_shell(home, "lab")
    said(home, "echo online > /sys/devices/system/memory/auto_online_blocks")
    assert number(home, "nproc") == 1
    before = number(home, "grep MemTotal /proc/meminfo")

    wanted["spec"]["template"]["spec"]["domain"]["cpu"]["sockets"] = 2
    wanted["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "512Mi"
    apply(home, wanted)
    wait(lambda: home.value(".status.currentCPUTopology.sockets", "vmi", "lab") == "2", "two sockets", 30, 0.2)
    wait(lambda: home.value(".status.memory.guestCurrent", "vmi", "lab") == "512Mi", "the guest takes the memory", 60, 0.5)
    assert home.value(".status.memory.guestAtBoot", "vmi", "lab") == "256Mi"
    wait(lambda: not condition(home, "vmi", "lab", "HotVCPUChange") and not condition(home, "vmi", "lab", "HotMemoryChange"),
         "nothing is under way any more", 15, 0.2)  # fmt: skip
    said(home, "echo 1 > /sys/devices/system/cpu/cpu1/online")
    assert number(home, "nproc") == 2
    assert number(home, "grep MemTotal /proc/meminfo") - before > 200 << 10
    assert instance(home, "lab") == first and not condition(home, "vm", "lab", "RestartRequired")

    home.kill_engine()
    home.vmpod("engine", "start")
    is_shown(home, "lab", "Running")
    assert home.value(".status.memory.guestCurrent", "vmi", "lab") == "512Mi"
    wanted["spec"]["template"]["spec"]["domain"]["cpu"]["sockets"] = 1
    apply(home, wanted)
    wait(lambda: condition(home, "vm", "lab", "RestartRequired").get("message") ==
         "Reduction of CPU socket count requires a restart", "fewer sockets wait", 15, 0.2)  # fmt: skip
    home.kubectl("delete", "vm", "lab", "--timeout=60s")
