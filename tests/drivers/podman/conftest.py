from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from vmpod.base.paths import Paths
from vmpod.drivers.podman.client import Podman
from vmpod.testing import containers


@pytest.fixture
def paths() -> Iterator[Paths]:
    with containers.home() as paths:
        yield paths


@pytest.fixture
async def podman(paths: Paths) -> AsyncIterator[Podman]:
    async with containers.podman(paths) as driver:
        yield driver


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with containers.busybox_image(tmp_path_factory.mktemp("image")) as name:
        yield name


@pytest.fixture
def netns() -> Iterator[str]:
    with containers.namespace() as path:
        yield path
