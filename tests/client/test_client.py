"""The verbs, over every transport alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.client.client import Client
from vmpod.client.https import Https
from vmpod.client.inprocess import InProcess, Request, Response, User
from vmpod.client.kubeconfig import Context
from vmpod.kinds.configmap import CONFIGMAP
from vmpod.kinds.namespace import NAMESPACE
from vmpod.kinds.pod import POD
from vmpod.model import meta
from vmpod.model.status import ApiError
from vmpod.testing.api import FakeApi
from vmpod.testing.certificates import Certificates
from vmpod.testing.server import serve


@pytest.fixture(params=["shared", "in process", "https"])
async def client(request: pytest.FixtureRequest, pem: Certificates) -> AsyncIterator[Client]:
    api = FakeApi((CONFIGMAP, POD, NAMESPACE), shares=request.param == "shared")
    if request.param == "https":
        async with serve(api, pem) as context:
            client = Client(Https(context))
            yield client
            await client.close()
    else:
        client = Client(InProcess(api, User("tester")))
        yield client
        await client.close()


async def test_verbs(client: Client, made: Any) -> None:
    created = await client.create(CONFIGMAP, made("a"))
    assert await client.get(CONFIGMAP, "d", "a") == created
    changed = await client.update(CONFIGMAP, {**created, "data": {"k": "2"}})
    patched = await client.patch(CONFIGMAP, "d", "a", {"data": {"j": "3"}})
    assert patched["data"] == {"k": "2", "j": "3"}
    with pytest.raises(ApiError) as conflict:
        await client.update(CONFIGMAP, {**changed, "data": {}})
    assert (conflict.value.code, conflict.value.reason) == (409, "Conflict")
    assert (await client.delete(CONFIGMAP, "d", "a"))["status"] == "Success"
    with pytest.raises(ApiError, match='configmaps "a" not found') as missing:
        await client.get(CONFIGMAP, "d", "a")
    assert missing.value.code == 404


async def test_lists_say_kind_and_revision(client: Client, made: Any) -> None:
    await client.create(CONFIGMAP, made("b", app="x"))
    await client.create(CONFIGMAP, made("a", "e", app="x"))
    last = await client.create(CONFIGMAP, made("a", app="y"))
    found = await client.list(CONFIGMAP)
    assert [(meta.namespace(item), meta.name(item)) for item in found.items] == [
        ("d", "a"), ("d", "b"), ("e", "a"),
    ]  # fmt: skip
    assert found.items[0] == last and found.items[0]["kind"] == "ConfigMap"
    assert found.revision == meta.revision(last)
    assert [meta.name(item) for item in (await client.list(CONFIGMAP, "d", labels="app=x")).items] == ["b"]


async def test_watch_tells_what_follows(client: Client, made: Any) -> None:
    first = await client.create(CONFIGMAP, made("a"))
    events = client.watch(CONFIGMAP, revision=meta.revision(first))
    await client.create(CONFIGMAP, made("b"))
    await client.delete(CONFIGMAP, "d", "a")
    told = [await anext(events) for _ in range(2)]
    await events.aclose()
    assert [(type_, meta.name(obj)) for type_, obj in told] == [("ADDED", "b"), ("DELETED", "a")]


async def test_delete_carries_its_preconditions(client: Client, made: Any) -> None:
    await client.create(CONFIGMAP, made("a"))
    with pytest.raises(ApiError, match="Precondition failed"):
        await client.delete(CONFIGMAP, "d", "a", uid="another")


async def test_status_is_written_apart(client: Client) -> None:
    pod = {"metadata": {"name": "p", "namespace": "d"}, "spec": {"nodeName": "n"}}
    created = await client.create(POD, pod)
    changed = await client.update(POD, {**created, "spec": {}, "status": {"phase": "Running"}}, subresource="status")
    assert (changed["spec"], changed["status"]) == ({"nodeName": "n"}, {"phase": "Running"})


async def test_watch_of_a_compacted_revision_is_410(made: Any) -> None:
    api = FakeApi((CONFIGMAP,))
    api.put(CONFIGMAP, made("a"))
    api.put(CONFIGMAP, made("b"))
    api.compact()
    with pytest.raises(ApiError) as gone:
        await anext(Client(InProcess(api, User("tester"))).watch(CONFIGMAP, revision=1))
    assert gone.value.code == 410


async def test_an_error_inside_a_watch_is_raised() -> None:
    async def serve_error(request: Request, /) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            yield b'{"type":"ERROR","object":{"kind":"Status","code":4'
            yield b'10,"reason":"Expired","message":"too old"}}\n'

        return Response(200, stream=stream())

    with pytest.raises(ApiError, match="too old") as gone:
        await anext(Client(InProcess(serve_error, User("tester"))).watch(CONFIGMAP, revision=1))
    assert gone.value.code == 410


async def test_an_error_that_is_no_status_is_still_told() -> None:
    async def refuse(request: Request, /) -> Response:
        return Response(503, body=b"<html>try later</html>")

    with pytest.raises(ApiError, match="try later") as error:
        await Client(InProcess(refuse, User("tester"))).get(CONFIGMAP, "d", "a")
    assert (error.value.code, error.value.reason) == (503, "ServiceUnavailable")


async def test_the_certificate_names_the_user(context: Context, api: FakeApi) -> None:
    client = Client(Https(context))
    await client.list(CONFIGMAP)
    await client.close()
    assert api.requests[-1].user.name == "tester"


async def test_a_dead_server_is_a_problem() -> None:
    client = Client(Https(Context("x", "http://127.0.0.1:9")))
    with pytest.raises(Problem, match=r"cannot reach http://127.0.0.1:9") as problem:
        await client.list(CONFIGMAP)
    await client.close()
    assert problem.value.reason == "Unreachable"
