"""The fake API, served in process and over TLS; no task may outlive a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from vmpod.client.kubeconfig import Context
from vmpod.kinds.configmap import CONFIGMAP
from vmpod.kinds.namespace import NAMESPACE
from vmpod.kinds.pod import POD
from vmpod.testing import certificates, leaks
from vmpod.testing.api import FakeApi
from vmpod.testing.server import serve


@pytest.fixture(autouse=True)
async def _no_leaks() -> AsyncIterator[None]:
    yield
    await leaks.assert_no_tasks()


@pytest.fixture
def api() -> FakeApi:
    return FakeApi((CONFIGMAP, POD, NAMESPACE))


@pytest.fixture(scope="session")
def pem() -> certificates.Certificates:
    return certificates.make()


@pytest.fixture
async def context(api: FakeApi, pem: certificates.Certificates) -> AsyncIterator[Context]:
    async with serve(api, pem) as reached:
        yield reached


@pytest.fixture
def made() -> Any:
    """Makes a ConfigMap."""

    def make(name: str = "a", namespace: str = "d", **labels: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"},
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
        }  # fmt: skip

    return make
