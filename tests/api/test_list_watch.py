"""Lists, pages and watches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from vmpod.client.inprocess import Request

if TYPE_CHECKING:
    from tests.api.conftest import Caller

CMS = "/api/v1/namespaces/default/configmaps"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
PARTIAL = {"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}


async def _make(call: Caller, name: str, **labels: str) -> Any:
    return await call("POST", CMS, {"metadata": {"name": name, "labels": labels}, "data": {"x": "1"}}, code=201)


async def _names(call: Caller, **query: str) -> list[str]:
    return [one["metadata"]["name"] for one in (await call.get(CMS, query))["items"]]


async def test_selectors(call: Caller) -> None:
    await _make(call, "a", tier="x")
    await _make(call, "b", tier="y")
    assert await _names(call, labelSelector="tier in (x,z)") == ["a"]
    assert await _names(call, fieldSelector="metadata.name!=a") == ["b"]
    assert await _names(call, fieldSelector="metadata.namespace=other") == []
    told = await call("GET", CMS, code=400, fieldSelector="data.x=1")
    assert "is not a known field selector" in told["message"]
    told = await call("GET", "/api/v1/pods", code=400, fieldSelector="data.x=1")
    assert told["message"] == "field label not supported: data.x"
    assert (await call("GET", "/api/v1/pods", fieldSelector="spec.nodeName=n,status.phase!=Failed"))["items"] == []


async def test_pages_show_one_revision(call: Caller) -> None:
    for name in "abcde":
        await _make(call, name)
    first = await call("GET", CMS, limit="2")
    assert first["metadata"]["remainingItemCount"] == 3
    await call("DELETE", f"{CMS}/c")
    await _make(call, "f")
    second = await call.get(CMS, {"limit": "2", "continue": first["metadata"]["continue"]})
    third = await call.get(CMS, {"limit": "2", "continue": second["metadata"]["continue"]})
    names = [one["metadata"]["name"] for page in (first, second, third) for one in page["items"]]
    assert names == list("abcde") and "continue" not in third["metadata"]
    assert third["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert (await call.get(CMS, {"continue": "rubbish"}, code=400))["reason"] == "BadRequest"
    other = {"continue": first["metadata"]["continue"], "labelSelector": "x"}
    assert (await call.get(CMS, other, code=410))["reason"] == "Expired"


async def test_revisions_of_lists(call: Caller) -> None:
    made = await _make(call, "a")
    revision = made["metadata"]["resourceVersion"]
    assert await _names(call, resourceVersion="0") == ["a"]
    assert await _names(call, resourceVersion=revision, resourceVersionMatch="Exact") == ["a"]
    await _make(call, "b")
    assert await _names(call, resourceVersion=revision, resourceVersionMatch="NotOlderThan") == ["a", "b"]
    await call("GET", CMS, code=410, resourceVersion=revision, resourceVersionMatch="Exact")
    await call("GET", CMS, code=400, resourceVersion="x")
    await call("GET", CMS, code=422, resourceVersionMatch="Exact")
    await call("GET", CMS, code=422, sendInitialEvents="true")


async def test_tables_and_metadata(call: Caller) -> None:
    await _make(call, "a")
    table = await call("GET", CMS, headers=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 1]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata" and table["metadata"]["resourceVersion"]
    one = await call("GET", f"{CMS}/a", headers=TABLE, includeObject="Object")
    assert one["rows"][0]["object"]["data"] == {"x": "1"}
    partial = await call("GET", f"{CMS}/a", headers=PARTIAL)
    assert (partial["kind"], "data" in partial) == ("PartialObjectMetadata", False)
    assert (await call("GET", CMS, headers={"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}))[
        "kind"] == "PartialObjectMetadataList"
    await call("GET", CMS, headers={"accept": "text/csv"}, code=406)
    protobuf_first = {"accept": "application/vnd.kubernetes.protobuf,application/json"}
    assert (await call("GET", CMS, headers=protobuf_first))["kind"] == "ConfigMapList"


async def test_watch_from_nothing_and_from_a_revision(call: Caller) -> None:
    made = await _make(call, "a")
    everything = await call.watch(CMS)
    later = await call.watch(CMS, resourceVersion=made["metadata"]["resourceVersion"])
    await call.patch(f"{CMS}/a", {"data": {"x": "2"}})
    await call("DELETE", f"{CMS}/a")
    assert await everything.names(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert await later.names(2) == [("MODIFIED", "a"), ("DELETED", "a")]
    again = await call.watch(CMS, resourceVersion=made["metadata"]["resourceVersion"])
    assert await again.names(2) == [("MODIFIED", "a"), ("DELETED", "a")]
    for watch in (everything, later, again):
        await watch.close()


async def test_selectors_turn_changes_at_the_border(call: Caller) -> None:
    watch = await call.watch(CMS, labelSelector="in=yes")
    await _make(call, "a", **{"in": "no"})
    await call.patch(f"{CMS}/a", {"metadata": {"labels": {"in": "yes"}}})
    await call.patch(f"{CMS}/a", {"data": {"x": "2"}})
    left = await call.patch(f"{CMS}/a", {"metadata": {"labels": {"in": "no"}}})
    await call("DELETE", f"{CMS}/a")
    await _make(call, "b", **{"in": "yes"})
    assert await watch.names(2) == [("ADDED", "a"), ("MODIFIED", "a")]
    kind, obj = await watch.next()
    assert (kind, obj["metadata"]["labels"]) == ("DELETED", {"in": "yes"})
    assert obj["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
    assert await watch.names(1) == [("ADDED", "b")]
    await watch.close()


async def test_streamed_lists_end_with_a_bookmark(call: Caller) -> None:
    await _make(call, "a")
    watch = await call.watch(
        CMS, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
    )
    assert await watch.names(1) == [("ADDED", "a")]
    kind, mark = await watch.next()
    assert kind == "BOOKMARK" and mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await watch.close()
    await call("GET", CMS, code=422, watch="true", sendInitialEvents="true")


async def test_watch_ends_in_time_with_a_bookmark(call: Caller) -> None:
    watch = await call.watch(CMS, timeoutSeconds="1", allowWatchBookmarks="true")
    await _make(call, "a")
    assert await watch.names(1) == [("ADDED", "a")]
    kind, mark = await watch.next()
    assert kind == "BOOKMARK" and int(mark["metadata"]["resourceVersion"]) >= 1
    try:
        await watch.next()
        raise AssertionError("the watch goes on")
    except StopAsyncIteration:
        pass


async def test_revisions_that_are_gone(call: Caller) -> None:
    made = await _make(call, "a")
    await call.patch(f"{CMS}/a", {"data": {"x": "2"}})
    await call.api.backend.store.compact()
    for revision in (made["metadata"]["resourceVersion"], "999999"):
        watch = await call.watch(CMS, resourceVersion=revision)
        kind, told = await watch.next()
        assert (kind, told["code"], told["reason"]) == ("ERROR", 410, "Expired")


async def test_watch_as_table_tells_columns_once(call: Caller) -> None:
    watch = await call.watch(CMS, headers=TABLE)
    await _make(call, "a")
    await _make(call, "b")
    (_, first), (_, second) = await watch.next(), await watch.next()
    assert first["columnDefinitions"] and not second["columnDefinitions"]
    assert second["rows"][0]["cells"][0] == "b"
    await watch.close()


async def test_one_object_can_be_watched(call: Caller) -> None:
    await _make(call, "a")
    await _make(call, "b")
    watch = await call.watch(f"{CMS}/b")
    assert await watch.names(1) == [("ADDED", "b")]
    await watch.close()


async def test_callers_in_this_process_share_bytes(call: Caller) -> None:
    await _make(call, "a")
    answer = await call.api(Request("GET", CMS, user=call.user, shared=True))
    stored = call.api.backend.store.get("configmaps", "default", "a")
    assert stored is not None and answer.items is not None and answer.items[0] is stored.value
    watch = await call.api(Request("GET", CMS, {"watch": "1"}, user=call.user, shared=True))
    assert watch.events is not None
    async with asyncio.timeout(60):
        kind, value = await anext(watch.events)
    assert kind == "ADDED" and orjson.loads(value)["metadata"]["name"] == "a"
    await watch.events.aclose()  # type: ignore[attr-defined]
