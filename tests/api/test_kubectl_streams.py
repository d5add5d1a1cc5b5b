"""Real kubectl: logs, exec and port-forward against streams whose far side is the test."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import orjson
import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller, FakeStreams, Kube

pytestmark = pytest.mark.host

POD = {
    "metadata": {"name": "p"},
    "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]},
}
PODS = "/api/v1/namespaces/default/pods"


async def _pod(call: Caller) -> None:
    await call("POST", PODS, POD, code=201)
    await call.patch(f"{PODS}/p/status", {"status": {"phase": "Running"}})


def _success() -> bytes:
    return orjson.dumps({"metadata": {}, "status": "Success"})


def _failure(code: int) -> bytes:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return orjson.dumps({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}})


async def test_logs(kube: Kube, call: Caller, streams: FakeStreams, duplex: type) -> None:
    await _pod(call)
    streams.duplexes = [duplex((1, b"one\n"), (1, b"two\n")), duplex((1, b"x\n"))]
    assert await kube("logs", "p", "-c", "b", "--tail=5") == "one\ntwo\n"
    assert await kube("logs", "-f", "p", "-c", "a") == "x\n"
    assert streams.asked[0][2]["container"] == "b" and streams.asked[0][2]["tailLines"] == 5
    assert streams.asked[1][2]["follow"] is True
    assert "container z is not valid for pod p" in await kube.refused("logs", "p", "-c", "z")


async def test_exec(kube: Kube, call: Caller, streams: FakeStreams, duplex: type) -> None:
    await _pod(call)
    streams.duplexes = [duplex((1, b"out\n"), (2, b"err\n"), (3, _success())), duplex((3, _failure(3)))]
    done = await kube.run("exec", "p", "-c", "a", "--", "ls", "-l", "/")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert streams.asked[0][2]["command"] == ["ls", "-l", "/"]
    failed = await kube.run("exec", "p", "-c", "a", "--", "false", check=False)
    assert failed.returncode == 3


async def test_exec_with_input(kube: Kube, call: Caller, streams: FakeStreams, duplex: type) -> None:
    await _pod(call)
    echo = duplex(echo=True)
    streams.duplexes = [echo]
    done = await kube.run("exec", "-i", "p", "-c", "a", "--", "cat", stdin="hello\n", check=False)
    assert done.stdout == "hello\n"
    assert echo.taken[-1] == (0, b"") and echo.closed


async def test_port_forward(kube: Kube, call: Caller, streams: FakeStreams, duplex: type) -> None:
    await _pod(call)
    streams.duplexes = [duplex(echo=True) for _ in range(5)]
    forward = await kube.start("port-forward", "pod/p", ":8080")
    assert forward.stdout is not None
    try:
        async with asyncio.timeout(60):
            found = re.search(rb"127.0.0.1:(\d+)", await forward.stdout.readline())
            assert found
            sizes = (10, 500_000, 70_000, 0)
            await asyncio.gather(*(_echo(int(found[1]), bytes([65 + n]) * size) for n, size in enumerate(sizes)))
    finally:
        forward.kill()
        await forward.communicate()
    assert {asked[2]["port"] for asked in streams.asked} == {8080}


async def _echo(port: int, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    assert await reader.read() == data
    writer.close()
    await writer.wait_closed()


async def test_port_forward_tells_why_not(kube: Kube, call: Caller, streams: FakeStreams) -> None:
    await _pod(call)
    forward = await kube.start("port-forward", "pod/p", ":8080")
    assert forward.stdout is not None and forward.stderr is not None
    try:
        async with asyncio.timeout(60):
            found = re.search(rb"127.0.0.1:(\d+)", await forward.stdout.readline())
            assert found
            reader, writer = await asyncio.open_connection("127.0.0.1", int(found[1]))
            assert await reader.read() == b""
            writer.close()
            assert b"nothing listens" in await forward.stderr.readline()
    finally:
        if forward.returncode is None:
            forward.kill()
        await forward.communicate()
