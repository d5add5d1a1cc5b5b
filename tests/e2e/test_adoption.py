"""The engine dies at any moment; what runs goes on, and the next engine finds it."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from vmpod.base.paths import Paths

from .product import SHOP, Product, ask, order, state, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]

RESOLVE = "import socket; print(socket.getaddrinfo('orders', 80)[0][4][0])"


def running(product: Product) -> dict[str, str]:
    """The containers of the home that run: name to id."""
    argv = ["podman", "ps", "--no-trunc", "--filter", f"label=io.vmpod={Paths(product.home).id}", "--format", "json"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    return {one["Names"][0]: one["Id"] for one in json.loads(said)}


def container(product: Product, app: str) -> str:
    """The id of the container of one pod of an application."""
    return next(id for name, id in running(product).items() if f"_default_{app}-" in name)


def counts(product: Product) -> dict[str, list[tuple[str, int]]]:
    pods: list[Any] = product.read("pods")["items"]
    return {
        pod["metadata"]["uid"]: [(one["containerID"], one["restartCount"]) for one in pod["status"]["containerStatuses"]]
        for pod in pods
    }


def test_killed_in_the_middle_of_up_the_next_up_converges(home: Product) -> None:
    """The first kill comes while containers and the machine are being made, half the writes are done."""
    child = home.start("up", str(SHOP))
    wait(lambda: running(home), "the first container runs", 60)
    home.kill_engine()
    _, said = child.communicate(timeout=120)
    if child.returncode:
        assert "cannot" in said and "Traceback" not in said, said
    home.vmpod("up", str(SHOP))
    assert order(home.shop())["cents"] == 4900
    assert len(running(home)) == 5, running(home)
    assert len(home.read("pods")["items"]) == 5


def test_a_dead_engine_takes_nothing_along(home: Product) -> None:
    """URL, a name from a pod, a name from the guest (the price it asks) all answer; nothing restarts after."""
    shop, before, pods, ids = home.shop(), state(home.shop()), counts(home), running(home)
    home.kubectl("create", "configmap", "written", "--from-literal=key=value")
    home.kill_engine()
    started = time.monotonic()
    assert ask(shop)[0] == 200
    argv = ["podman", "exec", container(home, "web"), "python3", "-c", RESOLVE]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    made = order(shop, "cup", 3)
    assert made["cents"] == 2370
    time.sleep(max(0.0, 3 - (time.monotonic() - started)))
    assert ask(shop)[0] == 200 and home.engine is None

    home.vmpod("engine", "start")
    assert said == home.value(".spec.clusterIP", "service", "orders")
    assert home.value(".data.key", "configmap", "written") == "value"
    wait(lambda: home.value(".status.printableStatus", "vm", "orders") == "Running", "the machine is adopted", 60)
    wait(lambda: len(home.endpoints("web")) == 2 and len(home.endpoints("orders")) == 1, "all are ready", 60)
    time.sleep(3)  # a wrong engine would start second ones now
    assert running(home) == ids
    assert counts(home) == pods
    after = state(shop)
    assert after["orders_boot_id"] == before["orders_boot_id"]
    assert after["orders"] == [*before["orders"], made]


def test_what_ended_meanwhile_is_noticed(home: Product) -> None:
    """A container that died while nobody watched is restarted, and counted; a machine that died boots again."""
    boot = state(home.shop())["orders_boot_id"]
    victim, machine = container(home, "catalog"), container(home, "virt-launcher-orders")
    home.kill_engine()
    subprocess.run(["podman", "kill", victim, machine], capture_output=True, timeout=60, check=True)
    home.vmpod("engine", "start")
    wait(lambda: sorted(n for pod in counts(home).values() for _, n in pod) == [0, 0, 0, 0, 1], "one restart", 60)
    after = wait(lambda: state(home.shop()), "the machine is back", 120)
    assert after["orders_boot_id"] != boot
    assert len(running(home)) == 5 and len(after["orders"]) == 2


def test_a_second_engine_is_refused(home: Product) -> None:
    refused = home.vmpod("engine", "run", check=False)
    assert refused.returncode == 1
    assert "cannot start the engine: another engine runs in" in refused.stderr and "VMPOD_HOME" in refused.stderr


def test_purge_works_with_a_dead_engine(home: Product) -> None:
    home.kill_engine()
    home.vmpod("engine", "stop", "--purge")
    assert not home.home.exists()
    home.vmpod("engine", "stop", "--purge")
