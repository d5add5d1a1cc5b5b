"""What the CDIConfig says reaches imports: a real importer asks a proxy; registries without TLS are told apart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.disks.download import Access
from vmpod.drivers.disks.importer import Job
from vmpod.kinds import CDICONFIG, CONFIGMAP
from vmpod.model.meta import Object
from vmpod.node import cdiconfig, imports
from vmpod.testing.world import World


def world_of(spec: Object | None = None) -> World:
    world = World()
    if spec is not None:
        world.put(CDICONFIG, {"metadata": {"name": "config"}, "spec": spec})
    world.put(CONFIGMAP, {"metadata": {"name": "ca", "namespace": "cdi"}, "data": {"ca.pem": "PEM"}})
    return world


@pytest.mark.parametrize(("image", "insecure"), [
    ("mine.example:5000/a/b:1", True), ("mine.example/a/b:1", False), ("other.example:5000/a", False),
])  # fmt: skip
def test_registries_without_tls(image: str, insecure: bool) -> None:
    assert cdiconfig.is_insecure(world_of({"insecureRegistries": ["mine.example:5000"]}).cache, image) == insecure
    assert not cdiconfig.is_insecure(world_of().cache, image)


def test_proxies_are_told_as_variables() -> None:
    said = {"HTTPProxy": "http://p:1", "HTTPSProxy": "http://q:2", "noProxy": "a,b", "trustedCAProxy": "ca"}
    cache = world_of({"importProxy": said}).cache
    assert dict(cdiconfig.proxies(cache)) == {"http_proxy": "http://p:1", "https_proxy": "http://q:2", "no_proxy": "a,b"}
    assert cdiconfig.authorities(cache) == "PEM"
    assert cdiconfig.proxies(world_of({}).cache) == () and cdiconfig.authorities(world_of().cache) == ""


async def test_an_import_goes_by_the_proxy(tmp_path: Path) -> None:
    """The proxy answers for a name that nobody knows."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\nthis is no disk")
        await writer.drain()
        writer.close()

    serving = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
    for name in ("bases", "staging"):
        (tmp_path / name).mkdir()
    job = Job("http", "http://images.invalid/a.img", str(tmp_path / "bases"), str(tmp_path / "staging"))
    async with serving:
        with pytest.raises(Problem, match="no known format"):
            await imports.run_job(job, None, Access(proxies=(("http_proxy", proxy), ("no_proxy", ""))))
    assert asked == [b"GET http://images.invalid/a.img HTTP/1.1\r\n"]
