"""Each action, and what counts as success."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.client.client import Client
from vmpod.client.inprocess import InProcess, User
from vmpod.kinds.configmap import CONFIGMAP
from vmpod.kinds.pod import POD
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError
from vmpod.reconcile.actions import Create, Delete, Patch, Replace
from vmpod.reconcile.apply import apply
from vmpod.testing.api import FakeApi


@pytest.fixture
def api() -> FakeApi:
    return FakeApi((CONFIGMAP, POD))


@pytest.fixture
def client(api: FakeApi) -> Client:
    return Client(InProcess(api, User("system:vmpod:controller")))


def _child(owner: Object | None, **metadata: Any) -> Object:
    owners = [meta.owner_reference(owner)] if owner else []
    return {"metadata": {"namespace": "d", "name": "child", "ownerReferences": owners, **metadata}}


def _owner(api: FakeApi, name: str) -> Object:
    return api.put(POD, {"metadata": {"name": name, "namespace": "d"}})


async def test_create(api: FakeApi, client: Client) -> None:
    written = await apply(client, Create(CONFIGMAP, _child(None)))
    assert written is not None
    assert (written.kind, written.key, written.revision) == (CONFIGMAP, ("d", "child"), 1)


async def test_create_with_a_generated_name_tells_the_name(api: FakeApi, client: Client) -> None:
    obj = {"metadata": {"namespace": "d", "generateName": "web-"}}
    written = await apply(client, Create(CONFIGMAP, obj))
    assert written is not None and written.name.startswith("web-")


async def test_create_of_what_is_ours_already_is_success(api: FakeApi, client: Client) -> None:
    owner = _owner(api, "owner")
    first = await apply(client, Create(CONFIGMAP, _child(owner)))
    assert await apply(client, Create(CONFIGMAP, _child(owner))) == first


@pytest.mark.parametrize("wanted_owned", [True, False])
async def test_create_of_what_is_anothers_is_an_error(
    api: FakeApi, client: Client, wanted_owned: bool
) -> None:
    owner, other = _owner(api, "owner"), _owner(api, "other")
    api.put(CONFIGMAP, _child(other))
    with pytest.raises(ApiError) as error:
        await apply(client, Create(CONFIGMAP, _child(owner if wanted_owned else None)))
    assert error.value.reason == "AlreadyExists"


async def test_patch_and_replace(api: FakeApi, client: Client) -> None:
    api.put(POD, {"metadata": {"name": "p", "namespace": "d"}, "spec": {"a": 1}})
    await apply(client, Patch(POD, "d", "p", {"spec": {"b": 2}}))
    pod = api.get(POD, "d", "p")
    assert pod is not None and pod["spec"] == {"a": 1, "b": 2}
    await apply(client, Replace(POD, {**pod, "status": {"phase": "Running"}}, "status"))
    with pytest.raises(ApiError) as error:
        await apply(client, Replace(POD, {**pod, "status": {"phase": "Failed"}}, "status"))
    assert error.value.reason == "Conflict"


async def test_delete(api: FakeApi, client: Client) -> None:
    obj = api.put(CONFIGMAP, _child(None))
    with pytest.raises(ApiError, match="Precondition failed"):
        await apply(client, Delete(CONFIGMAP, "d", "child", "another-uid"))
    written = await apply(client, Delete(CONFIGMAP, "d", "child", meta.uid(obj)))
    assert written is not None and (written.revision, written.uid) == (0, meta.uid(obj))
    assert await apply(client, Delete(CONFIGMAP, "d", "child", meta.uid(obj))) is None


async def test_delete_that_waits_tells_the_revision(api: FakeApi, client: Client) -> None:
    obj = api.put(CONFIGMAP, _child(None, finalizers=["x"]))
    written = await apply(client, Delete(CONFIGMAP, "d", "child", meta.uid(obj), grace_s=3, propagation="Foreground"))
    assert written is not None and written.revision == api.revision
    options = api.writes(CONFIGMAP, "DELETE")[-1].body
    assert b'"gracePeriodSeconds":3' in options and b'"propagationPolicy":"Foreground"' in options
