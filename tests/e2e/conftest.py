"""Homes for end-to-end tests. Each module has its own, and leaves nothing on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..conftest import Kubectl
from ..sweep import settled
from .product import SHOP, Product

_IMAGES = ("shop-catalog:1.0", "shop-web:1.0", "shop-orders-disk:1.0", "kubevirt/fedora-cloud-container-disk-demo:v0.33.0")


@pytest.fixture(scope="session")
def host() -> None:
    """A machine that can run the product, with the images of the examples."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    for tool in ("podman", "qemu-system-x86_64", "nft", "ip"):
        if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            pytest.skip(f"needs {tool}: make setup")
    for image in _IMAGES:
        if subprocess.run(["podman", "image", "exists", f"localhost/{image}"], check=False).returncode != 0:
            pytest.skip(f"needs the image {image}: scripts/images")


@contextmanager
def product(kubectl: Kubectl, place: Path | None = None) -> Iterator[Product]:
    """A home with a running engine; removed and swept afterwards."""
    home = place or Path(tempfile.mkdtemp(prefix="vmpod-e2e-"))
    made = Product(home, kubectl.program)
    try:
        made.vmpod("engine", "start", "--egress", "off")
        yield made
    except BaseException:
        print(made.story())
        raise
    finally:
        made.vmpod("engine", "stop", "--purge", check=False)
        left = settled(home)
        shutil.rmtree(home, ignore_errors=True)
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def story(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a failure: what the home looked like."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed and "home" in request.fixturenames:
        print(request.getfixturevalue("home").story())


@pytest.fixture(scope="module")
def home(host: None, kubectl: Kubectl) -> Iterator[Product]:
    with product(kubectl) as made:
        yield made


@pytest.fixture(scope="module")
def shop(home: Product) -> Product:
    """The shop of examples/01-shop, up."""
    home.vmpod("up", str(SHOP))
    return home
