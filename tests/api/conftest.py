"""An API on a store of its own, by calls in this process and as a server for real clients."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest

from vmpod.api import auth
from vmpod.api.app import Api
from vmpod.api.call import ApiConfig
from vmpod.api.server import serve
from vmpod.api.streams import Duplex, StreamRef
from vmpod.base.paths import Paths
from vmpod.client.inprocess import Request, Response, User
from vmpod.model import status
from vmpod.store import Store

ADMIN = User("vmpod-admin", ("system:masters", "system:authenticated"))


class FakeDuplex:
    """A stream whose far side is the test: `out` is what it says, `taken` what it was sent."""

    def __init__(self, *out: tuple[int, bytes], echo: bool = False) -> None:
        self.out: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.taken: list[tuple[int, bytes]] = []
        self.closed = False
        self._echo = echo
        for one in out:
            self.out.put_nowait(one)
        if not echo:
            self.out.put_nowait(None)

    async def receive(self) -> tuple[int, bytes] | None:
        return await self.out.get()

    async def send(self, channel: int, data: bytes) -> None:
        self.taken.append((channel, data))
        if self._echo and channel == 0:
            self.out.put_nowait((1, data) if data else None)

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeStreams:
    """Answers with what the test laid ready; remembers what was asked."""

    duplexes: list[FakeDuplex] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[StreamRef, str, dict[str, Any]]] = field(default_factory=list)

    async def open(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> Duplex:
        self.asked.append((ref, verb, dict(params)))
        if not self.duplexes:
            raise status.bad_request("nothing listens")
        return self.duplexes.pop(0)

    async def ask(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((ref, verb, dict(params)))
        return self.answers.get(verb, {})


@dataclass
class Caller:
    """Requests to an API in this process."""

    api: Api
    user: User = ADMIN

    async def send(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: str
    ) -> Response:
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return await self.api(Request(method, path, query, headers or {}, data, self.user))

    async def __call__(
        self, method: str, path: str, body: Any = None, *, code: int = 0, headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Any:
        """The answer decoded; `code` is the HTTP status it must have (any good one unless said)."""
        answer = await self.send(method, path, body, headers=headers, **query)
        told = answer.body.decode(errors="replace")
        assert answer.status == code if code else answer.status < 400, f"{answer.status}: {told}"
        return orjson.loads(answer.body) if answer.body else None

    async def get(self, path: str, query: Mapping[str, str], *, code: int = 200) -> Any:
        """A GET whose parameters have names that are no Python names."""
        answer = await self.api(Request("GET", path, query, user=self.user))
        assert answer.status == code, answer.body
        return orjson.loads(answer.body)

    async def patch(self, path: str, body: Any, kind: str = "merge-patch", *, code: int = 0, **query: str) -> Any:
        headers = {"content-type": f"application/{kind}+json"}
        return await self("PATCH", path, body, headers=headers, code=code, **query)

    async def watch(self, path: str, *, headers: Mapping[str, str] | None = None, **query: str) -> Watch:
        answer = await self.send("GET", path, headers=headers, watch="true", **query)
        assert answer.status == 200 and answer.stream is not None, answer.body
        return Watch(answer.stream)


class Watch:
    """The lines of a watch, decoded one after the other."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    async def next(self) -> tuple[str, Any]:
        while not self._lines:
            async with asyncio.timeout(60):
                self._lines = (await anext(self._stream)).splitlines()
        event = orjson.loads(self._lines.pop(0))
        return event["type"], event["object"]

    async def names(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(kind, obj["metadata"].get("name", "")) for kind, obj in events]

    async def close(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
def duplex() -> type[FakeDuplex]:
    return FakeDuplex


@pytest.fixture
async def call(tmp_path: Path, streams: FakeStreams) -> AsyncIterator[Caller]:
    """An API with the namespace `default`."""
    store = Store.open(tmp_path / "store.db")
    caller = Caller(Api(store, streams))
    await caller("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}}, code=201)
    yield caller
    await store.close()


@pytest.fixture
async def call6(tmp_path: Path) -> AsyncIterator[Caller]:
    """An API of a home that has both families of addresses."""
    store = Store.open(tmp_path / "six.db")
    caller = Caller(Api(store, config=ApiConfig(service_cidr6="fd00:0:0:1::/112")))
    await caller("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}}, code=201)
    yield caller
    await store.close()


@dataclass
class Live:
    """A listening API and its credentials."""

    call: Caller
    streams: FakeStreams
    pki: auth.Pki
    port: int
    kubeconfig: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: t, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: {pki.ca}}}}}]
users: [{{name: t, user: {{client-certificate: {pki.client_cert}, client-key: {pki.client_key}}}}}]
contexts: [{{name: t, context: {{cluster: t, user: t}}}}]
current-context: t
"""


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> auth.Pki:
    """One set of certificates for all tests."""
    return asyncio.run(auth.ensure_pki(Paths(tmp_path_factory.mktemp("home"))))


@pytest.fixture
async def live(call: Caller, streams: FakeStreams, pki: auth.Pki, tmp_path: Path) -> AsyncIterator[Live]:
    """The API behind TLS on a free port of loopback."""
    serving = await serve(call.api, "127.0.0.1", 0, auth.server_context(pki))
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(_KUBECONFIG.format(port=serving.port, pki=pki))
    yield Live(call, streams, pki, serving.port, kubeconfig)
    await serving.stop()


class Runs(Protocol):
    """What the fixture `kubectl` of tests/conftest.py offers."""

    program: str
    home: Path

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]: ...


@dataclass
class Kube:
    """A real kubectl that speaks to the live API, run beside the event loop."""

    kubectl: Runs
    live: Live

    async def run(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        words = ("--kubeconfig", str(self.live.kubeconfig), *arguments)
        return await asyncio.to_thread(self.kubectl.run, *words, stdin=stdin, check=check)

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What it prints; a failure fails the test."""
        return (await self.run(*arguments, stdin=stdin)).stdout

    async def refused(self, *arguments: str, stdin: str = "") -> str:
        """What it complains about; success fails the test."""
        done = await self.run(*arguments, stdin=stdin, check=False)
        assert done.returncode != 0, done.stdout
        return done.stderr

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Begin one that goes on; the test ends it."""
        return await asyncio.create_subprocess_exec(
            self.kubectl.program, "--kubeconfig", str(self.live.kubeconfig), *arguments,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, env={"HOME": str(self.kubectl.home)},
        )


@pytest.fixture
def kube(kubectl: Runs, live: Live) -> Kube:
    return Kube(kubectl, live)
