"""examples/08-migration as its README says: the connection of the client outlives two moves of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ..acceptance.machines import heard, stream
from ..conftest import Kubectl
from .conftest import product
from .product import ROOT, Product, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(480)]
EXAMPLE = ROOT / "examples" / "08-migration"
FILES = ("-f", str(EXAMPLE / "vm.yaml"), "-f", str(EXAMPLE / "client.yaml"))


@pytest.fixture(scope="module")
def home(host: None, kubectl: Kubectl) -> Iterator[Product]:
    with product(kubectl) as made:
        made.vmpod("engine", "stop")
        made.vmpod("engine", "start", "--nodes", "3")
        yield made


def node(home: Product) -> str:
    return home.value(".status.nodeName", "vmi", "walker")


def numbers(home: Product) -> int:
    """How many numbers came back to the client, over the one connection that it made."""
    said = home.kubectl("logs", "client").stdout
    assert said.count("connected") == 1, said
    found = re.findall(r"(\d+) numbers came back", said)
    return int(found[-1]) if found else 0


def goes_on(home: Product) -> None:
    before = numbers(home)
    wait(lambda: numbers(home) > before + 10, "more numbers come back", 60, 0.5)


def test_the_connection_lives_on(home: Product) -> None:
    home.kubectl("apply", *FILES)
    home.kubectl("wait", "vm", "walker", "--for=condition=Ready", "--timeout=120s", timeout_s=130)
    echo = next(line for line in (EXAMPLE / "README.md").read_text().splitlines() if "socketserver" in line).strip()

    def is_up() -> bool:
        with stream(home, "walker", "console") as console:
            console.send(b"\nuna''me\n")
            return bool(heard(console, b"Linux", 5))

    wait(is_up, "the guest answers on its console", 300, 1)
    with stream(home, "walker", "console") as console:
        console.send(f"{echo}\n".encode())
        heard(console, b"#")
    wait(lambda: "connected" in home.kubectl("logs", "client").stdout, "the client is connected", 60, 0.5)
    goes_on(home)
    first = node(home)
    said = home.vmpod("migrate", "walker").stdout
    second = node(home)
    assert re.search(rf"walker: moved from {first} to {second}; the guest stood still for \d+ ms", said), said
    goes_on(home)
    home.kubectl("drain", second, "--pod-selector=vm=walker", "--timeout=120s", timeout_s=130)
    assert node(home) not in (second, "")
    goes_on(home)
    home.kubectl("delete", *FILES, "--timeout=60s")
